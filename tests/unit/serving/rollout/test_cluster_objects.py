"""A rollout's objects in a cluster, by a kubectl of ours; no pod runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rich.console import Console

from pipeline.errors import ConveyorError, StorageError, UsageError
from pipeline.util.kubectl import Kubectl
from serving.rollout import Placement, RolloutState, cluster
from serving.rollout.cluster import ClusterTarget
from serving.rollout.controller import Rollout
from serving.rollout.model_folder import ShellFolder
from serving.rollout.objects import KubectlObjects
from tests.fakes.serving_cluster import FakeCluster, cluster_of_flights


@pytest.fixture
def objects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeCluster:
    return cluster_of_flights(tmp_path, monkeypatch)


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def target(objects: FakeCluster, said: list[str]) -> ClusterTarget:
    kubectl, shell = (Kubectl("kind-conveyor", name, Console(quiet=True)) for name in ("conveyor-serving", "kubeflow"))
    models = ShellFolder(shell, "/conveyor/models/flights")
    return ClusterTarget("flights", KubectlObjects(kubectl), models, said.append, 1.0)


def in_progress(objects: FakeCluster) -> RolloutState:
    """A canary that somebody has started."""
    state = RolloutState().start(3, 20, [1, 2, 3], who="ada@laptop")
    objects.write(
        "configmap-serving-rollout",
        {"metadata": {"name": "serving-rollout", "resourceVersion": "7"}, "data": {"rollout.json": state.model_dump_json()}},
    )
    return state


def test_before_the_first_rollout_there_is_no_state_and_nothing_to_repair(target: ClusterTarget) -> None:
    assert target.read() == RolloutState()
    assert target.drift(Placement()) == ""
    assert target.servers() == {}
    assert target.pages() == {}


def test_versions_are_listed_by_the_pod_that_has_the_volume(target: ClusterTarget) -> None:
    assert [(version.number, version.is_whole) for version in target.versions()] == [(1, True), (2, True), (3, True)]


def test_the_state_is_written_once_and_read_again(target: ClusterTarget, objects: FakeCluster) -> None:
    target.read()
    state = RolloutState().start(3, 20, [1, 2, 3], who="ada@laptop", reason="to see")
    target.write(state)
    assert target.read() == state
    assert list(objects.data("serving-rollout")) == ["rollout.json"]


def test_what_changes_the_state_alone_leaves_the_other_objects(
    target: ClusterTarget, objects: FakeCluster, said: list[str]
) -> None:
    in_progress(objects)
    rollout = Rollout(target, "ada@laptop", said.append)
    assert rollout.pause("over the weekend").paused
    assert not rollout.resume("it is Monday").paused
    rollout.record_replay(1, 2, "pass", "alike")
    kept = target.read()
    assert [change.action for change in kept.changes] == ["start", "pause", "resume", "replay"]
    assert kept.changes[-1].outcome == "pass"
    assert objects.data("serving-config") == objects.data("serving-canary-config") == {}


def test_whoever_writes_second_is_refused(target: ClusterTarget, objects: FakeCluster) -> None:
    target.read()
    theirs = in_progress(objects)
    with pytest.raises(UsageError, match="Somebody else has changed the rollout") as caught:
        target.write(RolloutState(stable=1))
    assert (caught.value.expected, caught.value.seen) == ("resource version 1", "7")
    assert target.read() == theirs


def test_a_state_that_cannot_be_read(target: ClusterTarget, objects: FakeCluster) -> None:
    objects.write(
        "configmap-serving-rollout",
        {"metadata": {"name": "serving-rollout", "resourceVersion": "1"}, "data": {"rollout.json": '{"stabel": 1}'}},
    )
    with pytest.raises(StorageError, match="cannot be read"):
        target.read()


def test_a_digit_that_has_changed_is_not_believed(target: ClusterTarget, objects: FakeCluster) -> None:
    target.read()
    target.write(RolloutState().start(3, 20, [1, 2, 3], who="ada@laptop"))
    changed = objects.data("serving-rollout")["rollout.json"].replace('"traffic": 20', '"traffic": 28')
    objects.write(
        "configmap-serving-rollout",
        {"metadata": {"name": "serving-rollout", "resourceVersion": "2"}, "data": {"rollout.json": changed}},
    )
    with pytest.raises(StorageError, match="cannot be read") as caught:
        target.read()
    assert "the checksum of the content is" in caught.value.seen


def test_a_cluster_without_the_manifests(target: ClusterTarget, objects: FakeCluster) -> None:
    (objects.folder / "configmap-serving-rollout.json").unlink()
    with pytest.raises(UsageError, match="no configmap serving-rollout"):
        target.read()


def test_what_manifests_have_set_back_is_noticed(target: ClusterTarget, objects: FakeCluster) -> None:
    state = in_progress(objects)
    assert "serving-config and serving-canary-config" in target.drift(state.placement)
    target.settle(state.placement)
    assert target.drift(state.placement) == (
        "Deployment serving-canary has 0 pods, but 1 by the state (stable 2, canary 3 at 20 %)"
    )


def scale(objects: FakeCluster, **replicas: int) -> None:
    for name, number in replicas.items():
        name = name.replace("_", "-")
        objects.write(f"deployment-{name}", {"metadata": {"name": name}, "spec": {"replicas": number}})


def half_way(objects: FakeCluster) -> RolloutState:
    """A canary with half of the traffic and of the eight pods, and an autoscaler that has seen the others idle."""
    state = RolloutState().start(3, 50, [1, 2, 3], who="ada@laptop")
    config_map = {"metadata": {"name": "serving-rollout", "resourceVersion": "1"}, "data": {"rollout.json": state.to_json()}}
    objects.write("configmap-serving-rollout", config_map)
    config_map = {"metadata": {"name": "serving-canary-config", "resourceVersion": "1"}, "data": {"stable-pods": "8"}}
    objects.write("configmap-serving-canary-config", config_map)
    scale(objects, serving=4, serving_canary=4)
    return state


@pytest.mark.parametrize(("traffic", "pods"), [(20, 2), (90, 8)])
def test_the_canary_gets_pods_for_its_share(objects: FakeCluster, target: ClusterTarget, traffic: int, pods: int) -> None:
    scale(objects, serving=8)
    placement = Placement(stable=2, canary=3, traffic=traffic)
    target._timeout = 0.01
    with pytest.raises(ConveyorError):
        # No pod ever becomes ready.
        target.expand(Placement(stable=2), placement)
    assert objects.replicas("serving-canary") == pods
    target.settle(placement)
    assert target.drift(placement) == ""


def test_a_step_that_fails_leaves_the_pods_of_the_one_before(
    target: ClusterTarget, objects: FakeCluster, said: list[str]
) -> None:
    before = half_way(objects)
    target.settle(before.placement)
    with pytest.raises(ConveyorError):
        Rollout(target, "ada@laptop", said.append).promote("", traffic=90)
    assert target.read() == before
    assert (objects.replicas("serving"), objects.replicas("serving-canary")) == (4, 4)
    assert target.drift(before.placement) == ""


def test_pods_that_nobody_has_asked_for_are_noticed_and_stopped(target: ClusterTarget, objects: FakeCluster) -> None:
    state = half_way(objects)
    target.settle(state.placement)
    scale(objects, serving_canary=72)
    assert "has 72 pods, but 4 by the state" in target.drift(state.placement)
    target.settle(state.placement)
    assert target.drift(state.placement) == ""


def test_a_smaller_share_keeps_its_pods_until_gateways_follow(target: ClusterTarget, objects: FakeCluster) -> None:
    before = half_way(objects).placement
    after = before.model_copy(update={"traffic": 10})
    target._timeout = 0.01
    with pytest.raises(ConveyorError):
        target.expand(before, after)
    assert objects.replicas("serving-canary") == 4
    target.settle(after)
    assert objects.replicas("serving-canary") == 1


@pytest.mark.parametrize(("ends", "told"), [("promote", 1), ("abort", 0)])
def test_when_a_canary_ends_the_stable_version_has_pods_for_all_of_the_traffic(
    target: ClusterTarget, objects: FakeCluster, said: list[str], ends: str, told: int
) -> None:
    half_way(objects)
    getattr(Rollout(target, "ada@laptop", said.append), ends)("")
    assert (objects.replicas("serving"), objects.replicas("serving-canary")) == (8, 0)
    assert objects.data("serving-canary-config") == {}
    # Whoever ends a bad canary does not wait for pods.
    assert sum("does not have the 8 pods yet" in each for each in said) == told


def test_whoever_may_not_give_it_pods_is_told_and_goes_on(
    target: ClusterTarget, objects: FakeCluster, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    half_way(objects)
    scaled = KubectlObjects.scale

    def forbidden(self: KubectlObjects, deployment: str, replicas: int) -> None:
        if deployment == "serving":
            raise ConveyorError("kubectl failed.", seen="(Forbidden): deployments/scale")
        scaled(self, deployment, replicas)

    monkeypatch.setattr(KubectlObjects, "scale", forbidden)
    assert Rollout(target, "ada@laptop", said.append).promote("").stable == 3
    assert any("Forbidden" in each for each in said)


def test_abort_without_pods_changes_every_object(target: ClusterTarget, objects: FakeCluster, said: list[str]) -> None:
    state = in_progress(objects)
    objects.write("deployment-serving-canary", {"metadata": {"name": "serving-canary"}, "spec": {"replicas": 2}})
    target.settle(state.placement)
    assert Rollout(target, "ada@laptop", said.append).abort("no").placement == Placement(stable=2)
    assert objects.replicas("serving-canary") == 0
    assert "versions: 2" in objects.data("serving-config")["models.config"]
    assert "versions: 3" not in objects.data("serving-config")["models.config"]
    assert objects.data("serving-canary-config") == {}
    assert said == ["Deployment serving has no pod that is ready: the next one serves this."]


def test_the_canarys_pods_stay_while_a_gateway_sends_requests_to_them(
    target: ClusterTarget, objects: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects.write("deployment-serving-canary", {"metadata": {"name": "serving-canary"}, "spec": {"replicas": 1}})
    objects.add_pod("gateway", 1)
    monkeypatch.setattr(target, "follow_seconds", 0.0)
    monkeypatch.setattr(cluster, "read_metrics", lambda address: "gateway_canary_traffic_percent 20.0\n")
    with pytest.raises(ConveyorError, match="goes on sending requests") as caught:
        target.settle(Placement(stable=2))
    assert caught.value.where == "gateway-1"
    assert objects.replicas("serving-canary") == 1

    monkeypatch.setattr(cluster, "read_metrics", lambda address: "gateway_canary_traffic_percent 0.0\n")
    target.settle(Placement(stable=2))
    assert objects.replicas("serving-canary") == 0


def test_rollback_works_when_the_volume_cannot_be_looked_at(
    target: ClusterTarget, objects: FakeCluster, said: list[str], tmp_path: Path
) -> None:
    state = RolloutState(stable=3, previous=(2,))
    objects.write(
        "configmap-serving-rollout",
        {"metadata": {"name": "serving-rollout", "resourceVersion": "1"}, "data": {"rollout.json": state.model_dump_json()}},
    )
    (tmp_path / "models").rename(tmp_path / "elsewhere")
    assert Rollout(target, "ada@laptop", said.append).rollback("now").stable == 2
    assert any("those of the state are taken instead" in each for each in said)
    assert json.loads(objects.data("serving-rollout")["rollout.json"])["stable"] == 2


def annotated(objects: FakeCluster, name: str) -> bool:
    return "conveyor/configuration-changed" in objects.read(f"pod-{name}-1")["metadata"].get("annotations", {})


def test_a_change_is_brought_into_the_pods_that_read_it_at_once(target: ClusterTarget, objects: FakeCluster) -> None:
    for name in ("serving-canary", "gateway"):
        objects.add_pod(name, 1)

    target.read()
    target.write(RolloutState().start(3, 20, [1, 2, 3], who="ada@laptop"))
    assert (annotated(objects, "gateway"), annotated(objects, "serving-canary")) == (True, False)

    target.settle(Placement(stable=1, canary=3, traffic=20))
    assert annotated(objects, "serving-canary")


def test_without_the_right_to_change_pods_it_takes_longer(target: ClusterTarget, objects: FakeCluster, said: list[str]) -> None:
    objects.add_pod("gateway", 1)
    (objects.folder / "pods-may-not-be-changed").touch()

    target.read()
    target.write(RolloutState().start(3, 20, [1, 2, 3], who="ada@laptop"))

    assert "reaches the pods of gateway within a minute or two" in said[0]
    assert "Forbidden" in said[0]
    assert objects.data("serving-rollout")
