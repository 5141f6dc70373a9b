"""The REST interface on its port: ASGI in a thread of its own, requests on a pool of threads."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Thread

import uvicorn
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from serving.errors import ServingError
from serving.modelserver import metrics
from serving.modelserver.flags import Flags
from serving.modelserver.inference.servable import TIMED_OUT
from serving.modelserver.protocol.ports import reserve
from serving.modelserver.protocol.rest.api import Reply, RestApi, failure
from serving.modelserver.status import deadline_exceeded
from serving.modelserver.text_protos import MonitoringConfig, read_text_proto

_BACKLOG = 2048
_POLL_SECONDS = 0.01
# Longer than clients and proxies keep an idle connection, so that it is they who close it and no request gets lost on it.
_KEEP_ALIVE_SECONDS = 75


class RestServer:
    """The REST interface on its port, which is taken at once and answers after `start`.

    Args:
      flags: the server's flags.
      api: answers the requests.

    Raises:
      UsageError: the port cannot be taken.
      ConfigError: the monitoring configuration cannot be read.
    """

    def __init__(self, flags: Flags, api: RestApi) -> None:
        self._api = api
        self._metrics_path = _metrics_path(flags)
        # Seconds; None for no limit.
        self._timeout = flags.rest_api_timeout_in_ms / 1000 if flags.rest_api_timeout_in_ms > 0 else None
        self._socket = reserve(flags.host, flags.rest_api_port, "--rest_api_port")
        self._workers = ThreadPoolExecutor(max(flags.rest_api_num_threads, 1), "rest")
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
        self._workers.shutdown(wait=False, cancel_futures=True)

    async def _respond(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        if scope["path"] == self._metrics_path:
            page = metrics.page().decode()
            await _response(Reply(200, page, "text/plain"))(scope, receive, send)
            return
        try:
            body = await request.body()
        except ClientDisconnect:
            return
        query = f"?{scope['query_string'].decode('latin-1')}" if scope["query_string"] else ""
        target = scope["raw_path"].decode("latin-1") + query
        deadline = time.monotonic() + self._timeout if self._timeout else None
        answer = partial(self._api.answer, request.method, target, body, dict(request.headers), deadline)
        try:
            reply = await asyncio.wait_for(asyncio.get_running_loop().run_in_executor(self._workers, answer), self._timeout)
        except asyncio.TimeoutError:
            reply = failure(deadline_exceeded(TIMED_OUT))
        await _response(reply)(scope, receive, send)


def _response(reply: Reply) -> Response:
    body = reply.body.encode(errors="surrogateescape")
    return Response(body, reply.status, {**reply.headers, "Content-Type": reply.media_type})


def _metrics_path(flags: Flags) -> str | None:
    if not flags.monitoring_config_file:
        return None
    config = read_text_proto(flags.monitoring_config_file, MonitoringConfig)
    if not config.prometheus_config.enable:
        return None
    return config.prometheus_config.path or metrics.DEFAULT_PATH
