"""What happens, told to other programs as CloudEvents 1.0.2, in structured mode of the HTTP binding.

https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md
"""

from __future__ import annotations

import atexit
import datetime
import http.client
import json
import queue
import sys
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator, Mapping
from contextlib import suppress
from enum import Enum
from typing import Any, NamedTuple, NoReturn
from urllib.parse import urlsplit

_POST_SECONDS = 10.0
_LAST_SECONDS = 5.0
_LONGEST_QUEUE = 100
_TYPE = "application/cloudevents+json; charset=utf-8"


class EventType(str, Enum):
    """The `type` of an event. Other programs filter by it: names must stay."""

    RUN_ENDED = "conveyor.run.ended"
    MODEL_BLESSED = "conveyor.model.blessed"
    MODEL_NOT_BLESSED = "conveyor.model.not_blessed"
    DRIFT_FOUND = "conveyor.drift.found"
    VERSION_ADOPTED = "conveyor.version.adopted"
    VERSION_REPLAYED = "conveyor.version.replayed"
    VERSION_STARTED = "conveyor.version.started"
    VERSION_STEPPED = "conveyor.version.stepped"
    VERSION_PROMOTED = "conveyor.version.promoted"
    VERSION_ABORTED = "conveyor.version.aborted"
    VERSION_ROLLED_BACK = "conveyor.version.rolled_back"
    LOOP_FAILED = "conveyor.loop.failed"


def event(kind: EventType, pipeline: str, subject: str, data: Mapping[str, Any], once: str = "") -> dict[str, Any]:
    """An event as its receivers get it.

    Args:
      kind: what has happened.
      pipeline: the pipeline's name.
      subject: the run or the version that it is about.
      data: what there is to say of it, as JSON holds it.
      once: of one that may be posted again, what tells it from others of its kind and subject: each time it has the same id.
    """
    source = f"/conveyor/pipelines/{pipeline}"
    same = uuid.uuid5(uuid.NAMESPACE_URL, "\n".join((source, kind.value, subject, once)))
    return {
        "specversion": "1.0",
        "id": str(same if once else uuid.uuid4()),
        "source": source,
        "type": kind.value,
        "subject": subject,
        "time": datetime.datetime.now(datetime.timezone.utc).isoformat(),
        "datacontenttype": "application/json",
        "data": dict(data),
    }


class _Letter(NamedTuple):
    """What is posted: to whom, by the field of the configuration that says so, under which name it is told if it is lost."""

    url: str
    message: Mapping[str, Any]
    name: str
    field: str = "events.url"
    content_type: str = _TYPE


class Outbox:
    """Posts events one after the other in the background, so that a receiver that is slow or away delays nobody.

    What cannot be posted is told and dropped: a receiver that needs every event keeps them, as a broker does.

    Args:
      post_seconds: how long the receiver may be silent.
    """

    def __init__(self, post_seconds: float = _POST_SECONDS) -> None:
        self._seconds = post_seconds
        self._waiting: queue.Queue[_Letter] = queue.Queue(_LONGEST_QUEUE)
        self._posting: _Letter | None = None
        self._worker: threading.Thread | None = None
        self._lock = threading.Lock()

    def post(self, url: str, message: dict[str, Any]) -> None:
        """Posts an event soon; when too many wait already, it is told and dropped."""
        self.send(_Letter(url, message, message["type"]))

    def send(self, letter: _Letter) -> None:
        """Posts a letter as `post` does an event."""
        with self._lock:
            if self._worker is None:
                self._worker = threading.Thread(target=self._work, name="events", daemon=True)
                self._worker.start()
        try:
            self._waiting.put_nowait(letter)
        except queue.Full:
            _tell(letter, f"{_LONGEST_QUEUE} others wait for it")

    def flush(self, seconds: float) -> None:
        """Waits until all events are posted, but no longer than some seconds; the others are told."""
        end = time.monotonic() + seconds
        while self._waiting.unfinished_tasks and time.monotonic() < end:
            time.sleep(0.02)
        for letter in self._left():
            _tell(letter, f"not in the last {seconds:g} seconds of this process")

    def _left(self) -> Iterator[_Letter]:
        if (posting := self._posting) is not None:
            yield posting
        with suppress(queue.Empty):
            while True:
                yield self._waiting.get_nowait()

    def _work(self) -> None:
        while True:
            self._posting = letter = self._waiting.get()
            if problem := deliver(letter.url, letter.message, self._seconds, letter.content_type):
                _tell(letter, problem)
            self._posting = None
            self._waiting.task_done()


_outbox = Outbox()
atexit.register(_outbox.flush, _LAST_SECONDS)


def post(url: str | None, kind: EventType, pipeline: str, subject: str, data: Mapping[str, Any], once: str = "") -> None:
    """Posts an event in the background. The process waits for it when it ends, five seconds at the most.

    Args:
      url: where events are posted; nothing is done without one.
      kind: what has happened.
      pipeline: the pipeline's name.
      subject: the run or the version that it is about.
      data: what there is to say of it, as JSON holds it.
      once: as `event` takes it.
    """
    if url is not None:
        _outbox.post(url, event(kind, pipeline, subject, data, once))


def post_json(url: str, message: Mapping[str, Any], name: str, field: str) -> None:
    """Posts an event that is no CloudEvent, as `post` does.

    Args:
      url: where it is posted.
      message: the event, as JSON holds it.
      name: what it is called if it is not received.
      field: the field of the configuration that has the address.
    """
    _outbox.send(_Letter(url, message, name, field, "application/json"))


def deliver(
    url: str, message: Mapping[str, Any], seconds: float = _POST_SECONDS, content_type: str = "application/json"
) -> str:
    """Posts JSON, and waits until it is received.

    Args:
      url: where it is posted.
      message: the document.
      seconds: how long the receiver may be silent.
      content_type: the type of the document.

    Returns:
      Why it was not received, without the address, which may hold a secret; empty if it was.
    """
    try:
        request = urllib.request.Request(url, json.dumps(message).encode(), {"Content-Type": content_type}, method="POST")
        with urllib.request.build_opener(_NoRedirects).open(request, timeout=seconds):
            return ""
    except urllib.error.HTTPError as error:
        return f"HTTP status {error.code}"
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        return str(reason) if isinstance(reason, OSError) else type(error).__name__


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirected POST would come without its body."""

    def http_error_302(self, req: Any, fp: Any, code: int, msg: str, headers: Any) -> NoReturn:
        raise urllib.error.HTTPError(req.full_url, code, msg, headers, fp)

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302


def _tell(letter: _Letter, reason: str) -> None:
    place = f"{urlsplit(letter.url).netloc} ({letter.field})"
    print(f"The event {letter.name} was not received by {place}: {reason}", file=sys.stderr)
