"""The display of a run while it goes on."""

from __future__ import annotations

import io
import time

import pytest
from rich.console import Console

from pipeline.report.progress import observe
from pipeline.runs.status import NodeOutcome, NodeState, RunOutcome


def outcome(**nodes: NodeOutcome) -> RunOutcome:
    return RunOutcome(run_id="1a2b", pipeline="flights", nodes=nodes)


def shown(*outcomes: RunOutcome, terminal: bool) -> str:
    console = Console(file=io.StringIO(), force_terminal=terminal, width=100)
    with observe(console, starting="waiting for the cluster", note=lambda _, node: f"{node} says hello") as show:
        for each in outcomes:
            show(each)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_line_a_node_when_it_ends_where_there_is_no_terminal() -> None:
    at_work = NodeOutcome(state=NodeState.RUNNING, started=time.time())
    done = NodeOutcome(state=NodeState.COMPLETE, started=100.0, ended=102.5)

    lines = shown(outcome(), outcome(Trainer=at_work), outcome(Trainer=done), outcome(Trainer=done), terminal=False)

    assert lines == "Trainer                  complete         2.5 s\n"


@pytest.mark.parametrize("terminal", [True, False])
def test_a_note_is_told_once_as_soon_as_its_node_has_ended(terminal: bool) -> None:
    notes = [f"Column c{number} is text." for number in range(14)]
    done = NodeOutcome(state=NodeState.COMPLETE, started=100.0, ended=102.5, notes=notes)
    at_work = NodeOutcome(state=NodeState.RUNNING, started=time.time())

    text = shown(*[outcome(ExampleGen=done, Trainer=at_work)] * 3, terminal=terminal)

    assert text.count("ExampleGen: Column c3 is text.") == 1
    assert "c12" not in text
    assert "ExampleGen: and 2 more notes, in the report" in text


def test_a_line_now_and_then_on_what_takes_long_where_there_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    console = Console(file=io.StringIO(), width=100)
    at_work = outcome(Trainer=NodeOutcome(state=NodeState.RUNNING, started=100.0))
    with observe(console, starting="", note=lambda _, node: "epoch 2/5") as show:
        for now in (101.0, 129.0, 131.0, 140.0, 162.0):
            monkeypatch.setattr(time, "time", lambda now=now: now)
            show(at_work)

    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue().splitlines() == [
        "Trainer                  running         31.0 s  epoch 2/5",
        "Trainer                  running         62.0 s  epoch 2/5",
    ]


def test_a_live_table_on_a_terminal_with_a_note_for_what_is_at_work() -> None:
    done = NodeOutcome(state=NodeState.COMPLETE, started=100.0, ended=102.5)
    at_work = NodeOutcome(state=NodeState.RUNNING, started=100.0)

    text = shown(outcome(), outcome(ExampleGen=done, Trainer=at_work, Pusher=NodeOutcome()), terminal=True)

    assert "run 1a2b of flights" in text
    assert "Trainer says hello" in text
    assert "ExampleGen says hello" not in text
    assert "waiting" in text
