"""POST /v1/predict?explain=true."""

from __future__ import annotations

import logging
import math
from typing import Any

import httpx
import pytest

from tests.fakes.model_server import classify
from tests.unit.serving.gateway.conftest import ROW, Client, predict, sample

REFERENCES = [{"carrier": "AA", "departure": 7}, {"distance": 20.5}, {"carrier": "UA", "departure": 900, "distance": 1400.0}]


@pytest.fixture
def server(server):
    server.references = REFERENCES
    return server


def explain(client: Client, *rows: Any, explain: str = "true") -> httpx.Response:
    """The response to rows that are to be explained."""
    return client.post("/v1/predict", params={"explain": explain}, json={"rows": rows})


def counts_of_verdicts(client: Client) -> list[str]:
    """What a rollout judges a canary by: the lines of the metrics page."""
    counters = "gateway_predictions_total{", "gateway_prediction_duration", "gateway_predicted_"
    return [line for line in client.get("/metrics").text.splitlines() if line.startswith(counters)]


def test_each_prediction_says_what_its_features_add(gateway):
    response = explain(gateway, ROW, {"carrier": "B6", "distance": 20.5})

    assert response.status_code == 200, response.text
    for one in response.json()["predictions"]:
        explanation = one["explanation"]
        contributions = [each["contribution"] for each in explanation["contributions"]]
        assert explanation["of"] == "score"
        assert explanation["average"] + sum(contributions) == pytest.approx(one["score"], abs=1e-6)
        assert contributions == sorted(contributions, key=abs, reverse=True)
        assert 1 < explanation["rows_asked"] <= 1 + 32 * 3
    values = {each["feature"]: each["value"] for each in one["explanation"]["contributions"]}
    assert values == {"carrier": "B6", "departure": None, "distance": 20.5}


def test_what_is_not_asked_for_is_not_there(gateway, server):
    plain = predict(gateway, ROW).json()["predictions"][0]
    explained = explain(gateway, ROW).json()["predictions"][0]

    assert "explanation" not in plain
    assert {name: value for name, value in explained.items() if name != "explanation"} == plain
    assert "explanation" not in explain(gateway, ROW, explain="false").json()["predictions"][0]


def test_the_same_row_has_the_same_explanation(start):
    with start(cache={"rows": 100}) as first:
        explanations = [explain(first, ROW).json()["predictions"] for _ in range(2)]
        # Nor does it come from the cache, or get into it.
        assert "explanation" not in predict(first, ROW).json()["predictions"][0]
    with start() as second:
        explanations.append(explain(second, ROW).json()["predictions"])

    assert explanations[0] == explanations[1] == explanations[2]


def test_a_request_may_explain_a_few_rows(start):
    with start(max_explained_rows=2) as client:
        assert explain(client, ROW, ROW).status_code == 200
        response = explain(client, ROW, ROW, ROW)
        assert predict(client, ROW, ROW, ROW).status_code == 200

    assert response.status_code == 422
    assert "may have 2 rows" in response.json()["detail"]
    assert response.json()["errors"] == [{"message": "gateway.max_explained_rows is 2", "seen": "3"}]


def test_a_gateway_may_explain_nothing(start):
    with start(max_explained_rows=0) as client:
        response = explain(client, ROW)

    assert response.status_code == 422
    assert "explains no predictions" in response.json()["detail"]


def test_a_model_without_reference_rows_says_so(gateway, server):
    server.references = []
    server.versions = {4: "AVAILABLE"}

    response = explain(gateway, ROW)

    assert response.status_code == 422
    assert response.json()["detail"] == "Version 4 of 'flights' cannot be explained."
    assert sample(gateway, 'gateway_predictions_total{model="flights",outcome="error",version="4"}') == 0


@pytest.mark.parametrize("body", [{"rows": [{"carrier": "XX", "distance": 1}]}, {"rows": []}, {}])
def test_wrong_rows_are_the_same_problem_as_without(gateway, body):
    plain = gateway.post("/v1/predict", json=body)
    explained = gateway.post("/v1/predict?explain=true", json=body)

    assert explained.status_code == plain.status_code == 422
    assert explained.json()["errors"] == plain.json()["errors"]


def test_a_word_for_neither_true_nor_false_is_a_problem(gateway):
    response = explain(gateway, ROW, explain="perhaps")

    assert response.status_code == 422
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.json()["errors"][0]["seen"] == "perhaps"
    assert response.json()["detail"].startswith("explain: Input should be a valid boolean")


def test_the_cost_is_counted_apart_from_predictions(gateway):
    asked = sum(one["explanation"]["rows_asked"] for one in explain(gateway, ROW, ROW).json()["predictions"])

    labels = '{model="flights",version="3"}'
    assert sample(gateway, f"gateway_explanation_rows_total{labels}") == asked
    assert sample(gateway, f"gateway_explanation_duration_seconds_count{labels}") == 1
    assert sample(gateway, 'gateway_explanations_total{model="flights",outcome="ok",version="3"}') == 2
    assert counts_of_verdicts(gateway) == []


def test_an_explanation_that_fails_is_no_failure_of_the_version(gateway, server):
    server.model = lambda columns: classify(columns) | {"score": [math.nan] * len(columns["carrier"])}

    assert explain(gateway, ROW, ROW).status_code == 502
    assert sample(gateway, 'gateway_explanations_total{model="flights",outcome="error",version="3"}') == 2
    assert counts_of_verdicts(gateway) == []

    assert predict(gateway, ROW).status_code == 502
    assert sample(gateway, 'gateway_predictions_total{model="flights",outcome="error",version="3"}') == 1


def test_a_canary_is_explained_by_its_own_rows(start, server, rollout, caplog):
    server.versions[4], server.labels["canary"] = "AVAILABLE", 4
    rollout(stable=3, canary=4, traffic=99)
    # By a feature, so that it is the same each time.
    with start(split_by="carrier") as client:
        (one,) = explain(client, ROW).json()["predictions"]
        server.versions = {3: "AVAILABLE"}
        with caplog.at_level(logging.WARNING):
            (other,) = explain(client, ROW).json()["predictions"]

    assert (one["model_version"], other["model_version"]) == (4, 3)
    assert one["explanation"] == other["explanation"]


def test_the_page_offers_it(gateway):
    document = gateway.get("/openapi.json").json()

    parameters = document["paths"]["/v1/predict"]["post"]["parameters"]
    (parameter,) = [each for each in parameters if each["name"] == "explain"]
    assert (parameter["name"], parameter["in"], parameter["required"]) == ("explain", "query", False)
    assert set(document["components"]["schemas"]["Explanation"]["properties"]) == {
        "of",
        "average",
        "contributions",
        "rows_asked",
    }
