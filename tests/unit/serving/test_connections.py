"""The limits of HTTP connections, by an app of a few lines on a real port."""

from __future__ import annotations

import asyncio
import resource
import socket
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import closing, suppress
from typing import Any
from unittest.mock import MagicMock

import pytest
import uvicorn
from uvicorn.server import ServerState

from serving import connections
from serving.connections import (
    MAX_HEAD_BYTES,
    MAX_HEADERS,
    MAX_PIPELINED,
    STALLED_SECONDS,
    allow_many_connections,
    limited_http,
)
from tests.fakes.waiting import PATIENCE, wait_until

BIG = 64 * 2**20


async def app(scope: Any, receive: Callable[..., Any], send: Callable[..., Any]) -> None:
    """Answers / with the number of bytes of its body, /big with much, /slow after a second, and /unread without reading."""
    size = 0
    while scope["path"] != "/unread":
        message = await receive()
        size += len(message.get("body", b""))
        if not message.get("more_body"):
            break
    if scope["path"] == "/slow":
        await asyncio.sleep(1)
    body = bytes(BIG) if scope["path"] == "/big" else b"%d" % size
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


class Line:
    """A connection without a network and with a clock of its own: its loop and its transport at once."""

    def __init__(self) -> None:
        self.seconds, self.timers = 0.0, []
        self.num_waiting, self.is_aborted = 0, False
        config = uvicorn.Config(app, lifespan="off", ws="none", log_config=None)
        config.load()
        self.protocol = limited_http()(config, ServerState(), {}, self)
        self.protocol.connection_made(self)

    def pass_time(self, seconds: float) -> None:
        """Lets time pass, and runs what is due by then."""
        self.seconds += seconds
        due = [timer for timer in self.timers if timer.when() <= self.seconds]
        self.timers = [timer for timer in self.timers if timer not in due]
        for timer in due:
            timer._run()

    def call_later(self, seconds: float, call: Callable[..., Any], *arguments: Any) -> asyncio.TimerHandle:
        timer = asyncio.TimerHandle(self.seconds + seconds, call, arguments, self)
        self.timers.append(timer)
        return timer

    def _timer_handle_cancelled(self, timer: asyncio.TimerHandle) -> None:
        self.timers.remove(timer)

    def get_debug(self) -> bool:
        return False

    def create_task(self, work: Coroutine[Any, Any, None]) -> asyncio.Future[None]:
        work.close()  # Nothing is answered.
        return MagicMock()

    def get_write_buffer_size(self) -> int:
        return self.num_waiting

    def abort(self) -> None:
        self.is_aborted = True

    def get_extra_info(self, name: str) -> None:
        """Nothing is known."""

    def is_closing(self) -> bool:
        return self.is_aborted


@pytest.fixture
def line() -> Line:
    return Line()


class Server:
    """The app on a port, and ways to speak to it."""

    def __init__(self) -> None:
        listener = socket.create_server(("127.0.0.1", 0))
        self.port = listener.getsockname()[1]
        config = uvicorn.Config(app, http=limited_http(), lifespan="off", ws="none", log_config=None, timeout_keep_alive=1)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([listener],), daemon=True)
        self._thread.start()
        wait_until(lambda: self._server.started, "the server's start")

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)

    def send(self, *parts: bytes) -> bytes:
        """Everything that comes back for the parts, until the server closes."""
        with closing(self.connect()) as connection:
            try:
                for part in parts:
                    connection.sendall(part)
            except (BrokenPipeError, ConnectionResetError):
                pass
            return rest(connection)

    def is_well(self) -> bool:
        return self.send(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").endswith(b"\r\n\r\n0")

    def num_connections(self) -> int:
        return len(self._server.server_state.connections)

    def stop(self) -> None:
        self._server.should_exit = self._server.force_exit = True
        self._thread.join()


def rest(connection: socket.socket) -> bytes:
    received = b""
    try:
        while part := connection.recv(65536):
            received += part
    except ConnectionResetError:
        pass
    return received


def drip(connection: socket.socket) -> None:
    for _ in range(int(PATIENCE * 20)):
        connection.sendall(b"x")
        time.sleep(0.05)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.stop()


HEAD = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"


def test_what_is_within_the_limits_is_answered(server: Server) -> None:
    headers = b"".join(b"a%d: %s\r\n" % (number, b"x" * 100) for number in range(MAX_HEADERS - 2))

    assert server.send(HEAD + headers + b"\r\n").startswith(b"HTTP/1.1 200 OK")
    assert server.send(CHUNKED, *[b"1\r\nx\r\n"] * 50_000, b"0\r\n\r\n").endswith(b"50000")


@pytest.mark.parametrize(
    "parts",
    [
        (HEAD + b"a: " + b"x" * MAX_HEAD_BYTES + b"\r\n\r\n",),
        (HEAD + b"a: ", *[b"x" * 65536] * 200),
        (HEAD, *[b"a: b\r\n"] * MAX_HEADERS, b"\r\n"),
        (HEAD, *[b"a%d: %s\r\n" % (number, b"x" * 1000) for number in range(20)], b"\r\n"),
        (b"GET /", *[b"x" * 65536] * 200),
        (b"\r\n" * 8192, *[b"\r\n" * 8192] * 20),
    ],
    ids=["a large header", "one without an end", "many", "large together", "a long target", "empty lines"],
)
def test_a_head_that_is_too_large_is_refused(server: Server, parts: tuple[bytes, ...]) -> None:
    assert b"200 OK" not in server.send(*parts)
    assert server.is_well()


def test_a_refusal_says_why(server: Server) -> None:
    assert server.send(HEAD, *[b"a: b\r\n"] * MAX_HEADERS).endswith(b"\r\n\r\nRequest Header Fields Too Large")
    assert server.send(b"nonsense\r\n\r\n").startswith(b"HTTP/1.1 400 Bad Request")


@pytest.mark.parametrize("trailer", [b"a: b\r\n", b"a: " + b"x" * 1000 + b"\r\n"])
def test_what_follows_a_body_in_chunks_has_limits_too(server: Server, trailer: bytes) -> None:
    assert b"200 OK" not in server.send(CHUNKED, b"0\r\n", *[trailer] * 1000, b"\r\n")


def test_a_chunk_extension_without_an_end_is_refused(server: Server) -> None:
    assert b"200 OK" not in server.send(CHUNKED, b"1;a=", *[b"x" * 65536] * 20)


def test_requests_that_wait_in_a_connection_are_few(server: Server) -> None:
    slow = b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n"
    answers = server.send(slow * (MAX_PIPELINED + 2)).count(b"200 OK")

    assert answers <= MAX_PIPELINED + 1
    assert server.send(HEAD.replace(b"Connection: close\r\n", b"") + b"\r\n" + HEAD + b"\r\n").count(b"200 OK") == 2


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET / HT",
        HEAD,
        b"\r\n",
        HEAD.replace(b"Connection: close\r\n", b"") + b"\r\n" + b"GET /",
        HEAD.replace(b"Connection: close\r\n", b"") + b"\r\n" + b"\r\n",
        b"POST /unread HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n",
    ],
    ids=["nothing", "half a line", "half a head", "an empty line", "half a second head", "an empty line later", "half a body"],
)
def test_a_connection_that_falls_silent_is_closed(server: Server, monkeypatch: pytest.MonkeyPatch, sent: bytes) -> None:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.3)
    with closing(server.connect()) as connection:
        connection.sendall(sent)
        rest(connection)


def test_headers_that_come_drop_by_drop_are_not_waited_for(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.3)
    with closing(server.connect()) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\na: ")
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            drip(connection)


def test_a_head_that_came_while_the_loop_was_busy_is_read(line: Line) -> None:
    line.pass_time(2 * connections.HEAD_SECONDS)
    line.protocol.data_received(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")

    line.pass_time(connections.HEAD_SECONDS)
    assert not line.is_aborted


def test_an_answer_that_takes_longer_than_a_head_may_is_waited_for(line: Line) -> None:
    line.protocol.data_received(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")

    assert line.timers == []
    assert not line.is_aborted


def test_a_client_that_does_not_take_its_answer_is_let_go(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    wait_until(lambda: server.num_connections() == 0, "the end of other connections")
    with closing(server.connect()) as connection:
        wait_until(lambda: server.num_connections() == 1, "the connection")
        monkeypatch.setattr(connections, "STALLED_SECONDS", 0.3)
        connection.sendall(b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n")
        wait_until(lambda: server.num_connections() == 0, "the end of the connection")


def test_a_client_that_takes_its_answer_slowly_gets_it(line: Line) -> None:
    line.protocol.data_received(b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n")
    line.num_waiting = BIG
    line.protocol.pause_writing()
    for taken in range(1, 6):
        line.num_waiting = BIG - taken
        line.pass_time(STALLED_SECONDS)
    assert not line.is_aborted

    line.pass_time(STALLED_SECONDS)
    assert line.is_aborted


def test_time_between_two_waits_for_a_client_does_not_count(line: Line) -> None:
    line.protocol.data_received(b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n")
    line.num_waiting = BIG
    line.protocol.pause_writing()
    line.pass_time(STALLED_SECONDS - 1)
    line.protocol.resume_writing()
    line.protocol.pause_writing()
    line.pass_time(STALLED_SECONDS - 1)

    assert not line.is_aborted


def test_an_answer_that_is_taken_for_longer_than_a_connection_is_kept_comes_whole(server: Server) -> None:
    with closing(server.connect()) as connection:
        connection.sendall(b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n")
        received = len(connection.recv(65536))
        time.sleep(1.5)
        with suppress(ConnectionResetError):
            while part := connection.recv(4 * 2**20):
                received += len(part)

    assert received > BIG


def test_a_process_may_have_many_connections() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
        allow_many_connections()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_silent_connections_make_room_for_those_that_speak(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MAX_SILENT", 5)
    silent = [server.connect() for _ in range(20)]
    try:
        assert server.is_well()
        wait_until(lambda: server.num_connections() <= 5)
        assert rest(silent[0]) == b""
    finally:
        for connection in silent:
            connection.close()
