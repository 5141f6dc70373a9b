"""The REST interface on a real port, with answers of a few lines."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from serving.modelserver.flags import parse_flags
from serving.modelserver.protocol.budget import Budget
from serving.modelserver.protocol.rest import json_document, server
from serving.modelserver.protocol.rest.api import Reply, failure
from serving.modelserver.protocol.rest.server import RestServer
from serving.modelserver.status import StatusError
from tests.fakes.ports import free_port
from tests.fakes.waiting import PATIENCE

BODY = json.dumps({"instances": [[0.5]] * 1000}).encode()
TOGETHER = 2


class Api:
    """Reads a request, and answers it when `go` is set."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.reading = threading.Semaphore(0)

    def answer(
        self,
        method: str,
        target: str,
        body: bytes,
        headers: dict[str, str],
        deadline: float | None,
        take: Callable[[int], None],
    ) -> Reply:
        try:
            take(json_document.num_bytes(body))
        except StatusError as error:
            return failure(error)
        self.reading.release()
        assert self.go.wait(PATIENCE)
        return Reply(200, "{}")


@contextmanager
def started(api: Any) -> Iterator[str]:
    port = free_port()
    flags = parse_flags(["--model_base_path=/m", f"--rest_api_port={port}", "--host=127.0.0.1", "--rest_api_num_threads=8"])
    budget = Budget(1)
    budget.limit = TOGETHER * (len(BODY) + json_document.num_bytes(BODY)) + len(BODY) * 8
    rest = RestServer(flags, api, budget)
    rest.start(1)
    try:
        yield f"http://127.0.0.1:{port}/v1/models/m:predict"
    finally:
        rest.stop()


def test_requests_that_are_large_together_wait_for_each_other() -> None:
    api = Api()
    with started(api) as url, ThreadPoolExecutor(6) as callers:
        answers = [callers.submit(httpx.post, url, content=BODY, timeout=PATIENCE) for _ in range(6)]
        for _ in range(TOGETHER):
            assert api.reading.acquire(timeout=PATIENCE)
        time.sleep(0.5)  # For the others to come, too.
        api.go.set()

        assert [answer.result().status_code for answer in answers] == [200] * 6


def test_a_request_does_not_wait_for_memory_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_ROOM_SECONDS", 0.1)
    api = Api()
    with started(api) as url, ThreadPoolExecutor(TOGETHER) as callers:
        answers = [callers.submit(httpx.post, url, content=BODY, timeout=PATIENCE) for _ in range(TOGETHER)]
        for _ in range(TOGETHER):
            assert api.reading.acquire(timeout=PATIENCE)

        assert httpx.post(url, content=BODY, timeout=PATIENCE).status_code == 503
        api.go.set()
        assert [answer.result().status_code for answer in answers] == [200] * TOGETHER
        assert httpx.post(url, content=BODY, timeout=PATIENCE).status_code == 200
