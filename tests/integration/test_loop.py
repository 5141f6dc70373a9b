"""`conveyor loop` with real runs on a small table, and with the servers before which it brings what it has pushed."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest
import yaml

from pipeline.loop.journal import Action, Entry, Journal, State
from tests.fakes.ports import free_ports
from tests.fakes.waiting import wait_until

pytestmark = pytest.mark.integration

CONVEYOR = Path(sys.executable).with_name("conveyor")
SECONDS = 900.0
"""The most that a command takes, or a version from the span that it is trained on to its promotion."""

CONFIG: dict[str, Any] = {
    "name": "growing",
    "task": "regression",
    "label": "label",
    "data": {"input": "span-{SPAN}.csv"},
    "model": {"kind": "linear"},
    "infra_validator": {"enabled": False},
}


def write_span(folder: Path, span: int) -> None:
    random = np.random.default_rng(span)
    x, y = random.normal(size=(2, 300))
    frame = pd.DataFrame({"x": x, "y": y, "label": (x + y + 0.1 * random.normal(size=300)).round(4)})
    frame.to_csv(folder / f"span-{span}.csv", index=False)


def loop(folder: Path, *arguments: str) -> str:
    done = subprocess.run([str(CONVEYOR), "loop", *arguments], cwd=folder, capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_there_is_a_reason_for_is_run_once_and_pushed(tmp_path: Path) -> None:
    write_span(tmp_path, 1)
    (tmp_path / "pipeline.yaml").write_text(yaml.safe_dump(CONFIG))

    assert "run: no version has been pushed: version 1 was pushed" in loop(tmp_path, "--once")
    # Nothing was logged, so nothing is known of drift.
    assert "there is no reason to run" in loop(tmp_path, "--once")
    write_span(tmp_path, 2)
    assert "span 2 is still being written" in loop(tmp_path, "--once")

    decisions = json.loads(loop(tmp_path, "--list", "--json"))["decisions"]
    assert [(each["action"], each["state"]) for each in decisions] == [
        ("run", "begun"),
        ("run", "ended"),
        ("wait", "ended"),
        ("wait", "ended"),
    ]
    assert decisions[1]["run"] in {path.name for path in (tmp_path / ".conveyor" / "runs" / "growing").iterdir()}


class Callers:
    """Those who ask the gateway, one request after the other, until the block ends."""

    def __init__(self, url: str) -> None:
        self._url, self._ended = url, threading.Event()
        self.answered, self.failures = 0, list[str]()

    def _call(self) -> None:
        random = np.random.default_rng(0)
        with httpx.Client(base_url=self._url, timeout=60) as client:
            while not self._ended.is_set():
                row = dict(zip("xy", random.normal(size=2).round(4).tolist(), strict=True))
                try:
                    response = client.post("/v1/predict", json={"rows": [row]})
                except httpx.HTTPError as error:
                    self.failures.append(repr(error))
                    continue
                if response.status_code == 200:
                    self.answered += 1
                else:
                    self.failures.append(response.text)

    @contextmanager
    def asking(self) -> Iterator[None]:
        thread = threading.Thread(target=self._call, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join(60)


@contextmanager
def command(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """`conveyor ARGUMENTS` for as long as the block lasts, with its output in a file of its name."""
    with (folder / f"{arguments[0]}.log").open("wb") as log:
        process = subprocess.Popen([str(CONVEYOR), *arguments], cwd=folder, stdout=log, stderr=log)
        try:
            yield process
        finally:
            process.terminate()
            process.wait(90)


def is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=10).status_code == 200
    except httpx.HTTPError:
        return False


def ended(folder: Path) -> list[Entry]:
    """What the loop noted that it had done, in order."""
    entries = Journal(folder / ".conveyor" / "loop" / "growing").entries()
    return [each for each in entries if each.state is State.ENDED and each.action is not Action.WAIT]


def turned_down(folder: Path) -> dict[int | None, str]:
    """Why versions were not promoted, by version."""
    entries = ended(folder)
    replayed = {each.version: each.result for each in entries if each.outcome == "fail"}
    return replayed | {each.version: each.reason for each in entries if each.action is Action.ABORT}


def wait_for_the_end(folder: Path, version: int) -> bool:
    """Waits until a version was promoted, as the loop has noted it, or turned down; returns whether it was promoted."""

    def promoted() -> bool:
        return any(each.action is Action.PROMOTE and each.version == version for each in ended(folder))

    # The rollout is changed before the loop notes what it did: a loop ended in between would do it on its next start.
    wait_until(lambda: promoted() or version in turned_down(folder), "the end of the rollout", SECONDS)
    return promoted()


def is_about_latency(reason: str) -> bool:
    return all(each.startswith("latency") for each in reason.partition("fail: ")[2].split(", "))


def test_a_new_span_wakes_it_and_what_it_trains_is_replayed_tried_by_steps_and_stable(tmp_path: Path) -> None:
    grpc_port, rest_port, gateway_port = free_ports(3)
    url = f"http://127.0.0.1:{gateway_port}"
    gateway = {
        "port": gateway_port,
        "upstream": {"stable": f"grpc://localhost:{grpc_port}/growing"},
        # Each row comes once, and its answer from a model server.
        "cache": {"rows": 0},
        "log": {"folder": "{workspace}/predictions/{name}", "flush_seconds": 0.5},
    }
    settings = {"settle_minutes": 0, "bake_minutes": 0, "steps": [40, 60], "drift": False}
    (tmp_path / "pipeline.yaml").write_text(yaml.safe_dump({**CONFIG, "gateway": gateway, "loop": settings}))
    write_span(tmp_path, 1)
    loop(tmp_path, "--once")
    state = tmp_path / ".conveyor" / "serving" / "growing" / "rollout.json"

    callers = Callers(url)
    with ExitStack() as stack:
        ports = ("--port", str(grpc_port), "--rest-port", str(rest_port))
        stack.enter_context(command(tmp_path, "serve", "--engine", "embedded", *ports))
        stack.enter_context(command(tmp_path, "gateway"))
        wait_until(lambda: is_ready(url))
        stack.enter_context(callers.asking())
        wait_until(lambda: callers.answered > 800)
        stack.enter_context(command(tmp_path, "loop", "--every", "1s", "--server", f"localhost:{grpc_port}"))
        span, promoted = 1, False
        while not promoted:
            span += 1
            write_span(tmp_path, span)
            promoted = wait_for_the_end(tmp_path, span)
            # How long an answer takes is also the machine's doing: the next span is another try.
            assert promoted or (span < 4 and is_about_latency(turned_down(tmp_path)[span]))
    assert callers.failures == []

    history = json.loads(state.read_text())["changes"]
    # The first version served without a rollout until the loop began one.
    assert (history[0]["action"], history[0]["versions"]) == ("adopt", [1])
    assert [each["action"] for each in history[-4:]] == ["replay", "start", "step", "promote"]
    last = {each.action: each for each in ended(tmp_path)}
    assert last.keys() >= {Action.RUN, Action.REPLAY, Action.START, Action.STEP, Action.PROMOTE}
    assert {each.version for action, each in last.items() if action not in (Action.ABORT, Action.ADOPT)} == {span}
    assert last[Action.RUN].reason == f"span {span} has come"
    # Undecided is a latency that may be chance.
    assert last[Action.REPLAY].outcome in ("pass", "undecided")
    assert "rows: " in last[Action.REPLAY].result
    assert all(last[each].reason.startswith("verdict pass") for each in (Action.STEP, Action.PROMOTE))
