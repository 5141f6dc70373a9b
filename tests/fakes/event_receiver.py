"""A receiver of CloudEvents on this machine, which keeps what it gets."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class EventReceiver:
    """Answers every POST with a status.

    Attributes:
      url: where it listens.
      events: what was posted, in its order.
      types: the content type of each.
      status: with which it answers.
      gate: it answers while this is set.
    """

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.types: list[str] = []
        self.status = 202
        self.gate = threading.Event()
        self.gate.set()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.types.append(self.headers["Content-Type"])
                receiver.events.append(json.loads(body))
                receiver.gate.wait(90)
                self.send_response(receiver.status)
                self.send_header("Location", "/elsewhere")
                self.end_headers()

            def log_message(self, format: str, *arguments: Any) -> None:
                """Tests print nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/events"

    def wait_for(self, count: int) -> list[dict[str, Any]]:
        """The events, when there are so many."""
        end = time.monotonic() + 90
        while len(self.events) < count:
            assert time.monotonic() < end, f"{len(self.events)} of {count} events have come"
            time.sleep(0.01)
        return self.events


@contextmanager
def event_receiver() -> Iterator[EventReceiver]:
    """A receiver that runs as long as the block."""
    receiver = EventReceiver()
    thread = threading.Thread(target=receiver.server.serve_forever, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        receiver.gate.set()
        receiver.server.shutdown()
        receiver.server.server_close()
