"""What a request may be, by the model's own schema, and what a caller is told about one that is not."""

from __future__ import annotations

import json

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from pipeline.config import Gateway
from serving.client import ModelFeature, ModelSchema
from serving.gateway.contract import make_contract
from serving.gateway.problems import ProblemError, RowError
from tests.fakes.waiting import PATIENCE
from tests.unit.serving.gateway.conftest import ROW, predict


def test_a_row_is_answered(gateway, server):
    response = predict(gateway, ROW)

    assert response.status_code == 200
    body = response.json()
    assert body["model"] == "flights"
    score = body["predictions"][0]["score"]
    # 1364797800 seconds: what the client makes of the time.
    expected = 0.2 + 1364797800 % 7 / 20 + 2 / 20
    assert score == pytest.approx(expected)
    assert body["predictions"] == [
        {
            "model_version": 3,
            "prediction": int(expected > 0.5),
            "probability": pytest.approx(max(expected, 1 - expected)),
            "score": score,
            "probabilities": pytest.approx([1 - expected, expected]),
        }
    ]


def test_rows_are_answered_in_their_order(gateway):
    rows = [{"carrier": "UA", "distance": float(distance)} for distance in range(1, 100)]

    predictions = predict(gateway, *rows).json()["predictions"]

    singly = [predict(gateway, row).json()["predictions"][0] for row in rows[:5]]
    assert len(predictions) == 99
    assert predictions[:5] == singly
    assert len({prediction["score"] for prediction in predictions}) == 99


@pytest.mark.parametrize("row", [{"carrier": "UA", "distance": 5}, {"carrier": "UA", "distance": 5, "departure": None}])
def test_what_is_optional_may_be_left_out_or_null(gateway, server, row):
    assert predict(gateway, row).status_code == 200
    assert server.received[-1]["departure"] == [-(2**63)]


@pytest.mark.parametrize(
    ("change", "feature", "message", "seen"),
    [
        ({"carrier": "ZZ"}, "carrier", "Input should be 'AA', 'B6' or 'UA'", '"ZZ"'),
        ({"carrier": 5}, "carrier", "Input should be 'AA', 'B6' or 'UA'", "5"),
        ({"carrier": None}, "carrier", "Input should be 'AA', 'B6' or 'UA'", "null"),
        ({"distance": "far"}, "distance", "Input should be a number", '"far"'),
        ({"distance": "5"}, "distance", "Input should be a number", '"5"'),
        ({"distance": True}, "distance", "Input should be a number", "true"),
        ({"distance": None}, "distance", "Input should be a valid number", "null"),
        ({"distance": 0.5}, "distance", "Input should be greater than or equal to 1", "0.5"),
        ({"distance": 6001}, "distance", "Input should be less than or equal to 6000", "6001"),
        ({"distance": [1]}, "distance", "Input should be a valid number", "[1]"),
        ({"departure": "soon"}, "departure", "Input should be an integer of 64 bits, or for a time also text", '"soon"'),
        ({"departure": 1.5}, "departure", "Input should be an integer of 64 bits", "1.5"),
        ({"departure": 2**63}, "departure", "Input should be an integer of 64 bits", str(2**63)),
        ({"departure": True}, "departure", "Input should be an integer of 64 bits", "true"),
        ({"colour": "red"}, "colour", "The model has no such feature", None),
    ],
)
def test_a_wrong_value_is_named_by_row_and_feature(gateway, server, change, feature, message, seen):
    response = predict(gateway, ROW, ROW | change)

    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
    (error,) = response.json()["errors"]
    assert (error["row"], error["feature"], error.get("seen")) == (2, feature, seen)
    assert error["message"].startswith(message)
    assert response.json()["detail"].startswith(f"row 2, feature {feature!r}: {message}")
    assert "predict" not in server.calls


def test_a_required_feature_that_is_not_there(gateway):
    (error,) = predict(gateway, {"carrier": "UA"}).json()["errors"]

    assert error == {"row": 1, "feature": "distance", "message": "This feature is required"}


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e400"])
def test_a_number_that_is_none(gateway, number):
    body = json.dumps({"rows": [ROW]}).replace("1400.0", number)

    response = gateway.post("/v1/predict", content=body)

    assert response.status_code == 422
    assert response.json()["errors"][0]["feature"] == "distance"


@pytest.mark.parametrize(
    ("body", "status", "detail"),
    [
        (b"", 400, "The body is not JSON: EOF while parsing a value"),
        (b'{"rows": [', 400, "The body is not JSON: EOF while parsing a list"),
        (b"\xff\xfe", 400, "The body is not JSON"),
        (b'{"rows": [{"carrier": "\\ud800"}]}', 400, "The body is not JSON"),
        (b"[" * 5000, 400, "The body is not JSON: recursion limit exceeded"),
        (b"[]", 422, "Input should be an object"),
        (b"null", 422, "Input should be an object"),
        (b"{}", 422, "The field 'rows' is required"),
        (b'{"rows": []}', 422, "rows: List should have at least 1 item"),
        (b'{"rows": [1]}', 422, "row 1: Input should be an object"),
        (b'{"rows": {"carrier": "UA"}}', 422, "rows: Input should be a valid array"),
    ],
)
def test_a_body_that_has_no_rows(gateway, body, status, detail):
    response = gateway.post("/v1/predict", content=body)

    assert response.status_code == status
    assert response.json()["detail"].startswith(detail)


def test_many_problems_are_counted_and_the_first_ones_listed(gateway):
    body = predict(gateway, *[ROW | {"distance": "far"}] * 100).json()

    assert body["detail"].startswith("More than 20 problems; the first 20 are listed. row 1, feature 'distance'")
    assert [error["row"] for error in body["errors"]] == list(range(1, 21))


def test_too_many_rows(start):
    with start(max_rows=2) as gateway:
        assert predict(gateway, ROW, ROW).status_code == 200
        response = predict(gateway, ROW, ROW, ROW)

    assert response.status_code == 422
    assert "at most 2 items" in response.json()["detail"]


@pytest.mark.parametrize("declared", [True, False])
def test_a_huge_body_is_refused_before_it_is_read(start, declared):
    read = 0

    async def chunks():
        nonlocal read
        for _ in range(100):
            read += 1
            yield b" " * 1000

    with start(max_body_bytes=5000) as gateway:
        response = gateway.post("/v1/predict", content=b" " * 100_000 if declared else chunks())

    assert response.status_code == 413
    assert response.json()["detail"] == "The body may have 5,000 bytes at the most."
    assert read <= 6


def test_a_body_that_does_not_come(gateway, monkeypatch):
    monkeypatch.setattr("serving.gateway.app._BODY_SECONDS", 0.1)

    async def chunks():
        yield b'{"rows": '
        await anyio.sleep(PATIENCE)

    response = gateway.post("/v1/predict", content=chunks())

    assert response.status_code == 408


def test_domains_can_be_shown_without_being_enforced(start, server):
    with start(enforce_domains=False) as gateway:
        assert predict(gateway, ROW | {"carrier": "ZZ", "distance": 9000}).status_code == 200
        row = gateway.get("/openapi.json").json()["components"]["schemas"]["Row"]["properties"]

    assert server.received[-1] == {"carrier": [b"ZZ"], "departure": [1364797800], "distance": [9000.0]}
    assert row["distance"]["description"] == "Usually 1 to 6000."
    assert row["carrier"]["examples"] == ["AA", "B6", "UA"]


def test_without_a_schema_the_types_hold(start, server):
    with start(feature_schema=None) as gateway:
        assert predict(gateway, {}).status_code == 200
        assert predict(gateway, ROW | {"carrier": "ZZ", "distance": -1}).status_code == 200
        assert predict(gateway, {"distance": "far"}).status_code == 422
        assert predict(gateway, {"colour": "red"}).status_code == 422


class TestPage:
    @pytest.fixture
    def page(self, gateway):
        return gateway.get("/openapi.json").json()

    def test_it_shows_the_features(self, page):
        row = page["components"]["schemas"]["Row"]

        assert row["required"] == ["carrier", "distance"]
        assert row["properties"]["carrier"] == {"enum": ["AA", "B6", "UA"], "type": "string", "title": "carrier"}
        assert row["properties"]["distance"] == {"maximum": 6000, "minimum": 1, "type": "number", "title": "distance"}
        departure = row["properties"]["departure"]
        assert departure["default"] is None
        assert {"type": "string", "format": "date-time"} in departure["anyOf"]

    def test_its_example_works(self, gateway, page):
        example = page["components"]["schemas"]["Row"]["example"]

        assert example == {"carrier": "AA", "distance": 3000.5}
        assert predict(gateway, example).status_code == 200

    def test_the_example_can_be_given(self, start):
        with start(example={"carrier": "UA", "departure": "2013-04-01T06:30:00Z"}) as gateway:
            row = gateway.get("/openapi.json").json()["components"]["schemas"]["Row"]

        assert row["example"] == {"carrier": "UA", "departure": "2013-04-01T06:30:00Z", "distance": 3000.5}

    def test_request_and_responses_are_described(self, page):
        operation = page["paths"]["/v1/predict"]["post"]
        schemas = page["components"]["schemas"]

        assert operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].endswith("/PredictRequest")
        assert operation["responses"]["200"]["content"]["application/json"]["schema"]["$ref"].endswith("/PredictResponse")
        assert list(operation["responses"]) == ["200", "422", "default"]
        assert "504: the model did not answer in time" in operation["responses"]["default"]["description"]
        assert list(schemas["Prediction"]["properties"]) == [
            "model_version",
            "prediction",
            "probability",
            "score",
            "probabilities",
            "explanation",
        ]

    def test_everything_that_it_refers_to_is_there(self, page):
        references = {part.split('"')[0] for part in json.dumps(page).split('"$ref": "')[1:]}

        assert {reference.rpartition("/")[2] for reference in references} <= page["components"]["schemas"].keys()

    def test_its_files_come_from_the_gateway(self, gateway):
        html = gateway.get("/docs").text

        assert "://" not in html
        for name in ("swagger-ui-bundle.js", "swagger-ui.css"):
            path = next(part for part in html.split('"') if part.endswith(name))
            assert gateway.get(path).status_code == 200


def test_names_that_python_cannot_have(start, server):
    server.features = {"model_config": "DT_INT64", "_x": "DT_FLOAT", "my col": "DT_STRING", "rows": "DT_INT64"}
    server.model = lambda columns: {"labels": [1], "probabilities": [0.25, 0.75], "score": [0.75]}
    row = {"model_config": 1, "_x": 2.0, "my col": "three", "rows": 4}

    with start() as gateway:
        assert predict(gateway, row).status_code == 200

    assert server.received == [{"model_config": [1], "_x": [2.0], "my col": [b"three"], "rows": [4]}]


def test_regression(start, server):
    server.outputs = {"predictions": ("DT_FLOAT", 1)}
    server.model = lambda columns: {"predictions": [2.5 for _ in columns["carrier"]]}

    with start() as gateway:
        assert predict(gateway, ROW).json()["predictions"] == [{"model_version": 3, "prediction": 2.5}]
        page = gateway.get("/openapi.json").json()["components"]["schemas"]
        metrics = gateway.get("/metrics").text

    assert list(page["Prediction"]["properties"]) == ["model_version", "prediction", "explanation"]
    assert 'gateway_predicted_value_bucket{le="3.0",model="flights",version="3"} 1.0' in metrics


def test_labels_that_are_text(start, server):
    server.outputs = {"labels": ("DT_STRING", 1), "probabilities": ("DT_FLOAT", 3)}
    server.model = lambda columns: {"labels": [b"late"], "probabilities": [0.25, 0.5, 0.25]}

    with start() as gateway:
        (prediction,) = predict(gateway, ROW).json()["predictions"]
        page = gateway.get("/openapi.json").json()["components"]["schemas"]
        metrics = gateway.get("/metrics").text

    assert prediction == {
        "model_version": 3,
        "prediction": "late",
        "probability": 0.5,
        "probabilities": [0.25, 0.5, 0.25],
    }
    assert page["Prediction"]["properties"]["prediction"]["type"] == "string"
    assert 'gateway_predicted_class_total{label="late",model="flights",version="3"} 1.0' in metrics
    assert 'gateway_predicted_score_sum{model="flights",version="3"} 0.5' in metrics


def test_an_answer_that_is_no_number(start, server):
    server.model = lambda columns: {"labels": [1], "probabilities": [0.0, float("nan")], "score": [float("nan")]}

    with start() as gateway:
        assert predict(gateway, ROW).status_code == 502


def test_an_empty_list_is_no_value_where_lists_have_one_length():
    vector = ModelFeature("vector", "DT_FLOAT", is_list=True, size=2)
    contract = make_contract(ModelSchema(1, {"vector": vector}, {"predictions": "DT_FLOAT"}), {}, Gateway())
    rows = contract.read(b'{"rows": [{"vector": []}, {"vector": null}, {}, {"vector": [1, 2]}]}').rows
    assert [row.get("vector") for row in rows] == [None, None, None, [1.0, 2.0]]
    with pytest.raises(ProblemError):
        contract.read(b'{"rows": [{"vector": [1]}]}')


_NAMES = st.sampled_from(["x", "v", "rows", "keys", "z"])
_WILD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_NAMES, inner, max_size=4),
    max_leaves=15,
)
_ROWS = st.fixed_dictionaries({}, optional={"rows": st.lists(_WILD, max_size=3) | _WILD, "keys": _WILD, "z": _WILD})
_CONTRACT = make_contract(
    ModelSchema(
        1,
        {"x": ModelFeature("x", "DT_FLOAT"), "v": ModelFeature("v", "DT_INT64", is_list=True, size=2)},
        {"predictions": "DT_FLOAT"},
    ),
    {},
    Gateway(max_rows=3),
)


@given(_ROWS | _WILD)
@settings(max_examples=100)
def test_what_pydantic_refuses_is_refused_in_the_same_row(document):
    body = json.dumps(document).encode()
    found = _first(lambda: _CONTRACT.request.model_validate_json(body), ValidationError)
    refused = _first(lambda: _CONTRACT.read(body), ProblemError)

    if found is None:
        # Only the number of keys is left to be wrong.
        assert refused is None or "one for each row" in refused.detail
        return
    assert refused is not None
    place = found.errors()[0]["loc"]
    if place[:1] == ("rows",) and len(place) > 1 and len(document["rows"]) <= 3:
        assert refused.errors[0].row == place[1] + 1


def _first(call, kind):
    try:
        call()
    except kind as error:
        return error
    return None


@pytest.mark.parametrize(
    "body",
    [
        b'{"rows": [{%s}]}' % b",".join(b'"x%d": 1' % number for number in range(50_000)),
        b'{"rows": [{}], %s}' % b",".join(b'"x%d": 1' % number for number in range(50_000)),
        b"{%s}" % b",".join(b'"x%d": 1' % number for number in range(50_000)),
        b'{"rows": [{"v": [%s]}]}' % b",".join([b'"x"'] * 100_000),
        b'{"rows": [{}], "keys": [%s]}' % b",".join([b"[]"] * 100_000),
        b'{"rows": [%s]}' % b",".join([b"1"] * 1000),
    ],
)
def test_of_many_errors_few_are_looked_for(body, monkeypatch):
    features = {"x": ModelFeature("x", "DT_FLOAT"), "v": ModelFeature("v", "DT_INT64", is_list=True)}
    contract = make_contract(ModelSchema(1, features, {"predictions": "DT_FLOAT"}), {}, Gateway())
    found = []
    monkeypatch.setattr("serving.gateway.contract._row_error", lambda problem: found.append(problem) or RowError(message="x"))

    with pytest.raises(ProblemError):
        contract.read(body)
    assert 1 <= len(found) <= 20
