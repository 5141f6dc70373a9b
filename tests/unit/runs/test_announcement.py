"""What other programs are told of a run that has ended."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import PipelineConfig
from pipeline.config.events import Events
from pipeline.errors import StorageError
from pipeline.runs import database
from pipeline.runs.announcement import announce
from pipeline.runs.status import NodeOutcome, NodeState, Problem, RunOutcome, RunState
from tests.fakes.event_receiver import EventReceiver, event_receiver
from tests.fakes.workspace import Workspace


@pytest.fixture
def receiver() -> Iterator[EventReceiver]:
    with event_receiver() as receiver:
        yield receiver


def told(workspace: Workspace, receiver: EventReceiver, outcome: RunOutcome, count: int) -> list[tuple[str, Any]]:
    """The types and the data of the events of a run."""
    config = workspace.config.model_copy(update={"events": Events(url=receiver.url)})
    announce(config, outcome)
    found = [(each["type"].removeprefix("conveyor."), each["data"]) for each in receiver.wait_for(count)]
    assert {(each["source"], each["subject"]) for each in receiver.events} == {("/conveyor/pipelines/flights", "run-1")}
    return found


def ended(state: RunState, **fields: Any) -> RunOutcome:
    return RunOutcome(run_id="run-1", pipeline="flights", note="a try", started=100.0, ended=107.5, state=state, **fields)


def test_of_one_whose_model_was_blessed_and_pushed(workspace: Workspace, receiver: EventReceiver) -> None:
    workspace.run("run-1", "-1", version="7")
    (kind, run), (verdict, model) = told(workspace, receiver, ended(RunState.COMPLETE), 2)
    assert (kind, verdict) == ("run.ended", "model.blessed")
    assert run == {"run": "run-1", "note": "a try", "state": "complete", "seconds": 7.5, "failed": [], "problem": None}
    assert model == {"run": "run-1", "note": "a try", "version": 7}


def test_of_one_whose_model_was_refused(workspace: Workspace, receiver: EventReceiver) -> None:
    workspace.run("run-1", "-1", min_auc=0.9)
    (_, run), (verdict, model) = told(workspace, receiver, ended(RunState.NOT_BLESSED), 2)
    assert (run["state"], verdict, model["refused_by"]) == ("not_blessed", "model.not_blessed", "Evaluator")


def test_of_one_that_failed_before_there_was_a_model(workspace: Workspace, receiver: EventReceiver) -> None:
    workspace.execute("run-1", "ExampleGen")
    problem = Problem(headline="Node failed", what="The Trainer failed.", exit_code=1, traceback="secret paths")
    nodes = {"Trainer": NodeOutcome(state=NodeState.FAILED, problem=problem)}
    ((_, run),) = told(workspace, receiver, ended(RunState.FAILED, problem=problem, nodes=nodes), 1)
    assert (run["failed"], run["problem"]["what"]) == (["Trainer"], "The Trainer failed.")
    assert "traceback" not in run["problem"]


def test_of_one_that_ended_before_its_first_node(config: PipelineConfig, receiver: EventReceiver) -> None:
    config = config.model_copy(update={"events": Events(url=receiver.url)})
    assert announce(config, ended(RunState.FAILED)) is None
    assert [each["type"] for each in receiver.wait_for(1)] == ["conveyor.run.ended"]


def test_of_one_whose_database_is_away(
    config: PipelineConfig, receiver: EventReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONVEYOR_METADATA", "mysql://root@127.0.0.1:9/metadata")
    config = config.model_copy(update={"events": Events(url=receiver.url, openlineage=receiver.url)})
    problem = announce(config, ended(RunState.FAILED))
    assert isinstance(problem, database.DatabaseDownError)
    run, start, end = receiver.wait_for(3)
    assert (run["type"], run["data"]["state"]) == ("conveyor.run.ended", "failed")
    assert (start["eventType"], end["eventType"]) == ("START", "FAIL")


def test_of_one_whose_metadata_store_is_damaged(workspace: Workspace, receiver: EventReceiver) -> None:
    workspace.run("run-1", "-1")
    config = workspace.config.model_copy(update={"events": Events(url=receiver.url)})
    connection = database.connection(config)
    Path(connection.sqlite.filename_uri).write_bytes(b"no database")
    assert isinstance(announce(config, ended(RunState.COMPLETE)), StorageError)
    assert [each["type"] for each in receiver.wait_for(1)] == ["conveyor.run.ended"]


def test_one_that_is_told_again_is_known_by_its_id(workspace: Workspace, receiver: EventReceiver) -> None:
    workspace.run("run-1", "-1", version="7")
    config = workspace.config.model_copy(update={"events": Events(url=receiver.url)})
    # The exit task is tried again: the same end, some seconds later.
    first = ended(RunState.COMPLETE, nodes={"Trainer": NodeOutcome(state=NodeState.COMPLETE, started=101.0)})
    for outcome in (first, first.model_copy(update={"ended": 120.0})):
        announce(config, outcome)
    run, model, run_again, model_again = (each["id"] for each in receiver.wait_for(4))
    assert (run, model) == (run_again, model_again)
    assert run != model
    # The whole run is retried: another end.
    retried = {"Trainer": NodeOutcome(state=NodeState.COMPLETE, started=130.0)}
    announce(config, first.model_copy(update={"nodes": retried}))
    assert receiver.wait_for(6)[4]["id"] != run
