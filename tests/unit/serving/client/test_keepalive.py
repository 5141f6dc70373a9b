"""A connection that is slow, or fell silent: neither answered nor closed, as after a failure of the network."""

from __future__ import annotations

import socket
import threading
import time

import pytest

from serving.client import Client
from serving.client import grpc as grpc_client
from tests.fakes.waiting import PATIENCE


class Line:
    """To a server: it carries bytes until it is cut; connections made after that work again.

    Attributes:
      delay: the seconds before a connection carries the first of what the server says.
    """

    def __init__(self, port: int) -> None:
        self._port, self._cut, self.delay = port, threading.Event(), 0.0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.connections = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        self._cut.set()
        self._cut = threading.Event()

    def close(self) -> None:
        self.cut()
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            far = socket.create_connection(("127.0.0.1", self._port))
            for one, other, delay in ((near, far, 0.0), (far, near, self.delay)):
                threading.Thread(target=self._carry, args=(one, other, delay, self._cut), daemon=True).start()

    def _carry(self, one: socket.socket, other: socket.socket, delay: float, cut: threading.Event) -> None:
        time.sleep(delay)
        while (data := one.recv(1 << 16)) and not cut.is_set():
            other.sendall(data)


@pytest.fixture
def line(server):
    line = Line(server.grpc_port)
    yield line
    line.close()


def test_a_server_that_takes_a_second_to_introduce_itself_is_waited_for(line):
    line.delay = 1.0

    with Client(f"grpc://127.0.0.1:{line.port}/flights", timeout=PATIENCE) as client:
        assert len(client.predict([{}])) == 1


def test_a_silent_connection_is_given_up_and_the_call_made_again(server, line, monkeypatch):
    quick = {"grpc.keepalive_time_ms": 300, "grpc.keepalive_timeout_ms": 300, "grpc.http2.ping_timeout_ms": 300}
    monkeypatch.setattr(grpc_client, "_OPTIONS", tuple({**dict(grpc_client._OPTIONS), **quick}.items()))

    with Client(f"grpc://127.0.0.1:{line.port}/flights", timeout=2 * PATIENCE) as client:
        client.predict([{}])
        line.cut()
        started = time.monotonic()
        assert len(client.predict([{}])) == 1

    # The call's own deadline would end it later.
    assert time.monotonic() - started < PATIENCE
    # A server that is slow to answer a ping may be taken for one that is silent, too.
    assert line.connections >= 2
