"""Events reach their receiver, and one that is away, slow or refuses them delays nobody and is told."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from datetime import datetime

import pytest

from pipeline.util.events import EventType, Outbox, deliver, event
from tests.fakes.event_receiver import EventReceiver, event_receiver
from tests.fakes.ports import free_port


@pytest.fixture
def receiver() -> Iterator[EventReceiver]:
    with event_receiver() as receiver:
        yield receiver


def an_event(subject: str = "7") -> dict[str, object]:
    return event(EventType.VERSION_PROMOTED, "flights", subject, {"who": "ada"})


def test_an_event_has_what_the_specification_demands() -> None:
    made = an_event()
    assert made["specversion"] == "1.0"
    assert (made["type"], made["source"]) == ("conveyor.version.promoted", "/conveyor/pipelines/flights")
    assert (made["subject"], made["data"]) == ("7", {"who": "ada"})
    assert uuid.UUID(str(made["id"])) != uuid.UUID(str(an_event()["id"]))
    assert datetime.fromisoformat(str(made["time"])).tzinfo is not None


def test_events_come_in_their_order_as_structured_json(receiver: EventReceiver) -> None:
    outbox = Outbox()
    for number in range(20):
        outbox.post(receiver.url, an_event(str(number)))
    outbox.flush(90)
    assert [each["subject"] for each in receiver.events] == [str(number) for number in range(20)]
    assert set(receiver.types) == {"application/cloudevents+json; charset=utf-8"}


@pytest.mark.parametrize("status", [302, 400, 503])
def test_one_that_is_refused_is_told_and_the_next_is_posted(
    receiver: EventReceiver, capsys: pytest.CaptureFixture[str], status: int
) -> None:
    outbox = Outbox()
    receiver.status = status
    outbox.post(receiver.url, an_event("1"))
    outbox.flush(90)
    receiver.status = 202
    outbox.post(receiver.url, an_event("2"))
    outbox.flush(90)
    assert [each["subject"] for each in receiver.events] == ["1", "2"]
    told = capsys.readouterr().err
    assert told.count("was not received") == 1
    assert (
        f"conveyor.version.promoted was not received by {receiver.url.split('/')[2]} (events.url): HTTP status {status}" in told
    )


def test_a_receiver_that_is_away_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    outbox = Outbox()
    outbox.post(f"http://127.0.0.1:{free_port()}", an_event())
    outbox.flush(90)
    assert "Connection refused" in capsys.readouterr().err


def test_one_that_does_not_speak_http_is_told_and_the_next_event_is_posted(
    receiver: EventReceiver, capsys: pytest.CaptureFixture[str]
) -> None:
    outbox = Outbox()
    with socket.create_server(("127.0.0.1", 0)) as other:
        answering = threading.Thread(target=_greet, args=(other,), daemon=True)
        answering.start()
        outbox.post(f"http://127.0.0.1:{other.getsockname()[1]}", an_event("1"))
        outbox.post(receiver.url, an_event("2"))
        outbox.flush(90)
        answering.join()
    assert [each["subject"] for each in receiver.events] == ["2"]
    assert "BadStatusLine" in capsys.readouterr().err


def _greet(server: socket.socket) -> None:
    """Answers as SSH does."""
    connection, _ = server.accept()
    with connection:
        connection.recv(65536)
        connection.sendall(b"SSH-2.0-OpenSSH_9.6\r\n")


@pytest.mark.parametrize("address", ["hooks/T0/SECRET", "http://127.0.0.1:9/T0/ SECRET\n", "http://127.0.0.1:9/T0/SECRET"])
def test_what_is_wrong_is_told_without_the_address(address: str) -> None:
    problem = deliver(address, {})
    assert problem
    assert "SECRET" not in problem


def test_a_receiver_that_does_not_answer_delays_nobody(receiver: EventReceiver, capsys: pytest.CaptureFixture[str]) -> None:
    receiver.gate.clear()
    outbox = Outbox(post_seconds=600)
    outbox.post(receiver.url, an_event("first"))
    receiver.wait_for(1)
    # As many as may wait, and one more. None of these calls waits for the receiver, which answers none of them.
    for number in range(101):
        outbox.post(receiver.url, an_event(str(number)))
    assert "100 others wait for it" in capsys.readouterr().err
    outbox.flush(0.1)
    assert capsys.readouterr().err.count("not in the last 0.1 seconds of this process") == 101
    assert len(receiver.events) == 1


def test_a_receiver_that_is_silent_for_too_long_is_told(receiver: EventReceiver, capsys: pytest.CaptureFixture[str]) -> None:
    receiver.gate.clear()
    outbox = Outbox(post_seconds=0.2)
    outbox.post(receiver.url, an_event())
    outbox.flush(90)
    assert "timed out" in capsys.readouterr().err


def test_a_process_that_ends_has_posted_its_events(receiver: EventReceiver) -> None:
    code = f"from pipeline.util.events import *; post({receiver.url!r}, EventType.RUN_ENDED, 'flights', 'run-1', {{}})"
    assert subprocess.run([sys.executable, "-c", code], timeout=90).returncode == 0
    assert [each["type"] for each in receiver.events] == ["conveyor.run.ended"]


def test_a_process_that_ends_does_not_wait_for_a_receiver_that_never_answers(receiver: EventReceiver) -> None:
    receiver.gate.clear()
    code = f"from pipeline.util.events import *; post({receiver.url!r}, EventType.RUN_ENDED, 'flights', 'run-1', {{}})"
    released = threading.Timer(80, receiver.gate.set)
    released.start()
    started = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=90)
    released.cancel()
    # The receiver would have kept it for 80 seconds.
    assert time.monotonic() - started < 70
    assert (done.returncode, receiver.gate.is_set()) == (0, False)
    assert "not in the last 5 seconds of this process" in done.stderr
