"""The pods of a run: logs, what keeps them from starting, and the errors that they end with."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from rich.console import Console

from pipeline.config import PipelineConfig
from pipeline.errors import DataError, NodeError, NotBlessedError, UsageError
from pipeline.kubeflow.run_pods import RunPods, error_in, trouble_of
from pipeline.runs.status import RunState
from pipeline.util.programs import ProgramError
from tests.unit.kubeflow.kubectl import FakeKubectl

RUN = "1f0c6d5e-0000-4000-8000-000000000000"
DATA_ERROR = DataError(
    "The data break the schema.",
    where="ExampleValidator",
    expected="origin is one of EWR, JFK, LGA",
    seen="12 rows of ZZZ\n3 rows without",
    fix="mend the data, or the schema",
)
# What the launcher of Kubeflow writes before and after.
LOG = f"""I0301 06:00:01.123456       1 launcher_v2.go:193] publish success.
ExampleValidator: starting, run {RUN}
ExampleValidator: failed after 2.1 s

{DATA_ERROR.headline}: {DATA_ERROR}
I0301 06:00:09.654321       1 launcher_v2.go:151] failed to execute component: exit status 3
F0301 06:00:09.654322       1 main.go:54] failed to execute component: exit status 3
"""


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    return {"phase": "Pending", "containerStatuses": [{"state": {"waiting": {"reason": reason, "message": message}}}]}


def ended(reason: str) -> dict[str, Any]:
    return {"phase": "Failed", "containerStatuses": [{"state": {"terminated": {"reason": reason}}}]}


@pytest.fixture
def pods(cluster_config: PipelineConfig, kubectl: FakeKubectl) -> RunPods:
    return RunPods(cluster_config, RUN, Console())


def test_an_error_is_read_back_from_the_log_as_it_was_raised() -> None:
    error = error_in(LOG)

    assert isinstance(error, DataError)
    assert str(error) == str(DATA_ERROR)
    assert error.exit_code == 3


def test_what_a_pod_really_prints_is_read() -> None:
    command = [sys.executable, "-m", "pipeline.kubeflow.pod.entrypoint", "--node", "Trainer", "--executor-input", "{}"]
    ended = subprocess.run([*command, "--ir", "broken", "--config", "broken"], capture_output=True, text=True)

    error = error_in(ended.stdout + ended.stderr)

    assert isinstance(error, UsageError)
    assert error.where == "--ir, --config"
    assert error.exit_code == ended.returncode


def test_the_last_error_counts() -> None:
    error = error_in(f"{LOG}\n{NotBlessedError.headline}: Not good enough.\n")

    assert isinstance(error, NotBlessedError)
    assert error.details() == {}


def test_a_log_without_an_error_has_none() -> None:
    assert error_in("ValueError: no such thing\nTrainer: failed after 1.0 s\n") is None


def test_the_pods_of_a_node_are_its_attempts_in_the_order_of_time(pods: RunPods, kubectl: FakeKubectl) -> None:
    kubectl.add("trainer-driver", "driver")
    kubectl.add("trainer.executor(0)", "first")
    kubectl.add("transform.executor", "another node")
    kubectl.add("trainer.executor(1)", "second")

    assert [pods.log(pod) for pod in pods.of("trainer")] == ["first", "second"]
    assert kubectl.calls[0].startswith("--context kind-conveyor --namespace kubeflow get pods")
    assert f"--selector=pipeline/runid={RUN}" in kubectl.calls[0]


def test_before_a_node_has_a_pod_its_driver_stands_for_it(pods: RunPods, kubectl: FakeKubectl) -> None:
    kubectl.add("trainer-driver(0)", "no such volume")

    assert [pods.log(pod) for pod in pods.of("trainer")] == ["no such volume"]
    assert pods.of("pusher") == []


def test_the_exit_task_is_found_among_the_hooks(pods: RunPods, kubectl: FakeKubectl) -> None:
    kubectl.add("onExit.finish.executor(0)", f"flights, run {RUN}: not_blessed\nI0301 launcher_v2.go:193] done\n")

    assert pods.final_state("finish") is RunState.NOT_BLESSED


@pytest.mark.parametrize("log", ["", "flights, run another: complete\n", None])
def test_an_exit_task_that_says_nothing(pods: RunPods, kubectl: FakeKubectl, log: str | None) -> None:
    kubectl.add("onExit.finish.executor(0)", log)

    assert pods.final_state("finish") is None


@pytest.mark.parametrize(
    ("status", "trouble"),
    [
        (waiting("ImagePullBackOff", 'Back-off pulling image "conveyor:0.1.0"'), "ImagePullBackOff: Back-off pulling"),
        (waiting("CreateContainerConfigError", 'secret "conveyor-metadata" not found'), "conveyor-metadata"),
        (ended("OOMKilled"), "OOMKilled"),
        ({"phase": "Failed", "reason": "Evicted", "message": "low on memory"}, "Evicted: low on memory"),
        (
            {
                "phase": "Pending",
                "conditions": [
                    {
                        "type": "PodScheduled",
                        "status": "False",
                        "reason": "Unschedulable",
                        "message": "0/1 nodes are available:\n1 Insufficient memory.",
                    }
                ],
            },
            "Unschedulable: 0/1 nodes are available: 1 Insufficient memory.",
        ),
        (waiting("ContainerCreating"), ""),
        (waiting("PodInitializing"), ""),
        (ended("Completed"), ""),
        (ended("Error"), ""),
        ({"phase": "Pending"}, ""),
        ({"phase": "Running", "conditions": [{"type": "PodScheduled", "status": "True"}]}, ""),
    ],
)
def test_what_keeps_a_pod_from_starting(status: dict[str, Any], trouble: str) -> None:
    found = trouble_of({"metadata": {"name": "a"}, "status": status})

    assert found.startswith(trouble) or trouble in found
    assert bool(found) == bool(trouble)


def test_the_last_pod_of_a_node_counts_for_its_trouble(pods: RunPods, kubectl: FakeKubectl) -> None:
    kubectl.add("trainer.executor(0)", **ended("OOMKilled"))
    kubectl.add("trainer.executor(1)", phase="Running")
    kubectl.add("transform.executor(0)", **waiting("ErrImagePull"))

    assert pods.troubles() == {"transform": "ErrImagePull"}


def test_a_failed_node_ends_with_its_own_error(pods: RunPods, kubectl: FakeKubectl) -> None:
    kubectl.add("example-validator.executor(0)", LOG)

    error = pods.error_of("example-validator", "ExampleValidator")

    assert isinstance(error, DataError)
    assert error.what == DATA_ERROR.what
    assert error.fix.startswith(DATA_ERROR.fix)
    assert f"conveyor logs {RUN} ExampleValidator" in error.fix


def test_a_pod_that_was_killed_has_no_error_of_its_own(pods: RunPods, kubectl: FakeKubectl) -> None:
    kubectl.add("trainer.executor(0)", "epoch 1\nepoch 2\n", **ended("OOMKilled"))

    error = pods.error_of("trainer", "Trainer")

    assert isinstance(error, NodeError)
    assert error.what == "Trainer failed: OOMKilled"
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

    assert "its log cannot be read here" in error.what
    assert "kubectl cannot be used" in error.seen
    assert "kubectl" in error.fix


def test_a_log_of_a_pod_that_has_not_started_is_kubectls_error(pods: RunPods, kubectl: FakeKubectl) -> None:
    pod = kubectl.add("trainer.executor(0)")

    with pytest.raises(ProgramError) as caught:
        pods.log(pod)
    assert "waiting to start" in caught.value.seen
