"""Runs as the API tells of them, read as outcomes; and finding one by what a person types."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import UsageError
from pipeline.kubeflow.client import KubeflowClient
from pipeline.kubeflow.runs import PackageTask, find_run, find_task, outcome_of, package_tasks
from pipeline.runs.status import NodeState, RunOutcome, RunState
from tests.fakes.kfp_server import KfpServer, moment

PACKAGE = (Path(__file__).parent / "golden" / "flights.yaml").read_text()
TRAINER_FAILED = {
    "ExampleGen": NodeState.COMPLETE,
    "Transform": NodeState.COMPLETE,
    "Trainer": NodeState.FAILED,
    "Evaluator": NodeState.BLOCKED,
    "Pusher": NodeState.BLOCKED,
    "finish": NodeState.COMPLETE,
}


def start(client: KubeflowClient, name: str = "flights-1", note: str = "") -> Any:
    return client.start_run(client.upload(PACKAGE), {}, name, note)


def look(client: KubeflowClient, run_id: str) -> RunOutcome:
    run = client.run(run_id)
    return outcome_of(run, package_tasks(client.package_spec(run)), "flights")


def states(outcome: RunOutcome, *nodes: str) -> dict[str, NodeState]:
    return {name: node.state for name, node in outcome.nodes.items() if not nodes or name in nodes}


def test_the_tasks_of_a_package_come_in_their_order_with_the_exit_task_last(client: KubeflowClient) -> None:
    tasks = package_tasks(client.package_spec(start(client)))

    names = [task.name for task in tasks]
    keys = [task.key for task in tasks]
    assert names[0] == "ExampleGen"
    assert tasks[-1] == PackageTask("finish", "finish", ("exit-handler-1",), at_exit=True)
    assert {"example-gen", "latest-hyperparameters", "infra-validator"} < set(keys)
    for task in tasks[:-1]:
        assert all(keys.index(other) < keys.index(task.key) for other in task.upstream)


def test_a_run_goes_from_waiting_over_running_to_complete(client: KubeflowClient) -> None:
    run_id = start(client, note="a try").run_id

    pending = look(client, run_id)
    driver_at_work = look(client, run_id)
    pod_at_work = look(client, run_id)
    first_done = look(client, run_id)

    assert pending.state is RunState.RUNNING
    assert set(states(pending).values()) == {NodeState.WAITING}
    assert states(driver_at_work, "ExampleGen", "Pusher") == {"ExampleGen": NodeState.RUNNING, "Pusher": NodeState.WAITING}
    assert states(pod_at_work, "ExampleGen") == {"ExampleGen": NodeState.RUNNING}
    assert pod_at_work.nodes["ExampleGen"].ended is None
    assert states(first_done, "ExampleGen") == {"ExampleGen": NodeState.COMPLETE}
    assert first_done.nodes["ExampleGen"].seconds == 50  # from the driver's start to the pod's end
    assert first_done.nodes["Trainer"].upstream == ["ExampleGen", "LatestHyperparameters", "SchemaGen", "Transform"]
    assert first_done.note == "a try"
    assert first_done.ended is None


def test_a_run_that_is_complete(client: KubeflowClient, server: KfpServer) -> None:
    run_id = start(client).run_id
    server.finish(run_id)

    outcome = look(client, run_id)

    assert outcome.state is RunState.COMPLETE
    assert set(states(outcome).values()) == {NodeState.COMPLETE}
    assert outcome.ended is not None
    assert outcome.ended - outcome.started == 600


def test_after_a_failure_the_rest_is_blocked_and_the_exit_task_has_run(client: KubeflowClient, server: KfpServer) -> None:
    server.fails = {"trainer"}
    run_id = start(client).run_id
    server.finish(run_id)

    outcome = look(client, run_id)

    assert outcome.state is RunState.FAILED
    assert states(outcome, *TRAINER_FAILED) == TRAINER_FAILED


def test_a_cancelled_run_is_interrupted_although_the_workflow_failed(client: KubeflowClient, server: KfpServer) -> None:
    run_id = start(client).run_id
    look(client, run_id)
    look(client, run_id)
    client.terminate(run_id)
    assert look(client, run_id).state is RunState.RUNNING
    server.finish(run_id)

    outcome = look(client, run_id)

    assert server.runs[run_id]["state"] == "FAILED"
    assert outcome.state is RunState.INTERRUPTED
    assert NodeState.RUNNING not in states(outcome).values()


def test_a_node_whose_pod_could_not_be_prepared_has_failed(client: KubeflowClient) -> None:
    run = start(client)
    tasks = package_tasks(client.package_spec(run))
    from kfp_server_api import V2beta1PipelineTaskDetail as Detail
    from kfp_server_api import V2beta1RunDetails

    now = run.created_at
    run.state = "FAILED"
    run.run_details = V2beta1RunDetails(
        task_details=[
            Detail(display_name="example-gen-driver", state="FAILED", start_time=now, end_time=now),
            Detail(display_name="example-gen", state="RUNTIME_STATE_UNSPECIFIED", start_time=now, end_time=now),
        ]
    )

    assert states(outcome_of(run, tasks, "flights"), "ExampleGen", "Trainer") == {
        "ExampleGen": NodeState.FAILED,
        "Trainer": NodeState.BLOCKED,
    }


def test_a_run_whose_package_is_gone_still_has_a_state(client: KubeflowClient, server: KfpServer) -> None:
    run_id = start(client).run_id
    server.finish(run_id)
    server.versions.clear()

    outcome = look(client, run_id)

    assert outcome.state is RunState.COMPLETE
    assert outcome.nodes == {}


def test_a_run_is_found_by_what_a_person_types(client: KubeflowClient, server: KfpServer) -> None:
    first, second = start(client, "flights-monday").run_id, start(client, "flights-tuesday").run_id

    assert find_run(client, "latest").run_id == second
    assert find_run(client, first).run_id == first
    assert find_run(client, first[:13]).run_id == first
    assert find_run(client, "flights-monday").run_id == first


def test_a_whole_id_is_found_even_outside_the_experiment(client: KubeflowClient, server: KfpServer) -> None:
    run_id = start(client).run_id
    server.runs[run_id]["experiment_id"] = "another"
    start(client)

    assert find_run(client, run_id).run_id == run_id


def test_an_ambiguous_beginning_is_refused(client: KubeflowClient, server: KfpServer) -> None:
    run_id = start(client).run_id
    twin = run_id[:8] + "-0000-4000-8000-000000000000"
    server.runs[twin] = {**server.runs[run_id], "run_id": twin, "created_at": moment(99)}
    server.workflows[twin] = server.workflows[run_id]

    with pytest.raises(UsageError, match="2 runs match") as caught:
        find_run(client, run_id[:8])
    assert run_id in caught.value.expected
    assert twin in caught.value.expected


@pytest.mark.parametrize("wanted", ["flights-mondy", "ffffffff", "00000000-0000-4000-8000-000000000000"])
def test_an_unknown_run_is_refused_with_what_there_is(client: KubeflowClient, wanted: str) -> None:
    run_id = start(client, "flights-monday").run_id

    with pytest.raises(UsageError, match="There is no run") as caught:
        find_run(client, wanted)
    assert run_id in caught.value.expected
    if wanted == "flights-mondy":
        assert caught.value.fix == "Did you mean 'flights-monday'?"


def test_before_the_first_run_there_is_nothing_to_find(client: KubeflowClient) -> None:
    with pytest.raises(UsageError, match="no run on this cluster yet") as caught:
        find_run(client, "latest")
    assert "conveyor submit" in caught.value.fix


@pytest.mark.parametrize("wanted", ["InfraValidator", "infra-validator", "infravalidator", "infra_validator"])
def test_a_task_is_found_by_any_of_its_names(wanted: str) -> None:
    task = PackageTask("InfraValidator", "infra-validator", (), at_exit=False)

    assert find_task([PackageTask("Trainer", "trainer", (), at_exit=False), task], wanted) is task


def test_an_unknown_task_gets_a_suggestion() -> None:
    tasks = [PackageTask("Trainer", "trainer", (), at_exit=False), PackageTask("Pusher", "pusher", (), at_exit=False)]

    with pytest.raises(UsageError, match="no node 'Trianer'") as caught:
        find_task(tasks, "Trianer")
    assert caught.value.fix == "Did you mean 'Trainer'?"
    assert caught.value.expected == "Trainer, Pusher"
