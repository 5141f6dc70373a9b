"""The exit task of a run: what it tells whom, whatever it cannot do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tfx.proto.orchestration import pipeline_pb2

from pipeline.config.events import Events
from pipeline.errors import NodeError
from pipeline.kubeflow.pod.context import Pod
from pipeline.kubeflow.pod.finish import WEBHOOK_VARIABLE, finish
from pipeline.kubeflow.pod.payload import Payload
from pipeline.kubeflow.pod.termination import PATH_VARIABLE, Termination
from pipeline.runs.database import DatabaseDownError
from pipeline.runs.status import NodeOutcome, NodeState, RunOutcome, RunState
from tests.fakes.event_receiver import EventReceiver, event_receiver
from tests.fakes.ports import free_port
from tests.fakes.workspace import Workspace

NODES = ("ExampleGen", "StatisticsGen", "SchemaGen", "ExampleValidator", "Trainer", "Evaluator", "Pusher")


@pytest.fixture
def receiver() -> Iterator[EventReceiver]:
    with event_receiver() as receiver:
        yield receiver


@pytest.fixture
def message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The termination message of the pod."""
    path = tmp_path / "termination-log"
    path.touch()
    monkeypatch.setenv(PATH_VARIABLE, str(path))
    return path


@pytest.fixture
def pod(workspace: Workspace, receiver: EventReceiver, message: Path, monkeypatch: pytest.MonkeyPatch) -> Pod:
    """The exit task of a run whose nodes are complete, with a receiver of events that is the webhook, too."""
    ir = pipeline_pb2.Pipeline()
    for name in NODES:
        ir.nodes.add().pipeline_node.node_info.id = name
    config = workspace.config.model_copy(update={"events": Events(url=receiver.url)})
    monkeypatch.setenv(WEBHOOK_VARIABLE, receiver.url)
    made = Pod(Payload(ir.SerializeToString(), config, ""), {}, "run-1", {"run_note": "a try"})
    for name in NODES:
        made.keep(name, NodeOutcome(state=NodeState.COMPLETE, started=1.0, ended=2.0))
    return made


def posted(receiver: EventReceiver, count: int) -> dict[str, Any]:
    """What was posted, by the type of the event; `webhook` is the outcome."""
    return {each.get("type", "webhook").removeprefix("conveyor."): each for each in receiver.wait_for(count)}


def test_the_end_of_a_run_is_told(pod: Pod, workspace: Workspace, receiver: EventReceiver, message: Path) -> None:
    workspace.run("run-1", "-1", min_auc=0.9)
    finish(pod)
    told = posted(receiver, 3)
    assert told["webhook"]["state"] == "not_blessed"
    assert told["run.ended"]["data"]["state"] == "not_blessed"
    assert told["model.not_blessed"]["data"]["refused_by"] == "Evaluator"
    assert RunOutcome.load(pod.folder).state is RunState.NOT_BLESSED
    assert Termination.parse(message.read_text()).run_state is RunState.NOT_BLESSED
    assert (pod.folder / "report.html").is_file()


def test_also_while_ml_metadata_is_away(
    pod: Pod, receiver: EventReceiver, message: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONVEYOR_METADATA", f"mysql://root@127.0.0.1:{free_port()}/metadata")
    with pytest.raises(DatabaseDownError):
        finish(pod)
    told = posted(receiver, 2)
    assert (told["webhook"]["state"], told["run.ended"]["data"]["state"]) == ("complete", "complete")
    outcome = RunOutcome.load(pod.folder)
    assert outcome.state is RunState.COMPLETE
    assert "is not known" in outcome.warnings[0]
    assert Termination.parse(message.read_text()).run_state is RunState.COMPLETE


def test_also_where_no_report_can_be_written(
    pod: Pod, workspace: Workspace, receiver: EventReceiver, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace.run("run-1", "-1", version="7")
    statistics = next(workspace.folder("StatisticsGen", "statistics", "statistics-1").rglob("*.pb"), None)
    assert statistics is not None
    statistics.write_bytes(b"damaged")
    finish(pod)
    told = posted(receiver, 3)
    assert (told["webhook"]["state"], told["model.blessed"]["data"]["version"]) == ("complete", 7)
    assert "No report: " in capsys.readouterr().out


@pytest.mark.parametrize("status", [301, 302, 303, 307, 500])
def test_a_webhook_that_does_not_take_the_outcome_fails_the_task_at_its_end(
    pod: Pod, workspace: Workspace, receiver: EventReceiver, status: int
) -> None:
    workspace.run("run-1", "-1", version="7")
    receiver.status = status
    with pytest.raises(NodeError, match="webhook") as told:
        finish(pod)
    assert told.value.seen == f"HTTP status {status}"
    assert (pod.folder / "report.html").is_file()
