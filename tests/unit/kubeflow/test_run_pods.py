"""The pods of a run: logs, what keeps them from starting, and the errors that they end with."""

from __future__ import annotations

from typing import Any

import pytest
from rich.console import Console

from pipeline.config import PipelineConfig
from pipeline.errors import ConveyorError, DataError, NodeError
from pipeline.kubeflow.pod.termination import Termination
from pipeline.kubeflow.run_pods import RunPods
from pipeline.runs.status import Problem, RunState
from pipeline.util.programs import ProgramError
from tests.fakes.kubectl import FakeKubectl

RUN = "1f0c6d5e-0000-4000-8000-000000000000"
DATA_ERROR = DataError(
    "The data break the schema.",
    where="ExampleValidator",
    expected="origin is one of EWR, JFK, LGA",
    seen="12 rows of ZZZ\n3 rows without",
    fix="mend the data, or the schema",
)


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    return {"phase": "Pending", "containerStatuses": [{"state": {"waiting": {"reason": reason, "message": message}}}]}


def ended(reason: str, **terminated: Any) -> dict[str, Any]:
    state = {"terminated": {"reason": reason, **terminated}}
    return {"phase": "Failed", "containerStatuses": [{"name": "main", "state": state}]}


def reported(error: ConveyorError) -> dict[str, Any]:
    """The status of a pod whose task ended with an error. The launcher makes every exit code 1."""
    return ended("Error", exitCode=1, message=Termination(problem=Problem.of(error)).message())


@pytest.fixture
def pods(cluster_config: PipelineConfig, kubectl: FakeKubectl) -> RunPods:
    return RunPods(cluster_config, RUN, Console())


@pytest.mark.parametrize(
    ("step", "task"),
    [
        ("trainer.executor(0)", "trainer"),
        ("trainer.executor", "trainer"),
        # As Argo names steps where it retries each of them by default.
        ("trainer(0).executor(0)", "trainer"),
        ("onExit(0).finish-driver(0)", "finish"),
    ],
)
def test_a_pod_belongs_to_the_task_that_its_step_names(pods: RunPods, kubectl: FakeKubectl, step: str, task: str) -> None:
    kubectl.add(step, "its log")

    assert [pods.log(pod) for pod in pods.of(task)] == ["its log"]


def test_the_pods_of_a_node_are_its_attempts_in_the_order_of_time(pods: RunPods, kubectl: FakeKubectl) -> None:
    kubectl.add("trainer-driver", "driver")
    kubectl.add("trainer.executor(0)", "first")
    kubectl.add("transform.executor", "another node")
    kubectl.add("trainer.executor(1)", "second")

    assert [pods.log(pod) for pod in pods.of("trainer")] == ["first", "second"]
    assert kubectl.calls[0].startswith("kubectl --context kind-conveyor --namespace kubeflow get pods")
    assert f"--selector=pipeline/runid={RUN}" in kubectl.calls[0]


def test_before_a_node_has_a_pod_its_driver_stands_for_it(pods: RunPods, kubectl: FakeKubectl) -> None:
    kubectl.add("trainer-driver(0)", "no such volume")

    assert [pods.log(pod) for pod in pods.of("trainer")] == ["no such volume"]
    assert pods.of("pusher") == []


def test_the_exit_task_is_found_among_the_hooks(pods: RunPods, kubectl: FakeKubectl) -> None:
    message = Termination(run_state=RunState.NOT_BLESSED).message()
    kubectl.add("onExit.finish.executor(0)", "", **ended("Completed", message=message))

    assert pods.final_state("finish") is RunState.NOT_BLESSED


@pytest.mark.parametrize("message", ["", "OOM", '{"run_state": "unheard of"}', "[]"])
def test_an_exit_task_that_says_nothing(pods: RunPods, kubectl: FakeKubectl, message: str) -> None:
    kubectl.add("onExit.finish.executor(0)", "", **ended("Completed", message=message))

    assert pods.final_state("finish") is None


def test_the_last_pod_of_a_node_counts_for_its_issue(pods: RunPods, kubectl: FakeKubectl) -> None:
    kubectl.add("trainer.executor(0)", **ended("OOMKilled"))
    kubectl.add("trainer.executor(1)", phase="Running")
    kubectl.add("transform.executor(0)", **waiting("ErrImagePull"))
    kubectl.add("example-validator.executor(0)", **reported(DATA_ERROR))
    kubectl.add("pusher.executor(0)", **ended("Error", exitCode=1))

    assert pods.issues() == {"transform": "ErrImagePull"}


def test_a_failed_node_ends_with_its_own_error(pods: RunPods, kubectl: FakeKubectl) -> None:
    kubectl.add("example-validator.executor(0)", "anything", **reported(DATA_ERROR))

    error = pods.error_of("example-validator", "ExampleValidator")

    assert (error.headline, error.exit_code) == (DataError.headline, DataError.exit_code)
    assert (error.what, error.where, error.seen) == (DATA_ERROR.what, DATA_ERROR.where, DATA_ERROR.seen)
    assert error.fix.startswith(DATA_ERROR.fix)
    assert f"conveyor logs {RUN} ExampleValidator" in error.fix


def test_a_pod_that_was_killed_has_no_error_of_its_own(pods: RunPods, kubectl: FakeKubectl) -> None:
    kubectl.add("trainer.executor(0)", "epoch 1\nepoch 2\n", **ended("OOMKilled", exitCode=137))

    error = pods.error_of("trainer", "Trainer")

    assert isinstance(error, NodeError)
    assert error.what == "Trainer failed: OOMKilled, exit code 137"
    assert error.seen == "epoch 1\nepoch 2"
    assert "kubeflow.nodes.Trainer.memory_limit" in error.fix


def test_a_pod_that_never_started_has_no_log(pods: RunPods, kubectl: FakeKubectl) -> None:
    kubectl.add("trainer.executor(0)", **waiting("ImagePullBackOff"))

    error = pods.error_of("trainer", "Trainer")

    assert error.what == "Trainer failed: ImagePullBackOff"
    assert "conveyor image load" in error.fix
    assert error.exit_code == 1


def test_a_pod_that_is_gone(pods: RunPods) -> None:
    assert "the pod is gone" in pods.error_of("trainer", "Trainer").what


def test_without_kubectl_the_error_says_how_to_get_it(pods: RunPods, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")

    error = pods.error_of("trainer", "Trainer")

    assert "its pods cannot be looked at from here" in error.what
    assert "kubectl cannot be used" in error.seen
    assert "kubectl" in error.fix


def test_a_log_of_a_pod_that_has_not_started_is_kubectls_error(pods: RunPods, kubectl: FakeKubectl) -> None:
    pod = kubectl.add("trainer.executor(0)")

    with pytest.raises(ProgramError) as caught:
        pods.log(pod)
    assert "waiting to start" in caught.value.seen
