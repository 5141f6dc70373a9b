"""What Argo keeps of a run: the states of its tasks, and the ends of pods that are gone."""

from __future__ import annotations

import pytest

from pipeline.kubeflow.runs import PackageTask, package_tasks
from pipeline.kubeflow.steps import StepName, task_outcome
from pipeline.kubeflow.workflow import Workflow
from pipeline.runs.status import NodeState
from tests.fakes.kfp_records import GROUPED, compressed, record


@pytest.mark.parametrize(
    ("name", "parsed"),
    [
        ("flights-zh7nv.root.exit-handler-1.schema-gen.executor(0)", StepName("schema-gen", is_driver=False)),
        ("flights-jr2bx.root.exit-handler-1.example-validator.executor(2)", StepName("example-validator", False, attempt=2)),
        ("flights-zh7nv.root.exit-handler-1.onExit.finish-driver", StepName("finish", is_driver=True)),
        ("flights-x7k2p.root.exit-handler-1.trainer.executor", StepName("trainer", is_driver=False)),
        # As Argo names steps where it retries each of them by default.
        ("flights-rj62d(0).root(0).exit-handler-1(0).schema-gen(0).executor(0)", StepName("schema-gen", is_driver=False)),
        ("flights-rj62d(0).root(0).exit-handler-1.onExit(0).finish-driver(0)", StepName("finish", is_driver=True)),
        ("flights-zh7nv.root.exit-handler-1.schema-gen", None),
        ("flights-zh7nv", None),
    ],
)
def test_the_name_of_a_step_says_whose_it_is(name: str, parsed: StepName | None) -> None:
    assert StepName.parse(name) == parsed


@pytest.mark.parametrize("name", ["complete", "data_error", "pod_deleted", "refused", "terminated"])
def test_tasks_stand_where_the_api_says(name: str, package_spec: dict[str, object]) -> None:
    recorded = record(name)
    tasks = GROUPED if name in ("refused", "terminated") else package_tasks(package_spec)
    steps = Workflow(recorded.workflow or {}).steps
    api = {step["display_name"]: step.get("state") for step in recorded.run["run_details"]["task_details"]}
    states = {"SUCCEEDED": NodeState.COMPLETE, "FAILED": NodeState.FAILED, None: NodeState.WAITING}

    assert {task.key: task_outcome(task.key, steps).state for task in tasks} == {
        task.key: states[api[task.key]] for task in tasks
    }


def test_the_message_of_a_pod_that_is_gone() -> None:
    assert Workflow(record("pod_deleted").workflow or {}).attempts("trainer")[0].message == "pod deleted"
    assert Workflow(record("terminated").workflow or {}).attempts("trainer")[0].message == "main: Error (exit code 143)"


def test_the_attempts_of_a_task_in_their_order() -> None:
    attempts = Workflow(record("data_error").workflow or {}).attempts("example-validator")

    assert list(attempts) == [0, 1, 2]
    assert {step.state for step in attempts.values()} == {NodeState.FAILED}
    assert attempts[0].started is not None
    assert attempts[1].started is not None
    assert attempts[0].started < attempts[1].started


def test_nodes_that_argo_has_compressed_are_the_same() -> None:
    workflow = record("complete").workflow or {}
    smaller = {"status": {"nodes": {}, "compressedNodes": compressed(workflow["status"]["nodes"])}}

    assert Workflow(smaller).steps == Workflow(workflow).steps


def test_a_workflow_without_nodes_knows_nothing() -> None:
    workflow = Workflow({"status": {"phase": "Running"}})

    assert workflow.steps == {}
    assert workflow.attempts("trainer") == {}
    assert task_outcome(PackageTask("Trainer", "trainer", (), at_exit=False).key, workflow.steps).state is NodeState.WAITING
