"""How recorded runs ended: what commands say follows from what a real backend has answered."""

from __future__ import annotations

from typing import Any

import pytest
from rich.console import Console

from pipeline.kubeflow.client import KubeflowClient
from pipeline.kubeflow.ending import errors_of
from pipeline.kubeflow.follow import Follower
from pipeline.kubeflow.pod.termination import Termination
from pipeline.kubeflow.run_pods import RunPods
from pipeline.kubeflow.runs import package_tasks
from pipeline.runs.status import NodeState, RunOutcome, RunState
from tests.fakes.kfp_records import GROUPED, Record, compressed, nodes_of, record
from tests.fakes.kfp_server import KfpServer
from tests.fakes.kubectl import FakeKubectl


class Replayed:
    """A run that was started here, and is from then on what was recorded of another."""

    def __init__(self, client: KubeflowClient, server: KfpServer, package: str) -> None:
        run = client.start_run(client.upload(package), {}, "flights-1", "")
        self.client, self.server, self.run_id = client, server, run.run_id
        self.pods = RunPods(client.config, run.run_id, Console())
        self.tasks = package_tasks(client.package_spec(run))

    def be(self, recorded: Record, *, grouped: bool) -> Follower:
        self.server.replay(self.run_id, recorded.run)
        self.tasks = GROUPED if grouped else self.tasks
        return Follower(self.client, self.run_id, self.tasks, self.pods)

    def outcome(self, follower: Follower) -> RunOutcome:
        return follower.outcome(self.client.run(self.run_id))

    def errors(self, outcome: RunOutcome) -> list[str]:
        return [str(error) for error in errors_of(outcome, self.tasks, self.pods, "http://dashboard")]

    def exit_code(self, outcome: RunOutcome) -> int:
        return errors_of(outcome, self.tasks, self.pods, "")[0].exit_code


@pytest.fixture
def replayed(client: KubeflowClient, server: KfpServer, package: str, kubectl: FakeKubectl) -> Replayed:
    return Replayed(client, server, package)


def reports(recorded: Record, step: str, termination: Termination) -> None:
    """Lets the recorded pod of a step report how it ended: those of the records have no message."""
    (main,) = (each for each in recorded.pod(step)["status"]["containerStatuses"] if each["name"] == "main")
    main["state"]["terminated"]["message"] = termination.message()


def unsettled(outcome: RunOutcome) -> set[str]:
    return {name for name, node in outcome.nodes.items() if node.state is not NodeState.COMPLETE}


def test_a_complete_run(replayed: Replayed, kubectl: FakeKubectl) -> None:
    recorded = record("complete")
    reports(recorded, "finish.executor(0)", Termination(run_state=RunState.COMPLETE))
    kubectl.replay(recorded)
    follower = replayed.be(recorded, grouped=False)

    outcome = replayed.outcome(follower)

    assert (outcome.state, unsettled(outcome), follower.remark) == (RunState.COMPLETE, set(), "")
    assert replayed.errors(outcome) == []


@pytest.mark.parametrize("name", ["refused", "terminated"])
def test_a_refused_model_is_read_from_the_exit_tasks_pod_in_both_forms_of_its_name(
    replayed: Replayed, kubectl: FakeKubectl, name: str
) -> None:
    recorded = record("refused")
    pods = record(name)
    step = "finish.executor(0)" if name == "refused" else "finish(0).executor(0)"
    reports(pods, step, Termination(run_state=RunState.NOT_BLESSED))
    kubectl.replay(pods)

    outcome = replayed.outcome(replayed.be(recorded, grouped=True))

    assert outcome.state is RunState.COMPLETE
    assert "nothing was pushed" in replayed.errors(outcome)[0]
    assert replayed.exit_code(outcome) == 4


def test_without_the_exit_tasks_pod_it_is_not_known_whether_a_model_was_pushed(replayed: Replayed) -> None:
    outcome = replayed.outcome(replayed.be(record("refused"), grouped=True))

    (error,) = replayed.errors(outcome)
    assert "cannot be told from here" in error
    assert f"runs/flights/{replayed.run_id}/report.html" in error
    assert replayed.exit_code(outcome) == 1


def test_a_failed_node_is_told_with_what_blocked(replayed: Replayed, kubectl: FakeKubectl) -> None:
    recorded = record("data_error")
    kubectl.replay(recorded)

    outcome = replayed.outcome(replayed.be(recorded, grouped=False))

    assert outcome.state is RunState.FAILED
    assert outcome.nodes["ExampleValidator"].state is NodeState.FAILED
    assert {outcome.nodes[name].state for name in ("Transform", "Trainer", "Pusher")} == {NodeState.BLOCKED}
    assert outcome.nodes["finish"].state is NodeState.COMPLETE
    (error,) = replayed.errors(outcome)
    assert error.startswith("ExampleValidator failed: Error, exit code 1")


@pytest.mark.parametrize(("name", "grouped"), [("pod_deleted", False), ("terminated", True)])
def test_a_run_whose_pod_was_ended_from_outside_has_failed(
    replayed: Replayed, kubectl: FakeKubectl, name: str, grouped: bool
) -> None:
    recorded = record(name)
    kubectl.replay(recorded)

    outcome = replayed.outcome(replayed.be(recorded, grouped=grouped))

    assert (outcome.state, outcome.nodes["Trainer"].state) == (RunState.FAILED, NodeState.FAILED)
    assert replayed.errors(outcome)[0].startswith("Trainer failed, and its pod is gone: ")


def test_a_cancelled_run_is_not_a_failed_one(replayed: Replayed, kubectl: FakeKubectl) -> None:
    recorded = record("cancelled")
    kubectl.replay(recorded)

    outcome = replayed.outcome(replayed.be(recorded, grouped=True))

    assert outcome.state is RunState.INTERRUPTED
    assert {name: node.state for name, node in outcome.nodes.items()} == {
        "Prepare": NodeState.INTERRUPTED,
        "Trainer": NodeState.BLOCKED,
        "Judge": NodeState.BLOCKED,
        "finish": NodeState.COMPLETE,
    }
    assert replayed.errors(outcome)[0].startswith("The run was cancelled.")


def frozen() -> Record:
    recorded = record("frozen")
    assert recorded.workflow is not None
    recorded.workflow["status"]["compressedNodes"] = compressed(nodes_of(recorded.pods))
    return recorded


def test_where_the_apis_states_have_stopped_they_are_those_of_the_workflow(replayed: Replayed, kubectl: FakeKubectl) -> None:
    recorded = frozen()
    kubectl.replay(recorded)
    follower = replayed.be(recorded, grouped=False)

    outcome = replayed.outcome(follower)

    assert outcome.state is RunState.COMPLETE
    assert unsettled(outcome) == {"finish"}
    assert "larger than 1 MiB" in follower.remark
    assert "read from Argo's workflow" in follower.remark


def test_an_exit_task_that_failed_is_told_and_counts(replayed: Replayed, kubectl: FakeKubectl) -> None:
    recorded = frozen()
    kubectl.replay(recorded)

    outcome = replayed.outcome(replayed.be(recorded, grouped=False))

    (error,) = replayed.errors(outcome)
    assert outcome.nodes["finish"].state is NodeState.FAILED
    assert error.startswith("The exit task failed: the run's report may be missing, and whether the model was pushed")
    assert replayed.exit_code(outcome) == 1


def test_a_refused_model_comes_before_an_exit_task_that_failed_after_it(replayed: Replayed, kubectl: FakeKubectl) -> None:
    recorded = record("refused")
    for step in recorded.run["run_details"]["task_details"]:
        if step["display_name"] == "finish":
            step["state"] = "FAILED"
    pod = recorded.pod("finish.executor(0)")
    pod["status"]["phase"] = "Failed"
    reports(recorded, "finish.executor(0)", Termination(run_state=RunState.NOT_BLESSED))
    kubectl.replay(recorded)

    outcome = replayed.outcome(replayed.be(recorded, grouped=True))

    refused, at_exit = replayed.errors(outcome)
    assert "nothing was pushed" in refused
    assert "cannot be told" not in at_exit
    assert replayed.exit_code(outcome) == 4


def test_without_kubectl_a_success_says_that_its_nodes_are_complete_and_no_more(
    replayed: Replayed, kubectl: FakeKubectl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    follower = replayed.be(record("frozen"), grouped=False)

    outcome = replayed.outcome(follower)

    assert unsettled(outcome) == {"finish"}
    assert not outcome.nodes["finish"].state.has_ended
    assert "may be out of date" in follower.remark
    assert "cannot be told from here" in replayed.errors(outcome)[0]


def test_without_kubectl_a_failure_says_what_it_does_not_know(
    replayed: Replayed, kubectl: FakeKubectl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    recorded = record("frozen")
    recorded.run["state"] = "FAILED"

    outcome = replayed.outcome(replayed.be(recorded, grouped=False))

    assert NodeState.INTERRUPTED not in {node.state for node in outcome.nodes.values()}
    assert "which of its nodes did cannot be told from here" in replayed.errors(outcome)[0]


def test_states_that_stop_while_a_run_is_followed_are_read_from_the_workflow(
    replayed: Replayed, kubectl: FakeKubectl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Follower, "poll_seconds", 0.0)
    monkeypatch.setattr(Follower, "pod_seconds", 0.0)
    recorded = frozen()
    kubectl.replay(recorded)
    at_work: dict[str, Any] = {**recorded.run, "state": "RUNNING"}
    follower = replayed.be(recorded, grouped=False)
    replayed.server.replay(replayed.run_id, at_work)

    outcomes = follower.outcomes()
    before, after = next(outcomes), next(outcomes)
    replayed.server.replay(replayed.run_id, recorded.run)
    *_, last = outcomes

    assert before.nodes["Pusher"].state is NodeState.WAITING
    assert after.nodes["Pusher"].state is NodeState.COMPLETE
    assert last.state is RunState.COMPLETE
    assert follower.remark


def test_one_look_is_enough_where_a_pod_of_a_waiting_node_has_ended(replayed: Replayed, kubectl: FakeKubectl) -> None:
    recorded = frozen()
    kubectl.replay(recorded)
    follower = replayed.be(recorded, grouped=False)
    replayed.server.replay(replayed.run_id, {**recorded.run, "state": "RUNNING"})

    outcome = follower.look(replayed.client.run(replayed.run_id))

    assert outcome.state is RunState.RUNNING
    assert outcome.nodes["Pusher"].state is NodeState.COMPLETE
    assert "read from Argo's workflow" in follower.remark


def test_a_pod_that_is_ahead_of_the_api_for_a_moment_is_no_sign_that_its_states_have_stopped(
    client: KubeflowClient, server: KfpServer, package: str, kubectl: FakeKubectl
) -> None:
    run = client.start_run(client.upload(package), {}, "flights-1", "")
    kubectl.add("example-gen.executor(0)", "", phase="Running")
    follower = Follower(
        client, run.run_id, package_tasks(client.package_spec(run)), RunPods(client.config, run.run_id, Console())
    )

    outcome = follower.look(client.run(run.run_id))

    assert outcome.nodes["ExampleGen"].state is NodeState.WAITING
    assert follower.remark == ""
