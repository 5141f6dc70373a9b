"""The local runner with a real TFX pipeline whose nodes take no time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import PipelineConfig
from pipeline.errors import ConveyorError, StorageError
from pipeline.local import PipelineFactory, run_pipeline
from pipeline.runs import database
from pipeline.runs.metadata import open_store
from pipeline.runs.outcomes import read_outcome
from pipeline.runs.status import NodeState, RunOutcome, RunState

HERE = Path(__file__).parent


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(HERE))
    return tmp_path


def run(
    workspace: Path,
    *,
    from_nodes: tuple[str, ...] = (),
    to_nodes: tuple[str, ...] = (),
    fingerprint: Callable[[], str] | None = None,
    **behaviour: Any,
) -> RunOutcome:
    config = PipelineConfig(name="tiny", label="y", workspace=str(workspace), data={"input": "x"})
    factory = PipelineFactory("tiny_pipeline:create", {"root": str(workspace), **behaviour})
    return run_pipeline(config, factory, name="tiny", from_nodes=from_nodes, to_nodes=to_nodes, fingerprint=fingerprint)


def was_compiled(workspace: Path, outcome: RunOutcome) -> bool:
    """Whether TFX was asked."""
    return (workspace / "runs" / "tiny" / outcome.run_id / "compile.log").exists()


def states(outcome: RunOutcome) -> list[str]:
    return [node.state.value for node in outcome.nodes.values()]


def test_runs_every_node_once_and_then_takes_each_from_the_cache(workspace: Path) -> None:
    first, second = (run(workspace, left="note:Column x is text.") for _ in range(2))
    assert (first.state, states(first)) == (RunState.COMPLETE, ["complete"] * 4)
    assert (second.state, states(second)) == (RunState.COMPLETE, ["cached"] * 4)
    assert list(first.nodes) == ["Source", "Left", "Right", "Join"]
    assert first.nodes["Join"].upstream == ["Left", "Right"]
    assert all(node.peak_bytes and node.peak_bytes > 10**7 for node in first.nodes.values())
    assert (first.nodes["Left"].notes, second.nodes["Left"].notes) == (["Column x is text."], [])
    assert RunOutcome.load(workspace / "runs" / "tiny" / second.run_id) == second


def test_a_changed_parameter_repeats_what_depends_on_it(workspace: Path) -> None:
    run(workspace)
    assert states(run(workspace, left="copy")) == ["cached", "complete", "cached", "complete"]


def test_independent_branches_run_side_by_side(workspace: Path) -> None:
    meeting_place = workspace / "meeting"
    meeting_place.mkdir()
    outcome = run(workspace, left=f"meet:{meeting_place}", right=f"meet:{meeting_place}")
    assert states(outcome) == ["complete"] * 4


@pytest.mark.parametrize(
    ("behaviour", "headline", "exit_code", "words"),
    [
        ("refuse", "Data error", 3, "The rows are wrong."),
        ("raise", "A node failed", 1, "Left failed with ValueError."),
        ("fill", "Storage error", 1, "the disk is full"),
        ("die", "A node failed", 1, "ended without an answer"),
    ],
)
def test_a_failing_node_stops_the_run_with_a_clear_problem(
    workspace: Path, behaviour: str, headline: str, exit_code: int, words: str
) -> None:
    outcome = run(workspace, left=behaviour)
    assert outcome.state is RunState.FAILED
    assert outcome.nodes["Left"].state is NodeState.FAILED
    assert outcome.nodes["Join"].state is NodeState.BLOCKED
    assert outcome.problem is not None
    assert (outcome.problem.headline, outcome.problem.exit_code) == (headline, exit_code)
    assert words in outcome.problem.what


def test_a_run_after_a_failure_repeats_only_what_is_not_done(workspace: Path) -> None:
    run(workspace, left="raise")
    assert states(run(workspace))[0] == "cached"


def test_a_partial_run_takes_over_the_outputs_of_the_nodes_before_it(workspace: Path) -> None:
    run(workspace)
    outcome = run(workspace, from_nodes=("Join",))
    assert (outcome.state, states(outcome)) == (RunState.COMPLETE, ["skipped", "skipped", "skipped", "cached"])


def test_a_partial_run_builds_on_the_newest_run_that_has_what_it_needs(workspace: Path) -> None:
    run(workspace)
    run(workspace, left="raise")
    assert run(workspace, from_nodes=("Join",)).state is RunState.COMPLETE


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"from_nodes": ("Joint",)}, "no node 'Joint'"),
        ({"from_nodes": ("Join",)}, "No earlier run has the outputs of"),
        ({"from_nodes": ("Join",), "to_nodes": ("Source",)}, "No node lies between Join and Source"),
    ],
)
def test_a_partial_run_that_cannot_be_is_a_usage_error_and_leaves_no_trace(
    workspace: Path, arguments: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConveyorError, match=words) as raised:
        run(workspace, **arguments)
    assert raised.value.exit_code == 2
    assert not [*(workspace / "runs" / "tiny").glob("*/")]


def test_a_run_with_the_fingerprint_of_the_last_one_starts_no_process(workspace: Path) -> None:
    first, second, third = (run(workspace, fingerprint=lambda: "same") for _ in range(3))
    assert (second.state, states(second)) == (RunState.COMPLETE, ["cached"] * 4)
    assert list(second.nodes) == list(first.nodes)
    assert [was_compiled(workspace, outcome) for outcome in (first, second, third)] == [True, False, False]
    assert RunOutcome.load(workspace / "runs" / "tiny" / third.run_id) == third
    assert states(run(workspace)) == ["cached"] * 4, "by TFX, after runs without it"


def test_a_run_with_another_fingerprint_is_compiled(workspace: Path) -> None:
    run(workspace, fingerprint=lambda: "1")
    changed = run(workspace, fingerprint=lambda: "2", left="copy")
    assert states(changed) == ["cached", "complete", "cached", "complete"]


def test_what_is_edited_while_a_run_is_at_work_counts_as_changed(workspace: Path) -> None:
    fingerprints = iter(["1", "2", "2", "2"])
    edited, after = (run(workspace, fingerprint=lambda: next(fingerprints)) for _ in range(2))
    assert edited.fingerprint == ""
    assert was_compiled(workspace, after)


def test_after_a_failed_or_a_partial_run_everything_is_compiled_again(workspace: Path) -> None:
    run(workspace, fingerprint=lambda: "1")
    assert run(workspace, fingerprint=lambda: "2", left="raise").fingerprint == ""
    whole = run(workspace, fingerprint=lambda: "1")
    assert was_compiled(workspace, whole)
    partial = run(workspace, fingerprint=lambda: "1", from_nodes=("Join",))
    assert was_compiled(workspace, partial)
    assert partial.fingerprint == ""
    assert was_compiled(workspace, run(workspace, fingerprint=lambda: "1"))


def hang(workspace: Path) -> tuple[subprocess.Popen[str], int]:
    """Starts a run as a command does, and waits until a node of it hangs; returns the command and the node's process."""
    at_work = workspace / "pid"
    arguments = f"root={str(workspace)!r}, left='hang:{at_work}'"
    code = (
        "import typer\n"
        "from pipeline.config import PipelineConfig; from pipeline.local import PipelineFactory, run_pipeline\n"
        "from pipeline.cli.interruption import ending_on_signals\n"
        "def start() -> None:\n"
        f"    config = PipelineConfig(name='tiny', label='y', workspace={str(workspace)!r}, data={{'input': 'x'}})\n"
        "    with ending_on_signals():\n"
        f"        run_pipeline(config, PipelineFactory('tiny_pipeline:create', dict({arguments})), name='tiny')\n"
        "if __name__ == '__main__':\n"
        "    typer.run(start)\n"
    )
    script = workspace / "command.py"
    script.write_text(code)
    search = os.pathsep.join([str(HERE), str(HERE.parents[2])])
    command = subprocess.Popen(
        [sys.executable, script], env={**os.environ, "PYTHONPATH": search}, stderr=subprocess.PIPE, text=True
    )
    wait_until(lambda: at_work.exists() and at_work.read_text() != "")
    return command, int(at_work.read_text())


def test_a_killed_run_leaves_no_process_and_is_repeated_without_its_finished_nodes(workspace: Path) -> None:
    command, node = hang(workspace)
    with pytest.raises(StorageError, match="Another run of tiny is at work"):
        run(workspace)
    (folder,) = (path.parent for path in (workspace / "runs" / "tiny").glob("*/run.json"))
    assert read_outcome(folder).state is RunState.RUNNING
    command.send_signal(signal.SIGKILL)
    command.communicate()
    assert read_outcome(folder).state is RunState.INTERRUPTED
    wait_until(lambda: not Path(f"/proc/{node}").exists())

    outcome = run(workspace)
    assert outcome.state is RunState.COMPLETE
    assert outcome.nodes["Source"].state is NodeState.CACHED
    assert RunOutcome.load(folder).state is RunState.INTERRUPTED


def test_a_run_of_another_workspace_in_the_same_database_is_left_alone(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONVEYOR_METADATA", f"sqlite://{workspace}/shared.sqlite")
    one, two = workspace / "one", workspace / "two"
    one.mkdir()
    command, _ = hang(one)
    outcome = run(two)
    assert outcome.state is RunState.COMPLETE
    with open_store(database.sqlite(workspace / "shared.sqlite"), "tiny") as store:
        (other,) = set(store.run_starts()) - {outcome.run_id}
        assert store.run(other).executions["Left"].state is NodeState.RUNNING
    command.kill()
    command.communicate()


def test_a_run_that_is_told_to_end_writes_its_state_and_leaves_no_process(workspace: Path) -> None:
    command, node = hang(workspace)
    command.send_signal(signal.SIGTERM)
    _, err = command.communicate(timeout=60)
    assert command.returncode == 128 + signal.SIGTERM
    assert "The same command goes on from there" in err
    (folder,) = (path.parent for path in (workspace / "runs" / "tiny").glob("*/run.json"))
    outcome = RunOutcome.load(folder)
    assert outcome.state is RunState.INTERRUPTED
    assert outcome.nodes["Left"].state is NodeState.INTERRUPTED
    assert outcome.nodes["Join"].state is NodeState.BLOCKED
    wait_until(lambda: not Path(f"/proc/{node}").exists())


def test_a_damaged_outcome_of_an_earlier_run_is_left_aside_and_named(workspace: Path) -> None:
    first = run(workspace, fingerprint=lambda: "same")
    path = workspace / "runs" / "tiny" / first.run_id / "run.json"
    path.write_text('{"format": 2}')
    second = run(workspace, fingerprint=lambda: "same")
    assert (second.state, states(second)) == (RunState.COMPLETE, ["cached"] * 4)
    assert [str(path) in warning for warning in second.warnings] == [True]
    assert path.read_text() == '{"format": 2}'


def wait_until(condition: Any, seconds: float = 300) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)
