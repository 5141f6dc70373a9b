"""Health, versions, metrics, request ids and the log."""

from __future__ import annotations

import json
import logging

import pytest

from serving.gateway.logs import JsonFormatter
from tests.fakes.model_server import ModelServer, free_address
from tests.fakes.waiting import wait_until
from tests.unit.serving.gateway.conftest import ROW, predict, sample


@pytest.fixture
def lines(caplog):
    """What the gateway logs, as it is written."""
    caplog.set_level(logging.INFO, "conveyor.gateway")
    return lambda: [
        json.loads(JsonFormatter().format(record)) for record in caplog.records if record.name == "conveyor.gateway"
    ]


def test_a_gateway_whose_model_answers_is_ready(gateway):
    assert gateway.get("/healthz").json() == {"status": "ok"}
    assert gateway.get("/readyz").json() == {"status": "ready", "model": "flights", "version": 3}


def test_a_gateway_without_a_model_runs_and_says_so(start):
    with start(upstream={"stable": free_address("grpc")}, timeout_seconds=0.5) as gateway:
        assert gateway.get("/healthz").status_code == 200
        assert gateway.get("/readyz").status_code == 503
        response = predict(gateway, ROW)
        assert response.status_code == 503
        assert response.headers["Retry-After"] == "1"
        assert "PredictRequest" not in gateway.get("/openapi.json").json()["components"]["schemas"]


def test_it_becomes_ready_when_the_model_does(start):
    address = free_address("grpc")
    with start(upstream={"stable": address}, timeout_seconds=0.5) as gateway:
        server = ModelServer(grpc_port=int(address.split(":")[2].split("/")[0]))
        try:
            wait_until(lambda: gateway.get("/readyz").status_code == 200)
            # The deadline of these tests is short: a single request may miss it.
            wait_until(lambda: predict(gateway, ROW).status_code == 200)
        finally:
            server.stop()


def test_a_new_version_with_other_features_is_described(gateway, server):
    server.versions = {4: "AVAILABLE"}
    server.features = {"carrier": "DT_STRING", "wind": "DT_FLOAT"}
    server.model = lambda columns: {"labels": [1], "probabilities": [0.25, 0.75], "score": [0.75]}

    wait_until(lambda: gateway.get("/readyz").json().get("version") == 4)

    assert predict(gateway, {"carrier": "UA", "wind": 7.5}).json()["predictions"][0]["model_version"] == 4
    assert predict(gateway, ROW).status_code == 422
    assert "wind" in gateway.get("/openapi.json").json()["components"]["schemas"]["Row"]["properties"]


def test_problems_are_described_as_they_are_answered(gateway):
    document = gateway.get("/openapi.json").json()
    refused = gateway.get("/rollout", params={"min_rows": 0})

    described = document["paths"]["/rollout"]["get"]["responses"]
    assert refused.status_code == 422
    assert str(refused.status_code) not in described
    assert list(described["default"]["content"]) == [refused.headers["Content-Type"]]
    problem = {"$ref": "#/components/schemas/Problem"}
    for operations in document["paths"].values():
        for operation in operations.values():
            assert operation["responses"]["default"]["content"]["application/problem+json"]["schema"] == problem
    assert not {"HTTPValidationError", "ValidationError"} & document["components"]["schemas"].keys()


def test_versions_and_labels_are_listed(start, server, rollout):
    server.versions, server.labels = {3: "AVAILABLE", 4: "AVAILABLE", 2: "END"}, {"stable": 3, "canary": 4}
    rollout(stable=3, canary=4, traffic=10)

    with start() as gateway:
        (model,) = gateway.get("/v1/models").json()["models"]

    assert model == {
        "name": "flights",
        "canary_traffic": 10,
        "versions": [
            {"version": 2, "state": "END", "labels": []},
            {"version": 3, "state": "AVAILABLE", "labels": ["stable"]},
            {"version": 4, "state": "AVAILABLE", "labels": ["canary"]},
        ],
    }


class TestRequestIds:
    def test_a_callers_id_is_kept(self, gateway):
        response = predict(gateway, ROW, **{"X-Request-ID": "order-17"})

        assert response.json()["request_id"] == response.headers["X-Request-ID"] == "order-17"

    @pytest.mark.parametrize("given", [{}, {"X-Request-ID": "a b"}, {"X-Request-ID": "x" * 200}, {"X-Request-ID": '"}{'}])
    def test_otherwise_there_is_a_new_one(self, gateway, given):
        ids = {predict(gateway, ROW, **given).headers["X-Request-ID"] for _ in range(2)}

        assert len(ids) == 2
        assert all(len(each) == 32 for each in ids)

    def test_problems_have_one(self, gateway):
        response = gateway.get("/nothing", headers={"X-Request-ID": "order-17"})

        assert response.status_code == 404
        assert response.json()["request_id"] == response.headers["X-Request-ID"] == "order-17"


class TestLog:
    def test_a_request_is_a_line(self, gateway, lines):
        predict(gateway, ROW, ROW, **{"X-Request-ID": "order-17"})

        line = lines()[-1]
        assert line.pop("seconds") > 0
        assert line.pop("time").endswith("+00:00")
        assert line == {
            "level": "info",
            "logger": "conveyor.gateway",
            "event": "request",
            "request_id": "order-17",
            "method": "POST",
            "route": "/v1/predict",
            "status": 200,
            "caller": "127.0.0.1",
            "caller_kind": "address",
            "rows": 2,
        }

    def test_it_says_why_a_request_failed(self, gateway, server, lines):
        server.stop()
        predict(gateway, ROW)

        assert lines()[-1]["error"].startswith("ServerAwayError: No model server answers at")

    def test_probes_are_not_in_it(self, gateway, lines):
        before = len(lines())
        for path in ("/healthz", "/readyz", "/metrics"):
            gateway.get(path)

        assert len(lines()) == before

    def test_features_that_only_the_settings_have_are_named(self, start, lines):
        with start(log={"folder": None, "exclude": ["carrier", "nmae"]}, split_by="customer", example={"distnace": 1}):
            (line,) = [line for line in lines() if line["level"] == "warning"]

        assert line["features"] == ["customer", "distnace", "nmae"]

    def test_neither_rows_nor_keys_are_in_it(self, start, lines, monkeypatch):
        monkeypatch.setenv("CONVEYOR_REDIS_PASSWORD", "secret-password")
        with start(cache={"redis": "redis://127.0.0.1:1"}, access={"api_keys": {"shop": {"sha256": "0" * 64}}}) as gateway:
            predict(
                gateway, ROW | {"carrier": "secret-carrier"}, **{"X-API-Key": "secret-key", "Authorization": "secret-token"}
            )

        assert "secret" not in json.dumps(lines())


class TestMetrics:
    def test_requests_by_route_and_status(self, gateway):
        predict(gateway, ROW)
        predict(gateway, {})
        gateway.get("/nothing/at/all")

        assert sample(gateway, 'gateway_requests_total{method="POST",route="/v1/predict",status="200"}') == 1
        assert sample(gateway, 'gateway_requests_total{method="POST",route="/v1/predict",status="422"}') == 1
        assert sample(gateway, 'gateway_requests_total{method="GET",route="other",status="404"}') == 1
        assert sample(gateway, 'gateway_request_duration_seconds_count{route="/v1/predict"}') == 2

    def test_predictions_by_version_and_class(self, gateway):
        predict(gateway, *({"carrier": "UA", "distance": float(distance)} for distance in range(10, 1000, 10)))

        of_version = 'model="flights",version="3"'
        assert sample(gateway, 'gateway_predictions_total{model="flights",outcome="ok",version="3"}') == 99
        classes = [sample(gateway, f'gateway_predicted_class_total{{label="{label}",{of_version}}}') for label in (0, 1)]
        assert sum(classes) == 99
        assert min(classes) > 0
        assert sample(gateway, f"gateway_predicted_score_count{{{of_version}}}") == 99
        assert 0 < sample(gateway, f'gateway_predicted_score_bucket{{le="0.5",{of_version}}}') < 99
        assert sample(gateway, f"gateway_prediction_duration_seconds_count{{{of_version}}}") == 1


def test_what_nobody_expected_is_a_problem_too(gateway, server, monkeypatch, lines):
    monkeypatch.setattr("serving.gateway.predictor.Predictor.predict", lambda *arguments, **options: 1 / 0)

    response = predict(gateway, ROW, **{"X-Request-ID": "order-17"})

    assert response.status_code == 500
    assert response.json()["request_id"] == "order-17"
    assert "division" not in response.text
    assert any("ZeroDivisionError" in line.get("traceback", "") for line in lines())
