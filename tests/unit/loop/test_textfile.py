"""What Prometheus is told of a loop."""

from __future__ import annotations

import re

import pytest

from pipeline.loop.journal import Action, Entry, State
from pipeline.loop.textfile import render

WAIT, RUN, START = Action.WAIT, Action.RUN, Action.START
BEGUN, ENDED, FAILED = State.BEGUN, State.ENDED, State.FAILED


def told(*lines: tuple[int, Action, State], paused: bool = False, needs_approval: bool = False) -> dict[str, float]:
    """The values by name of what lines of a journal make: number, action, state; written at 100 seconds after another."""
    entries = [
        Entry(number=number, at=100.0 * place, action=action, key=action.value, reason="", state=state)
        for place, (number, action, state) in enumerate(lines, start=1)
    ]
    if needs_approval:
        entries[-1].needs_approval = True
    page = render("flights", entries, 5000.0, paused=paused)
    found = re.findall(r'^conveyor_loop_(\w+)\{(?:action="(\w+)",)?model="flights"\} (\S+)$', page, flags=re.MULTILINE)
    return {f"{name} {action}".strip(): float(value) for name, action, value in found}


def test_one_that_has_done_nothing() -> None:
    assert told() == {"decided_seconds": 5000, "paused": 0, "needs_approval": 0, "action_began_seconds": 0, "failures": 0}


def test_one_at_work() -> None:
    found = told((1, RUN, BEGUN), (1, RUN, ENDED), (2, START, BEGUN))
    assert (found["action_began_seconds"], found["ended_seconds run"], found["failures"]) == (300, 200, 0)
    assert "ended_seconds start" not in found


def test_one_that_a_person_keeps() -> None:
    found = told((1, WAIT, ENDED), paused=True, needs_approval=True)
    assert (found["paused"], found["needs_approval"], found["action_began_seconds"]) == (1, 1, 0)


@pytest.mark.parametrize(
    ("lines", "failures"),
    [
        ([(1, RUN, BEGUN), (1, RUN, FAILED)], 1),
        ([(1, RUN, BEGUN), (1, RUN, FAILED), (2, WAIT, ENDED), (3, RUN, BEGUN), (3, RUN, FAILED)], 2),
        # It was cut off, and has begun again.
        ([(1, RUN, BEGUN), (2, RUN, BEGUN)], 1),
        ([(1, RUN, FAILED), (2, RUN, FAILED), (3, RUN, ENDED)], 0),
        # Something else has gone well since: what failed is not tried any more.
        ([(1, START, FAILED), (2, RUN, BEGUN), (2, RUN, ENDED)], 0),
    ],
)
def test_failures_in_a_row(lines: list[tuple[int, Action, State]], failures: int) -> None:
    assert told(*lines)["failures"] == failures
