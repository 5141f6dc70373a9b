"""Problems as pods report them: through Kubernetes' termination message and back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.config import PipelineConfig
from pipeline.errors import ConveyorError, DataError, NotBlessedError
from pipeline.kubeflow.failures import error_of
from pipeline.kubeflow.pod.payload import Payload
from pipeline.kubeflow.pod.termination import LIMIT, PATH_VARIABLE, Termination, report
from pipeline.kubeflow.run_pods import RunPods
from pipeline.runs.status import NodeOutcome, NodeState, Problem, RunOutcome, RunState
from tests.fakes.kubectl import FakeKubectl

ENTRYPOINT = (sys.executable, "-m", "pipeline.kubeflow.pod.entrypoint", "--node", "Trainer")

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=100)
problems = st.builds(DataError, texts, where=texts, expected=texts, seen=texts, fix=texts).map(Problem.of)
short_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
short_problems = st.builds(DataError, short_texts, where=short_texts, expected=short_texts, fix=short_texts).map(Problem.of)
# Of one byte and of four, escaped in JSON in three ways, and a byte of a file's name that is not UTF-8.
CHARACTERS = ("x", "🚚", '"', "\n", "\x01", "\udc80")


def through(problem: Problem) -> Problem:
    read = Termination.parse(Termination(problem=problem).message()).problem
    assert read is not None
    return read


@given(problems)
@example(Problem.of(DataError('It\'s "broken":\n\n  seen   ☃ 🚚\x00\u2028', seen="where     nowhere\n", fix="a\\nb\t{{$}}")))
def test_a_problem_is_read_back_as_it_was(problem: Problem) -> None:
    assert through(problem) == problem


@given(short_problems, st.sampled_from(["what", "seen"]), st.sampled_from(CHARACTERS), st.integers(1, 9000))
def test_of_a_problem_that_is_too_long_the_longest_text_is_cut(
    problem: Problem, part: str, character: str, length: int
) -> None:
    text = character * length
    whole = problem.model_copy(deep=True)
    if part == "what":
        whole.what = text
    else:
        whole.details["seen"] = text

    read = through(whole)

    cut = read.what if part == "what" else read.details["seen"]
    expected = whole.model_copy(update={"what": cut} if part == "what" else {"details": {**whole.details, "seen": cut}})
    assert read == expected
    assert cut == text.replace("\udc80", "?") or (cut.endswith("…") and text.replace("\udc80", "?").startswith(cut[:-1]))
    assert len(Termination(problem=whole, run_state=RunState.INTERRUPTED).message().encode()) <= LIMIT


def test_a_traceback_is_left_to_the_log() -> None:
    assert through(Problem.of(ConveyorError("It failed."), "Traceback (most recent call last): …")).traceback == ""


@pytest.mark.parametrize("message", ["", "null", "[]", "Error", '{"problem": "text"}'])
def test_another_programs_message_says_nothing(message: str) -> None:
    assert Termination.parse(message) == Termination()


def test_what_was_reported_before_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "termination-log"
    path.touch()
    monkeypatch.setenv(PATH_VARIABLE, str(path))
    problem = Problem.of(NotBlessedError("The webhook is away."))

    trainer = NodeOutcome(upstream=["Transform"], state=NodeState.CACHED, started=1.23456, ended=2.5, notes=["a note"])
    nodes = {"Trainer": trainer, "Pusher": NodeOutcome(state=NodeState.BLOCKED)}
    report(outcome=RunOutcome(run_id="1", pipeline="flights", state=RunState.NOT_BLESSED, nodes=nodes))
    report(problem=problem)

    assert Termination.parse(path.read_text()) == Termination(
        problem=problem,
        run_state=RunState.NOT_BLESSED,
        nodes={
            "Trainer": NodeOutcome(state=NodeState.CACHED, started=1.2, ended=2.5),
            "Pusher": NodeOutcome(state=NodeState.BLOCKED),
        },
    )


def test_outside_a_cluster_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PATH_VARIABLE, str(tmp_path / "termination-log"))

    report(outcome=RunOutcome(run_id="1", pipeline="flights", state=RunState.COMPLETE))

    assert not (tmp_path / "termination-log").exists()


def test_a_problem_goes_through_a_pod_and_kubernetes_and_back(
    tmp_path: Path, cluster_config: PipelineConfig, kubectl: FakeKubectl
) -> None:
    """A pod whose volume is missing, in a folder whose name has quotes, line breaks and characters that are not ASCII."""
    workspace = f'{tmp_path}/Flüge "late"\n  seen      nothing\n✈️ 🚚'
    config = cluster_config.model_copy(update={"workspace": workspace})
    arguments = Payload(b"", config, "digest").arguments()
    log = tmp_path / "termination-log"
    log.touch()

    ended = subprocess.run(
        [*ENTRYPOINT, "--executor-input", json.dumps({"inputs": {"parameterValues": {"run_id": "1"}}}), *arguments],
        env={**os.environ, PATH_VARIABLE: str(log)},
        capture_output=True,
        text=True,
    )
    terminated = {"exitCode": 1, "reason": "Error", "message": log.read_text()}
    kubectl.add("trainer.executor(0)", ended.stderr, containerStatuses=[{"name": "main", "state": {"terminated": terminated}}])
    error = error_of(RunPods(cluster_config, "1", console=None), "trainer", "Trainer")

    assert error.what == "The volume is not mounted."
    assert error.where == workspace
    assert error.expected == "the PersistentVolumeClaim conveyor"
    assert error.fix.startswith("Compile with the kubeflow.volume and kubeflow.mount_path of the cluster")
    assert error.exit_code == ended.returncode == 1
    assert f"{error.headline}: {error.what}" in ended.stderr


def test_wrong_arguments_are_a_problem_too(tmp_path: Path) -> None:
    log = tmp_path / "termination-log"
    log.touch()

    ended = subprocess.run(
        [*ENTRYPOINT, "--executor-input", "{}", "--ir", "broken", "--config", "broken"],
        env={**os.environ, PATH_VARIABLE: str(log)},
        capture_output=True,
    )

    problem = Termination.parse(log.read_text()).problem
    assert problem is not None
    assert problem.details["where"] == "--ir, --config"
    assert problem.exit_code == ended.returncode == 2
