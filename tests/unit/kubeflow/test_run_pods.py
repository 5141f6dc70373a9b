"""The pods of a run: whose they are, their logs, and what is wrong with them."""

from __future__ import annotations

from typing import Any

import pytest
from rich.console import Console

from pipeline.config import PipelineConfig
from pipeline.errors import DataError
from pipeline.kubeflow.pod.termination import Termination
from pipeline.kubeflow.run_pods import RunPods, trouble
from pipeline.runs.status import Problem, RunState
from pipeline.util.pods import pod_name
from pipeline.util.programs import ProgramError
from tests.fakes.kfp_records import record
from tests.fakes.kubectl import FakeKubectl

RUN = "1f0c6d5e-0000-4000-8000-000000000000"
DATA_ERROR = Termination(problem=Problem.of(DataError("The data break the schema."))).message()


def ended(reason: str, **terminated: Any) -> dict[str, Any]:
    state = {"terminated": {"reason": reason, **terminated}}
    return {"phase": "Failed", "containerStatuses": [{"name": "main", "state": state}]}


@pytest.fixture
def pods(cluster_config: PipelineConfig, kubectl: FakeKubectl) -> RunPods:
    return RunPods(cluster_config, RUN, Console())


def test_the_pods_of_a_node_are_its_attempts_in_the_order_of_time(pods: RunPods, kubectl: FakeKubectl) -> None:
    kubectl.add("trainer-driver", "driver")
    kubectl.add("trainer.executor(0)", "first")
    kubectl.add("transform.executor", "another node")
    kubectl.add("trainer.executor(1)", "second")

    assert [pods.log(pod) for pod in pods.of("trainer")] == ["first", "second"]
    assert kubectl.calls[0].startswith("kubectl --context kind-conveyor --namespace kubeflow get pods")
    assert f"--selector=pipeline/runid={RUN}" in kubectl.calls[0]


def test_a_driver_stands_for_its_task_only_if_it_failed(pods: RunPods, kubectl: FakeKubectl) -> None:
    kubectl.add("trainer-driver(0)", "no such volume", phase="Failed")
    kubectl.add("pusher-driver(0)", "prepared", phase="Succeeded")

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


@pytest.mark.parametrize("name", ["complete", "frozen", "data_error", "pod_deleted", "terminated", "refused"])
def test_every_recorded_pod_of_a_task_is_found(pods: RunPods, kubectl: FakeKubectl, name: str) -> None:
    recorded = record(name)
    kubectl.replay(recorded)
    drivers = {pod["metadata"]["name"] for pod in recorded.pods if "-driver-" in pod["metadata"]["name"]}

    executors = [pod_name(pod) for task in pods.latest() for pod in pods.of(task) if not pods.latest()[task][0].is_driver]

    assert sorted(executors) == sorted({pod["metadata"]["name"] for pod in recorded.pods} - drivers)


def test_the_trouble_of_a_task_is_that_of_its_newest_pod(pods: RunPods, kubectl: FakeKubectl) -> None:
    kubectl.add("trainer.executor(0)", **ended("OOMKilled"))
    kubectl.add("trainer.executor(1)", phase="Running")
    kubectl.add(
        "transform.executor(0)", phase="Pending", containerStatuses=[{"state": {"waiting": {"reason": "ErrImagePull"}}}]
    )
    kubectl.add("example-validator.executor(0)", **ended("Error", exitCode=1, message=DATA_ERROR))
    kubectl.add("pusher.executor(0)", **ended("Completed"))
    kubectl.add("pusher.executor(1)", **ended("Error", exitCode=1))
    kubectl.add("evaluator-driver", **ended("Error", exitCode=1))

    found = {task: trouble(name, pod) for task, (name, pod) in pods.latest().items()}

    assert found == {
        "trainer": "",
        "transform": "ErrImagePull",
        "example-validator": "attempt 1 failed: The data break the schema.",
        "pusher": "attempt 2 failed: Error, exit code 1",
        "evaluator": "its driver failed: Error, exit code 1",
    }


def test_a_workflow_that_this_user_may_not_read_is_unknown(
    pods: RunPods, kubectl: FakeKubectl, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert pods.workflow() is None
    kubectl.replay(record("complete"))
    assert pods.workflow() is not None
    kubectl.fail("get workflows", 'Error from server (Forbidden): workflows is forbidden: User "someone" cannot list them')
    assert pods.workflow() is None


def test_a_log_of_a_pod_that_has_not_started_is_kubectls_error(pods: RunPods, kubectl: FakeKubectl) -> None:
    pod = kubectl.add("trainer.executor(0)")

    with pytest.raises(ProgramError) as caught:
        pods.log(pod)
    assert "waiting to start" in caught.value.seen
