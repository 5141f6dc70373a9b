"""The REST interface on its port: ASGI in a thread of its own, requests on a pool of threads."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from threading import Thread

import uvicorn
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from tensorflow.core.protobuf import error_codes_pb2

from serving import tracing
from serving.connections import limited_http
from serving.errors import ServingError
from serving.modelserver import metrics
from serving.modelserver.flags import Flags
from serving.modelserver.inference.servable import TIMED_OUT
from serving.modelserver.protocol.budget import Budget, Share
from serving.modelserver.protocol.ports import reserve
from serving.modelserver.protocol.rest import json_document
from serving.modelserver.protocol.rest.api import Reply, RestApi, TooLargeError, failure, too_large
from serving.modelserver.status import StatusError, deadline_exceeded
from serving.modelserver.text_protos import MonitoringConfig, read_text_proto

_BACKLOG = 2048
_POLL_SECONDS = 0.01
_ROOM_SECONDS = 10.0
"""The most seconds that a request waits for the memory that others take."""
_SHORT_BYTES = 64 * 1024
"""The size of a body that is looked through on the event loop itself."""
# Longer than clients and proxies keep an idle connection, so that it is they who close it and no request gets lost on it.
_KEEP_ALIVE_SECONDS = 75


class RestServer:
    """The REST interface on its port, which is taken at once and answers after `start`.

    Args:
      flags: the server's flags.
      api: answers the requests.
      budget: the memory of requests under way.

    Raises:
      UsageError: the port cannot be taken.
      ConfigError: the monitoring configuration cannot be read.
    """

    def __init__(self, flags: Flags, api: RestApi, budget: Budget) -> None:
        self._api, self._budget = api, budget
        self._max_bytes = flags.max_request_bytes
        self._metrics_path = _metrics_path(flags)
        # Seconds; None for no limit.
        self._timeout = flags.rest_api_timeout_in_ms / 1000 if flags.rest_api_timeout_in_ms > 0 else None
        self._socket = reserve(flags.host, flags.rest_api_port, "--rest_api_port")
        self._workers = ThreadPoolExecutor(max(flags.rest_api_num_threads, 1), "rest")
        # Questions for a model's state, by which its health is checked, do not wait for predictions.
        self._lookers = ThreadPoolExecutor(1, "rest-status")
        self._server: uvicorn.Server | None = None
        self._thread: Thread | None = None

    def start(self, grace_seconds: float) -> None:
        """Begins to answer, and returns when the port is open.

        Args:
          grace_seconds: the time after which `stop` cuts off requests that are under way.

        Raises:
          ServingError: the interface could not be opened.
        """
        config = uvicorn.Config(
            self._respond,
            http=limited_http(),
            interface="asgi3",
            lifespan="off",
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            backlog=_BACKLOG,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=int(grace_seconds),
        )
        self._server = uvicorn.Server(config)
        self._thread = Thread(target=self._server.run, args=([self._socket],), name="rest-server", daemon=True)
        self._thread.start()
        while not self._server.started:
            if not self._thread.is_alive():
                raise ServingError("The REST interface did not start.", where=str(self._socket), fix="The log says why.")
            time.sleep(_POLL_SECONDS)

    def stop(self) -> None:
        """Accepts no more connections, and waits for the requests that are under way."""
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._thread.join()
        self._socket.close()
        for pool in (self._workers, self._lookers):
            pool.shutdown(wait=False, cancel_futures=True)

    async def _respond(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        if scope["path"] == self._metrics_path:
            page = metrics.page().decode()
            await _response(Reply(200, page, "text/plain"))(scope, receive, send)
            return
        share = Share(self._budget)
        try:
            body = await asyncio.wait_for(self._body(request, share), self._timeout)
        except ClientDisconnect:
            share.give_back()
            return
        except (TooLargeError, StatusError, asyncio.TimeoutError) as error:
            share.give_back()
            await _response(_refusal(error, self._max_bytes))(scope, receive, send)
            return
        if request.method == "POST":
            about = {"http.request.method": request.method, "url.path": scope["path"]}
            with tracing.server_span(request.method, request.headers.items, about) as span:
                reply = await self._reply(request, body, share)
                span.set({"http.response.status_code": reply.status})
                if reply.status >= 500:
                    span.fail(str(reply.status))
        else:
            # From whoever looks after a model, each second.
            reply = await self._reply(request, body, share)
        await _response(reply)(scope, receive, send)

    async def _reply(self, request: Request, body: bytes, share: Share) -> Reply:
        scope = request.scope
        query = f"?{scope['query_string'].decode('latin-1')}" if scope["query_string"] else ""
        target = scope["raw_path"].decode("latin-1") + query
        deadline = time.monotonic() + self._timeout if self._timeout else None
        headers = dict(request.headers)
        may_wait = request.method == "POST" and "content-encoding" not in headers
        has_room = may_wait and await _has_room(share, body)
        take = _taken if has_room else share.take
        answer = partial(self._api.answer, request.method, target, body, headers, deadline, take)
        work = (self._lookers if request.method == "GET" else self._workers).submit(tracing.within(answer))
        # A reply that nobody waits for any longer takes its memory until it is there.
        work.add_done_callback(lambda _: share.give_back())
        try:
            return await asyncio.wait_for(asyncio.wrap_future(work), self._timeout)
        except asyncio.TimeoutError:
            return failure(deadline_exceeded(TIMED_OUT))

    async def _body(self, request: Request, share: Share) -> bytes:
        """Reads a request's body.

        Raises:
          ClientDisconnect: the connection ended before it.
          TooLargeError: it is larger than a request may be.
          StatusError: the requests under way take too much memory already.
        """
        length = request.headers.get("content-length", "")
        if length.isdecimal() and int(length) > self._max_bytes:
            raise TooLargeError
        body = bytearray()
        async for chunk in request.stream():
            share.take(len(chunk))
            body += chunk
            if len(body) > self._max_bytes:
                raise TooLargeError
        return bytes(body)


async def _has_room(share: Share, body: bytes) -> bool:
    """Takes the memory for reading a body, if need be as soon as earlier requests have given back enough.

    Threads do not wait for it: they are there for requests that have their memory.

    Returns:
      Whether it is taken. If not, the request is refused where it is read.
    """
    is_short = len(body) <= _SHORT_BYTES
    num_bytes = json_document.num_bytes(body) if is_short else await asyncio.to_thread(json_document.num_bytes, body)
    end = time.monotonic() + _ROOM_SECONDS
    while True:
        try:
            share.take(num_bytes)
        except StatusError as error:
            if error.code != error_codes_pb2.UNAVAILABLE or time.monotonic() > end:
                return False
        else:
            return True
        await asyncio.sleep(_POLL_SECONDS)


def _taken(num_bytes: int) -> None:
    """Takes nothing: all that a request needs is taken already."""


def _refusal(error: Exception, max_bytes: int) -> Reply:
    """The reply to a request whose body was not read: the connection ends with it."""
    if isinstance(error, TooLargeError):
        reply = too_large(max_bytes)
    elif isinstance(error, StatusError):
        reply = failure(error)
    else:
        reply = failure(deadline_exceeded("The body did not come in time."))
    return replace(reply, headers={"Connection": "close"})


def _response(reply: Reply) -> Response:
    try:
        body = reply.body.encode(errors="surrogateescape")
    except UnicodeEncodeError:  # A request's half of a surrogate pair, which is quoted.
        body = reply.body.encode(errors="replace")
    return Response(body, reply.status, {**reply.headers, "Content-Type": reply.media_type})


def _metrics_path(flags: Flags) -> str | None:
    if not flags.monitoring_config_file:
        return None
    config = read_text_proto(flags.monitoring_config_file, MonitoringConfig)
    if not config.prometheus_config.enable:
        return None
    return config.prometheus_config.path or metrics.DEFAULT_PATH
