"""Traces of requests by OpenTelemetry, from the gateway to the model server: off, and free, unless a variable turns them on.

All settings are OpenTelemetry's own variables:
https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/. Names of attributes are those of its semantic
conventions: https://opentelemetry.io/docs/specs/semconv/.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import copy_context
from functools import partial
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, TypeVar

from pipeline.errors import UsageError

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Tracer

EXPORTER, ENDPOINT = "OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_ENDPOINT"
_ENDPOINTS = (ENDPOINT, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_DISABLED, _NAME = "OTEL_SDK_DISABLED", "OTEL_SERVICE_NAME"
_OTLP, _NONE = "otlp", "none"
# The names under which exporters are registered, by the protocol.
_OTLP_EXPORTERS = {"http/protobuf": "otlp_proto_http", "grpc": "otlp_proto_grpc"}
_GROUP = "opentelemetry_traces_exporter"

Attributes = Mapping[str, "str | int"]
_Result = TypeVar("_Result")

_tracer: Tracer | None = None


class Span:
    """What can be said of a span while it is open; nothing comes of it where traces are off.

    Args:
      span: OpenTelemetry's; None where traces are off.
    """

    def __init__(self, span: Any = None) -> None:
        self._span = span

    def rename(self, name: str) -> None:
        """Gives it another name."""
        if self._span is not None:
            self._span.update_name(name)

    def set(self, attributes: Attributes) -> None:
        """Adds attributes."""
        if self._span is not None:
            self._span.set_attributes(attributes)

    def fail(self, reason: str) -> None:
        """Marks what it is about as failed."""
        if self._span is not None:
            from opentelemetry.trace import Status, StatusCode

            self._span.set_status(Status(StatusCode.ERROR, reason))


_OFF = nullcontext(Span())


def configure(service: str) -> None:
    """Turns traces on, where the environment names an exporter or the address of a collector.

    Args:
      service: the name of this service, where OTEL_SERVICE_NAME gives no other.

    Raises:
      UsageError: the exporter is not known or not installed.
    """
    implied = _OTLP if any(map(os.environ.get, _ENDPOINTS)) else _NONE
    names = [name.strip() for name in (os.environ.get(EXPORTER) or implied).split(",")]
    wanted = [name for name in names if name not in ("", _NONE)]
    if not wanted or os.environ.get(_DISABLED, "").lower() == "true":
        return
    exporters = [_exporter(name) for name in wanted]

    from opentelemetry.sdk.resources import SERVICE_NAME, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    own = {} if os.environ.get(_NAME) else {SERVICE_NAME: service}
    provider = TracerProvider(resource=Resource.create(own))
    for exporter in exporters:
        provider.add_span_processor(BatchSpanProcessor(exporter))
    use(provider)


def use(provider: TracerProvider | None) -> None:
    """Has spans made by a provider; None turns traces off."""
    global _tracer
    _tracer = None if provider is None else provider.get_tracer("conveyor.serving")


def server_span(
    name: str, headers: Callable[[], Iterable[tuple[str, str | bytes]]], attributes: Attributes
) -> AbstractContextManager[Span]:
    """A span of a request that came in, below the caller's span if the headers name one.

    Args:
      name: the name of the span.
      headers: returns the request's headers, or gRPC's metadata, with names in lower case.
      attributes: what is known of it.
    """
    if _tracer is None:
        return _OFF
    from opentelemetry.propagate import extract
    from opentelemetry.trace import SpanKind

    carried = {key: value for key, value in headers() if isinstance(value, str)}
    return _open(_tracer, name, SpanKind.SERVER, extract(carried), attributes)


def client_span(name: str, attributes: Attributes) -> AbstractContextManager[Span]:
    """A span of a call to another server, within that of a request; nothing where no request is under way.

    Args:
      name: the name of the span.
      attributes: what is known of the call.
    """
    if _tracer is None or not _is_within_request():
        return _OFF
    from opentelemetry.trace import SpanKind

    return _open(_tracer, name, SpanKind.CLIENT, None, attributes)


def inner_span(name: str, attributes: Attributes) -> AbstractContextManager[Span]:
    """A span of a part of the work for a request; arguments are those of `client_span`."""
    if _tracer is None or not _is_within_request():
        return _OFF
    from opentelemetry.trace import SpanKind

    return _open(_tracer, name, SpanKind.INTERNAL, None, attributes)


def shared_span(name: str, places: Sequence[Context | None], attributes: Attributes) -> AbstractContextManager[Span]:
    """A span of work for several requests: below that of the first, with links to those of the others.

    Args:
      name: the name of the span.
      places: where the requests stand, by `place`.
      attributes: what is known of the work.
    """
    if _tracer is None:
        return _OFF
    from opentelemetry.trace import Link, SpanKind, get_current_span

    contexts = [get_current_span(each).get_span_context() for each in places]
    if not contexts[0].is_valid:
        return _OFF
    return _open(_tracer, name, SpanKind.INTERNAL, places[0], attributes, [Link(each) for each in contexts[1:]])


def place() -> Context | None:
    """Where the request that is under way stands in its trace; None where traces are off."""
    if _tracer is None:
        return None
    from opentelemetry.context import get_current

    return get_current()


def headers() -> dict[str, str]:
    """The headers by which a call carries its trace on, such as `traceparent`; empty where traces are off."""
    carried: dict[str, str] = {}
    if _tracer is not None and _is_within_request():
        from opentelemetry.propagate import inject

        inject(carried)
    return carried


def within(work: Callable[[], _Result]) -> Callable[[], _Result]:
    """A function that another thread calls, for the request that is under way here."""
    return work if _tracer is None else partial(copy_context().run, work)


@contextmanager
def _open(
    tracer: Tracer, name: str, kind: Any, parent: Context | None, attributes: Attributes, links: Sequence[Any] = ()
) -> Iterator[Span]:
    with tracer.start_as_current_span(name, parent, kind, attributes, links) as span:
        yield Span(span)


def _is_within_request() -> bool:
    from opentelemetry.trace import get_current_span

    return get_current_span().get_span_context().is_valid


def _exporter(name: str) -> Any:
    registered = name
    if name == _OTLP:
        protocol = next(filter(None, map(os.environ.get, _PROTOCOLS)), "http/protobuf")
        registered = _OTLP_EXPORTERS.get(protocol, protocol)
    try:
        # Without the package there is none; without one that it needs, it cannot be imported.
        return next(iter(entry_points(group=_GROUP, name=registered))).load()()
    except (StopIteration, ImportError) as error:
        known = {_OTLP, _NONE, *(each.name for each in entry_points(group=_GROUP))}
        raise UsageError(
            f"There is no exporter {registered} of traces here.",
            where=EXPORTER if os.environ.get(EXPORTER) else ENDPOINT,
            expected=f"one of {', '.join(sorted(known))}, with its package",
            seen=str(error) or name,
            fix="For OTLP over HTTP, in a checkout: .venv/bin/pip install -e '.[traces]'. Or leave the variable out.",
        ) from error
