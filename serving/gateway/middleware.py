"""Every request's id, its line in the log, its counts, and the answer to an unexpected error."""

from __future__ import annotations

import logging
import re
import time
import uuid

from fastapi import Request
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving import tracing
from serving.gateway.logs import log
from serving.gateway.metrics import GatewayMetrics
from serving.gateway.problems import REQUEST_ID_HEADER, ProblemError, respond

_REQUEST_ID = re.compile(r"[\w.:-]{1,128}", re.ASCII)
# Machines ask for these every few seconds.
_QUIET = ("/healthz", "/readyz", "/metrics")


class RequestMetrics:
    """Counts and logs requests, and gives each an id: the caller's, or a new one.

    Args:
      app: the app that answers them.
      metrics: counts and times.
    """

    def __init__(self, app: ASGIApp, metrics: GatewayMetrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get(REQUEST_ID_HEADER, "")
        scope["request_id"] = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        started, status = time.perf_counter(), 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[REQUEST_ID_HEADER] = scope["request_id"]
            await send(message)

        async def answer() -> None:
            try:
                await self._app(scope, receive, send_with_id)
            except Exception as error:
                log(logging.ERROR, "a request failed unexpectedly", failure=error, request_id=scope["request_id"])
                if not status:
                    problem = ProblemError(500, "The gateway failed. Its log has more, by the request id.")
                    await respond(Request(scope), problem)(scope, receive, send_with_id)

        if scope["path"] in _QUIET:
            await answer()
        else:
            with tracing.server_span(
                scope["method"], Headers(scope=scope).items, {"http.request.method": scope["method"]}
            ) as span:
                await answer()
                _describe(span, scope, status)
        self._record(scope, status, time.perf_counter() - started)

    def _record(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "other")
        self._metrics.requests.labels(route, scope["method"], str(status)).inc()
        self._metrics.request_seconds.labels(route).observe(seconds)
        if route in _QUIET and status < 400:
            return
        log(
            logging.INFO,
            "request",
            request_id=scope["request_id"],
            method=scope["method"],
            route=route,
            status=status,
            seconds=round(seconds, 6),
            **{name: scope[name] for name in ("caller", "caller_kind", "rows", "error") if name in scope},
        )


def _describe(span: tracing.Span, scope: Scope, status: int) -> None:
    route = getattr(scope.get("route"), "path", "other")
    span.rename(f"{scope['method']} {route}")
    span.set({"http.route": route, "http.response.status_code": status, "conveyor.request_id": scope["request_id"]})
    if status >= 500:
        span.fail(str(scope.get("error", status)))
