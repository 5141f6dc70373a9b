"""Traces are off unless a variable of OpenTelemetry turns them on."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import EntryPoint

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from pipeline.errors import UsageError
from serving import tracing
from tests.fakes.spans import kept_spans

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    with kept_spans() as spans:
        yield spans


@pytest.fixture(autouse=True)
def no_variables(monkeypatch):
    for name in (tracing.EXPORTER, tracing.ENDPOINT, "OTEL_SDK_DISABLED", "OTEL_SERVICE_NAME"):
        monkeypatch.delenv(name, raising=False)
    yield
    tracing.use(None)


def asked() -> tuple[dict[str, str], bool]:
    """The headers that a call within a request would have, and whether there is a place to link to."""
    with tracing.server_span("POST", lambda: [("traceparent", f"00-{TRACE}-{CALLER}-01")], {}) as span:
        span.set({"rows": 1})
        with tracing.client_span("Predict", {}):
            return tracing.headers(), tracing.place() is not None


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {tracing.EXPORTER: "none"},
        {tracing.EXPORTER: "console", "OTEL_SDK_DISABLED": "true"},
        {tracing.EXPORTER: "none", tracing.ENDPOINT: "http://collector:4318"},
    ],
)
def test_they_are_off(monkeypatch, variables):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    tracing.configure("conveyor-gateway")
    assert asked() == ({}, False)
    assert tracing.within(asked) is asked


def test_a_variable_turns_them_on(monkeypatch, capfd):
    monkeypatch.setenv(tracing.EXPORTER, "console")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    tracing.configure("conveyor-gateway")
    carried, has_place = asked()
    assert has_place
    # The caller's trace goes on, and says that it is not recorded here.
    assert carried["traceparent"].startswith(f"00-{TRACE}-")
    assert carried["traceparent"].endswith("-00")


@pytest.mark.parametrize(
    ("variables", "missing"),
    [
        ({tracing.EXPORTER: "jaeger"}, "jaeger"),
        ({tracing.ENDPOINT: "http://collector:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "carrier-pigeon"}, "carrier-pigeon"),
    ],
)
def test_an_exporter_that_is_not_there_is_named_with_its_package(monkeypatch, variables, missing):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError) as raised:
        tracing.configure("conveyor-gateway")
    assert missing in raised.value.what
    assert "console, none, otlp" in raised.value.expected
    assert "pip install -e '.[traces]'" in raised.value.fix


def test_an_exporter_that_lacks_a_package_says_which(monkeypatch):
    broken = EntryPoint("otlp_proto_http", "opentelemetry.exporter.of.nobody:Exporter", "opentelemetry_traces_exporter")
    monkeypatch.setattr(tracing, "entry_points", lambda **wanted: [broken])
    monkeypatch.setenv(tracing.EXPORTER, "otlp")
    with pytest.raises(UsageError, match=r"No module named 'opentelemetry\.exporter"):
        tracing.configure("conveyor-gateway")


def test_the_callers_trace_goes_on_and_spans_are_below_each_other(spans):
    carried, _ = asked()
    client, server = spans.get_finished_spans()
    assert {f"{each.context.trace_id:032x}" for each in (client, server)} == {TRACE}
    assert f"{server.parent.span_id:016x}" == CALLER
    assert client.parent.span_id == server.context.span_id
    assert carried["traceparent"] == f"00-{TRACE}-{client.context.span_id:016x}-01"
    assert server.attributes == {"rows": 1}


def test_calls_without_a_request_have_no_span(spans):
    with tracing.client_span("GetModelMetadata", {}), tracing.inner_span("run model", {}):
        assert tracing.headers() == {}
    with tracing.shared_span("batch", [tracing.place()], {}):
        pass
    assert spans.get_finished_spans() == ()


def test_shared_work_is_below_the_first_request_and_linked_to_the_others(spans):
    places = []
    for _ in range(3):
        with tracing.server_span("POST", list, {}):
            places.append(tracing.place())
    with tracing.shared_span("batch", places, {"rows": 3}):
        pass
    *requests, batch = spans.get_finished_spans()
    assert batch.parent.span_id == requests[0].context.span_id
    assert [link.context.span_id for link in batch.links] == [each.context.span_id for each in requests[1:]]


def test_a_span_that_fails_says_why(spans):
    with tracing.server_span("POST", list, {}) as span:
        span.fail("the model is away")
    with pytest.raises(ZeroDivisionError), tracing.server_span("POST", list, {}):
        1 / 0  # noqa: B018
    told, raised = spans.get_finished_spans()
    assert told.status.description == "the model is away"
    assert raised.status.description == "ZeroDivisionError: division by zero"
