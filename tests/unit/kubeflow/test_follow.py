"""Following a run: until it ends, over short failures, with what its pods say."""

from __future__ import annotations

import pytest
from rich.console import Console

from pipeline.errors import UsageError
from pipeline.kubeflow.api_errors import ApiError
from pipeline.kubeflow.client import KubeflowClient
from pipeline.kubeflow.follow import Follower
from pipeline.kubeflow.pod.termination import Termination
from pipeline.kubeflow.run_pods import RunPods
from pipeline.kubeflow.runs import find_task, package_tasks
from pipeline.runs.status import NodeOutcome, NodeState, RunOutcome, RunState
from tests.fakes.kfp_server import KfpServer
from tests.fakes.kubectl import FakeKubectl

WAITING = {"state": {"waiting": {"reason": "ErrImagePull", "message": "no such image"}}}


@pytest.fixture(autouse=True)
def _without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Follower, "poll_seconds", 0.0)
    monkeypatch.setattr(Follower, "pod_seconds", 0.0)


@pytest.fixture
def follower(client: KubeflowClient, server: KfpServer, package: str, kubectl: FakeKubectl) -> Follower:
    server.stride = 2
    run = client.start_run(client.upload(package), {}, "flights-1", "")
    tasks = package_tasks(client.package_spec(run))
    return Follower(client, run.run_id, tasks, RunPods(client.config, run.run_id, Console()))


def test_until_the_run_has_ended(follower: Follower) -> None:
    outcomes = list(follower.outcomes())

    assert {outcome.state for outcome in outcomes[:-1]} == {RunState.RUNNING}
    assert outcomes[-1].state is RunState.COMPLETE
    assert any(outcome.nodes["Trainer"].state is NodeState.RUNNING for outcome in outcomes)


def test_a_run_that_has_ended_is_looked_at_again_as_its_tasks_are_written_after_it(
    follower: Follower, server: KfpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.workflows[follower.run_id].fails = {"trainer"}
    server.finish(follower.run_id)
    final, stale = server.workflows[follower.run_id].steps(), server.workflows[follower.run_id].steps()
    for step in stale:
        if step["display_name"] == "trainer":
            step["state"] = "RUNNING"
    answers = iter([stale, final])
    monkeypatch.setattr(server.workflows[follower.run_id], "steps", lambda: next(answers))

    (outcome,) = follower.outcomes()

    assert outcome.nodes["Trainer"].state is NodeState.FAILED


def test_over_an_api_server_that_starts_again(follower: Follower, server: KfpServer) -> None:
    server.stride = 50
    server.faults = [(503, "no healthy upstream"), (502, ""), (504, "")]

    assert [outcome.state for outcome in follower.outcomes()][-1] is RunState.COMPLETE


def test_not_over_one_that_stays_away(follower: Follower, server: KfpServer) -> None:
    follower.patience_seconds = 0.0
    server.faults = [(503, "no healthy upstream")] * 3

    with pytest.raises(ApiError, match="does not answer"):
        list(follower.outcomes())


def test_not_over_a_refusal(follower: Follower, server: KfpServer) -> None:
    server.faults = [(401, "")]

    with pytest.raises(ApiError, match="log-in"):
        list(follower.outcomes())


def test_the_issue_of_a_pod_is_known_while_its_node_is_at_work(follower: Follower, kubectl: FakeKubectl) -> None:
    kubectl.add("example-gen.executor(0)", phase="Pending", containerStatuses=[WAITING])

    told: list[tuple[RunOutcome, dict[str, str]]] = [(each, follower.issues(each)) for each in follower.outcomes()]

    for outcome, issues in told:
        at_work = outcome.nodes["ExampleGen"].state is NodeState.RUNNING
        assert issues == ({"ExampleGen": "ErrImagePull: no such image"} if at_work else {})


def test_without_kubectl_a_run_is_followed_all_the_same(
    follower: Follower, server: KfpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    server.stride = 10

    outcomes = list(follower.outcomes())

    assert outcomes[-1].state is RunState.COMPLETE
    assert all(follower.issues(outcome) == {} for outcome in outcomes)


def test_the_nodes_of_a_group_are_told_by_name_when_the_run_has_ended(
    client: KubeflowClient, server: KfpServer, grouped_package: str, kubectl: FakeKubectl
) -> None:
    run = client.start_run(client.upload(grouped_package), {}, "flights-1", "")
    tasks = package_tasks(client.package_spec(run))
    follower = Follower(client, run.run_id, tasks, RunPods(client.config, run.run_id, Console()))
    nodes = {
        "Trainer": NodeOutcome(state=NodeState.CACHED),
        "ExampleGen": NodeOutcome(state=NodeState.COMPLETE, started=1, ended=2),
    }
    message = Termination(run_state=RunState.COMPLETE, nodes=nodes).message()
    terminated = {"state": {"terminated": {"exitCode": 0, "message": message}}}

    *_, unknown = follower.outcomes()
    assert list(unknown.nodes) == ["ExampleGen to Pusher", "finish"]

    kubectl.add("onExit.finish.executor(0)", "", containerStatuses=[{"name": "main", **terminated}])
    *_, known = follower.outcomes()
    assert {name: node.state.value for name, node in known.nodes.items()} == {
        "ExampleGen to Pusher": "complete",
        "ExampleGen": "complete",
        "Trainer": "cached",
        "finish": "complete",
    }
    assert list(known.nodes)[:3] == ["ExampleGen to Pusher", "ExampleGen", "Trainer"]
    assert known.nodes["ExampleGen"].seconds == 1


def test_a_node_of_a_group_has_the_log_of_its_group(client: KubeflowClient, server: KfpServer, grouped_package: str) -> None:
    run = client.start_run(client.upload(grouped_package), {}, "flights-1", "")
    tasks = package_tasks(client.package_spec(run))

    for name in ("Trainer", "ExampleGen to Pusher", "example-gen-to-pusher"):
        assert find_task(tasks, name).key == "example-gen-to-pusher"
    with pytest.raises(UsageError, match="no node") as raised:
        find_task(tasks, "Trainr")
    assert raised.value.fix == "Did you mean 'Trainer'?"
