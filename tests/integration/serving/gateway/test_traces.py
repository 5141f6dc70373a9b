"""A trace through gateway and model server, read from an exporter that keeps spans in memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from pipeline.config import Gateway
from serving.gateway.app import create_app
from tests.fakes.spans import kept_spans
from tests.fakes.waiting import wait_until
from tests.integration.serving.gateway.running import ROW
from tests.integration.serving.modelserver.running import serving
from tests.unit.serving.gateway.conftest import Client, running

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    with kept_spans() as spans:
        yield spans


@pytest.fixture(params=["grpc", "http"])
def gateway(request: Any, models: Path) -> Iterator[tuple[Client, str]]:
    """A gateway before a model server, both in this process, by either protocol."""
    with serving(model_name="flights", model_base_path=str(models)) as server:
        addresses = {
            "grpc": f"grpc://127.0.0.1:{server.port}/flights",
            "http": f"http://127.0.0.1:{server.rest_port}/v1/models/flights",
        }
        settings = Gateway.model_validate(
            {"upstream": {"stable": addresses[request.param]}, "cache": {"rows": 0}, "log": {"folder": None}}
        )
        with running(create_app(settings)) as client:
            yield client, request.param


def test_one_trace_leads_from_the_caller_to_the_model(gateway: tuple[Client, str], spans: InMemorySpanExporter) -> None:
    client, protocol = gateway
    spans.clear()
    response = client.post("/v1/predict", json={"rows": [ROW]}, headers={"traceparent": f"00-{TRACE}-{CALLER}-01"})
    assert response.status_code == 200, response.text
    # The model server may close its span after its answer has arrived.
    wait_until(lambda: len(chain(spans)) == 5)
    call = "Predict" if protocol == "grpc" else "POST"
    assert [each.name for each in chain(spans)] == ["POST /v1/predict", "batch", call, call, "run model"]
    assert [each.kind.name for each in chain(spans)] == ["SERVER", "INTERNAL", "CLIENT", "SERVER", "INTERNAL"]
    first = chain(spans)[0]
    assert f"{first.context.trace_id:032x}" == TRACE
    assert dict(first.attributes or {}) == {
        "http.request.method": "POST",
        "http.route": "/v1/predict",
        "http.response.status_code": 200,
        "conveyor.request_id": response.headers["X-Request-ID"],
    }


def test_probes_and_looks_at_the_model_leave_no_spans(gateway: tuple[Client, str], spans: InMemorySpanExporter) -> None:
    # The gateway has looked at the model when it started.
    client, _ = gateway
    assert client.get("/readyz").status_code == 200
    client.get("/metrics")
    assert spans.get_finished_spans() == ()


def chain(spans: InMemorySpanExporter) -> list[ReadableSpan]:
    """The spans of the caller's trace, from the gateway's down to the innermost."""
    finished = [each for each in spans.get_finished_spans() if f"{each.context.trace_id:032x}" == TRACE]
    found: list[ReadableSpan] = []
    below = CALLER
    while children := [each for each in finished if each.parent and f"{each.parent.span_id:016x}" == below]:
        # Before its answer, REST asks for the version: that call is the other child of the batch.
        found.append(next((each for each in children if each.name != "GET"), children[0]))
        below = f"{found[-1].context.span_id:016x}"
    return found
