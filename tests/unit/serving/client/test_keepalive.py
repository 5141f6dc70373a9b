"""A connection that fell silent: neither answered nor closed, as after a failure of the network."""

from __future__ import annotations

import socket
import threading
import time

import pytest

from serving.client import Client
from serving.client import grpc as grpc_client


class Line:
    """To a server: it carries bytes until it is cut; connections made after that work again."""

    def __init__(self, port: int) -> None:
        self._port, self._cut = port, threading.Event()
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
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=self._carry, args=(one, other, self._cut), daemon=True).start()

    def _carry(self, one: socket.socket, other: socket.socket, cut: threading.Event) -> None:
        while (data := one.recv(1 << 16)) and not cut.is_set():
            other.sendall(data)


@pytest.fixture
def line(server):
    line = Line(server.grpc_port)
    yield line
    line.close()


def test_a_silent_connection_is_given_up_and_the_call_made_again(server, line, monkeypatch):
    quick = {"grpc.keepalive_time_ms": 300, "grpc.keepalive_timeout_ms": 300, "grpc.http2.ping_timeout_ms": 300}
    monkeypatch.setattr(grpc_client, "_OPTIONS", tuple({**dict(grpc_client._OPTIONS), **quick}.items()))

    with Client(f"grpc://127.0.0.1:{line.port}/flights", timeout=100) as client:
        client.predict([{}])
        line.cut()
        started = time.monotonic()
        assert len(client.predict([{}])) == 1

    assert time.monotonic() - started < 60
    assert line.connections == 2
