"""Why a task failed: by what its pod reported, by Kubernetes, or by Argo where the pod is gone."""

from __future__ import annotations

from typing import Any

import pytest
from rich.console import Console

from pipeline.config import PipelineConfig
from pipeline.errors import ConveyorError, DataError, NodeError
from pipeline.kubeflow.failures import PodLostError, error_of, no_pod
from pipeline.kubeflow.pod.termination import Termination
from pipeline.kubeflow.run_pods import RunPods
from pipeline.kubeflow.runs import PackageTask
from pipeline.runs.status import NodeState, Problem
from tests.fakes.kfp_records import record
from tests.fakes.kubectl import FakeKubectl

RUN = "1f0c6d5e-0000-4000-8000-000000000000"
DATA_ERROR = DataError(
    "The data break the schema.",
    where="ExampleValidator",
    expected="origin is one of EWR, JFK, LGA",
    seen="12 rows of ZZZ\n3 rows without",
    fix="mend the data, or the schema",
)
TRAINER = PackageTask("Trainer", "trainer", (), at_exit=False)


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    return {"phase": "Pending", "containerStatuses": [{"state": {"waiting": {"reason": reason, "message": message}}}]}


def ended(reason: str, **terminated: Any) -> dict[str, Any]:
    state = {"terminated": {"reason": reason, **terminated}}
    return {"phase": "Failed", "containerStatuses": [{"name": "main", "state": state}]}


def message_of(error: ConveyorError) -> str:
    return Termination(problem=Problem.of(error)).message()


@pytest.fixture
def pods(cluster_config: PipelineConfig, kubectl: FakeKubectl) -> RunPods:
    return RunPods(cluster_config, RUN, Console())


def test_a_failed_node_ends_with_its_own_error(pods: RunPods, kubectl: FakeKubectl) -> None:
    # The launcher makes every exit code 1.
    kubectl.add("example-validator.executor(0)", "anything", **ended("Error", exitCode=1, message=message_of(DATA_ERROR)))

    error = error_of(pods, "example-validator", "ExampleValidator")

    assert (error.headline, error.exit_code) == (DataError.headline, DataError.exit_code)
    assert (error.what, error.where, error.seen) == (DATA_ERROR.what, DATA_ERROR.where, DATA_ERROR.seen)
    assert error.fix.startswith(DATA_ERROR.fix)
    assert f"conveyor logs {RUN} ExampleValidator" in error.fix


def test_the_last_of_the_recorded_attempts_counts(pods: RunPods, kubectl: FakeKubectl) -> None:
    recorded = record("data_error")
    pod = recorded.pod("example-validator.executor(2)")
    pod["status"]["containerStatuses"][0]["state"]["terminated"]["message"] = message_of(DATA_ERROR)
    kubectl.replay(recorded)

    assert error_of(pods, "example-validator", "ExampleValidator").exit_code == DataError.exit_code


def test_a_pod_that_was_killed_has_no_error_of_its_own(pods: RunPods, kubectl: FakeKubectl) -> None:
    kubectl.add("trainer.executor(0)", "epoch 1\nepoch 2\n", **ended("OOMKilled", exitCode=1))

    error = error_of(pods, "trainer", "Trainer")

    assert isinstance(error, NodeError)
    assert error.what == "Trainer failed: OOMKilled, exit code 1"
    assert error.seen == "epoch 1\nepoch 2"
    assert "kubeflow.nodes.Trainer.memory_limit" in error.fix


@pytest.mark.parametrize(
    ("reason", "field"),
    [
        ("Evicted", "Ask for what it needs in kubeflow.nodes.Trainer"),
        ("DeadlineExceeded", "kubeflow.nodes.Trainer.timeout_seconds"),
    ],
)
def test_a_pod_that_the_kubelet_ended_says_why(pods: RunPods, kubectl: FakeKubectl, reason: str, field: str) -> None:
    kubectl.add("trainer.executor(0)", "epoch 1", phase="Failed", reason=reason, message="The node was low on memory.")

    error = error_of(pods, "trainer", "Trainer")

    assert error.what == f"Trainer failed: {reason}: The node was low on memory."
    assert field in error.fix


def test_a_pod_that_never_started_has_no_log(pods: RunPods, kubectl: FakeKubectl) -> None:
    kubectl.add("trainer.executor(0)", **waiting("ImagePullBackOff"))

    error = error_of(pods, "trainer", "Trainer")

    assert error.what == "Trainer failed: ImagePullBackOff"
    assert "conveyor image load" in error.fix
    assert error.exit_code == 1


@pytest.mark.parametrize(("name", "message"), [("pod_deleted", "pod deleted"), ("terminated", "main: Error (exit code 143)")])
def test_a_pod_that_is_gone_is_said_to_be_gone_with_argos_reason(
    pods: RunPods, kubectl: FakeKubectl, name: str, message: str
) -> None:
    kubectl.replay(record(name))

    error = error_of(pods, "trainer", "Trainer")

    assert error.what == f"Trainer failed, and its pod is gone: {message}"
    assert "conveyor submit" in error.fix
    # The driver succeeded: its log is not the node's.
    assert not any(" logs " in call for call in kubectl.calls)


@pytest.mark.parametrize("name", ["pod_deleted", "terminated"])
def test_a_pod_that_was_taken_is_no_fault_of_the_node(pods: RunPods, kubectl: FakeKubectl, name: str) -> None:
    kubectl.replay(record(name))

    assert isinstance(error_of(pods, "trainer", "Trainer"), PodLostError)


@pytest.mark.parametrize(
    ("status", "is_lost"),
    [
        ({"phase": "Failed", "reason": "Evicted"}, True),
        (ended("Error", exitCode=143), True),
        (ended("Error", exitCode=1), False),
        (ended("OOMKilled", exitCode=137), False),
        ({**ended("Error", exitCode=143), "reason": "DeadlineExceeded"}, False),
    ],
)
def test_a_pod_that_is_there_was_taken_if_kubernetes_says_so(
    pods: RunPods, kubectl: FakeKubectl, status: dict[str, Any], is_lost: bool
) -> None:
    kubectl.add("trainer.executor(0)", "", **status)

    assert isinstance(error_of(pods, "trainer", "Trainer"), PodLostError) is is_lost


def test_an_earlier_attempt_does_not_speak_for_one_whose_pod_is_gone(pods: RunPods, kubectl: FakeKubectl) -> None:
    recorded = record("data_error")
    recorded.pods.remove(recorded.pod("example-validator.executor(2)"))
    kubectl.replay(recorded)

    assert "its pod is gone: main: Error (exit code 1)" in error_of(pods, "example-validator", "ExampleValidator").what


def test_a_task_without_pod_and_workflow_is_not_explained(pods: RunPods) -> None:
    error = error_of(pods, "trainer", "Trainer")

    assert "before its pod was made, or the pod is gone" in error.what
    assert "neither a pod nor Argo's workflow says why" in error.seen


def test_a_driver_that_failed_is_why_its_task_did(pods: RunPods, kubectl: FakeKubectl) -> None:
    recorded = record("frozen")
    kubectl.replay(recorded)

    error = error_of(pods, "finish", "finish")

    assert error.what == "finish failed: Error, exit code 1"
    assert error.seen == f"log of {recorded.pod('finish-driver(0)')['metadata']['name']}"


def test_without_kubectl_the_error_says_how_to_get_it(pods: RunPods, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")

    error = error_of(pods, "trainer", "Trainer")

    assert "its pods cannot be looked at from here" in error.what
    assert "kubectl cannot be used" in error.seen
    assert "kubectl" in error.fix


@pytest.mark.parametrize(
    ("state", "what"),
    [
        (NodeState.WAITING, "Trainer has not started yet."),
        (NodeState.RUNNING, "Trainer has no pod yet."),
        (NodeState.BLOCKED, "Trainer has no pod: it never started."),
        (NodeState.COMPLETE, "Trainer has no pod any more."),
    ],
)
def test_a_task_without_a_log_says_why(pods: RunPods, state: NodeState, what: str) -> None:
    assert no_pod(pods, TRAINER, state, "http://dashboard").what == what


def test_a_log_that_is_gone_with_its_pod_is_not_that_of_the_driver(pods: RunPods, kubectl: FakeKubectl) -> None:
    kubectl.replay(record("pod_deleted"))

    assert pods.of("trainer") == []
    error = no_pod(pods, TRAINER, NodeState.FAILED, "http://dashboard")
    assert (error.what, error.seen) == ("Trainer has no pod any more.", "attempt 1: pod deleted")
