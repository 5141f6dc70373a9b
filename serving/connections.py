"""HTTP connections with limits: none can cost much before it is known that a request is wanted, and none lasts for ever."""

from __future__ import annotations

import asyncio
import http
import resource
from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

if TYPE_CHECKING:
    from uvicorn._types import ASGI3Application

MAX_HEAD_BYTES = 16 * 1024
"""The most bytes of a request's first line and headers."""
MAX_HEADERS = 100
"""The most headers of a request."""
HEAD_SECONDS = 10.0
"""The most seconds from the opening of a connection, or from the first byte of a further request, to the end of its headers."""
_READ_SECONDS = 0.1
"""How long a head that is late may have arrived already: of a busy loop, timers come before what is there to be read."""
STALLED_SECONDS = 30.0
"""The most seconds in which a client takes nothing of an answer that waits for it."""
MAX_SILENT = 1024
"""The most connections without a request; beyond them, the one that has been silent for longest is closed for a new one."""
MAX_PIPELINED = 16
"""The most requests of a connection that wait for the answer to an earlier one."""


class RefusedError(Exception):
    """A request breaks a limit of its connection."""


class LimitedHttp(HttpToolsProtocol):
    """uvicorn's HTTP/1.1 with limits of size and time. Bodies are the app's to limit.

    Args:
      arguments: those of uvicorn's class.

    Attributes:
      silent: the server's connections that have sent no request yet, the oldest first.
    """

    silent: ClassVar[dict[LimitedHttp, None]] = {}

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._running: RequestResponseCycle | None = None
        self._head_timer: asyncio.TimerHandle | None = None
        self._stall_timer: asyncio.TimerHandle | None = None
        # Of the request whose headers are read: their bytes, and what is sent if they are too many.
        self._head_bytes, self._refusal = 0, 400
        # Bytes that have brought neither a new request nor a part of a body, such as those of a header without an end.
        self._idle_bytes, self._has_advanced = 0, False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begins to wait for a request."""
        super().connection_made(transport)
        if len(self.silent) >= MAX_SILENT:
            next(iter(self.silent)).abort()
        self.silent[self] = None
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forgets the connection."""
        self.silent.pop(self, None)
        for timer in (self._head_timer, self._stall_timer):
            if timer is not None:
                timer.cancel()
        self._unset_keepalive_if_required()
        self._disconnect()
        super().connection_lost(exc)

    def abort(self) -> None:
        """Closes the connection at once, whatever is under way."""
        self._disconnect()
        self.transport.abort()

    def data_received(self, data: bytes) -> None:
        """Reads a part of a request."""
        if not self._is_answering and self._head_timer is None:
            self._await_head()
        self._has_advanced = False
        super().data_received(data)
        self._idle_bytes = 0 if self._has_advanced else self._idle_bytes + len(data)
        if self._idle_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            self._refusal = 431
            self.send_400_response("")

    def on_message_begin(self) -> None:
        """Begins a request."""
        if len(self.pipeline) >= MAX_PIPELINED:
            self._refuse(429)
        self._head_bytes, self._has_advanced = 0, True
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Reads a part of the target."""
        self._count_head(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Reads a header, or what follows a body in chunks."""
        self._count_head(len(name) + len(value))
        if len(self.headers) >= MAX_HEADERS:
            self._refuse(431)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Hands the request to the app."""
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        self.silent.pop(self, None)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Reads a part of a body."""
        self._has_advanced = True
        super().on_body(body)

    def send_400_response(self, msg: str) -> None:
        """Refuses what cannot be read, and closes the connection."""
        if self._is_answering:
            # Part of another answer may be on its way.
            self.abort()
            return
        text = http.HTTPStatus(self._refusal).phrase.encode()
        head = b"content-type: text/plain; charset=utf-8\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(text)
        self.transport.write(STATUS_LINE[self._refusal] + head + text)
        self.transport.close()

    def pause_writing(self) -> None:
        """Waits for the client to take more of its answer."""
        super().pause_writing()
        self._await_reader()

    def resume_writing(self) -> None:
        """Goes on writing."""
        if self._stall_timer is not None and not self.transport.is_closing():
            self._stall_timer.cancel()
            self._stall_timer = None
        super().resume_writing()

    def timeout_keep_alive_handler(self) -> None:
        """Closes a connection that has been without a request for long; a client that still takes its answer gets all of it."""
        if self.transport.get_write_buffer_size() and self._stall_timer is None:
            self._await_reader()
        super().timeout_keep_alive_handler()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def _disconnect(self) -> None:
        """Tells the requests of the connection that nobody waits for them; uvicorn tells only the last one."""
        for cycle in filter(None, (self._running, *(waiting for waiting, _ in self.pipeline))):
            cycle.disconnected = True
            cycle.message_event.set()
        self.pipeline.clear()

    @property
    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _count_head(self, num_bytes: int) -> None:
        self._head_bytes += num_bytes
        if self._head_bytes > MAX_HEAD_BYTES:
            self._refuse(431)

    def _refuse(self, status: int) -> None:
        """Ends the parsing: uvicorn then sends what `send_400_response` sends."""
        self._refusal = status
        raise RefusedError

    def _await_head(self) -> None:
        self._head_timer = self.loop.call_later(HEAD_SECONDS, self._read_what_is_there)

    def _read_what_is_there(self) -> None:
        self._head_timer = self.loop.call_later(_READ_SECONDS, self._head_is_late)

    def _head_is_late(self) -> None:
        self._head_timer = None
        if self._is_answering:
            self._await_head()
        else:
            self.abort()

    def _await_reader(self) -> None:
        waiting = self.transport.get_write_buffer_size()
        self._stall_timer = self.loop.call_later(STALLED_SECONDS, self._reader_is_late, waiting)

    def _reader_is_late(self, waiting: int) -> None:
        if self.transport.get_write_buffer_size() >= waiting:
            self.abort()
        else:
            self._await_reader()


def allow_many_connections() -> None:
    """Raises this process's limit of open files: a connection is a file, and shells allow no more than 1,024 by default."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # macOS reports no limit, but refuses to set none.
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def limited_http() -> type[LimitedHttp]:
    """The protocol of one server's connections, for `uvicorn.Config(http=...)`."""
    return type("LimitedHttp", (LimitedHttp,), {"silent": {}})
