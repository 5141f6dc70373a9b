"""A rollout by the cluster's API server, as a pod with an account of its own sees it; no pod of the model runs."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from pipeline.errors import ConveyorError, UsageError
from pipeline.util import checkout
from serving.rollout import Placement, RolloutState, api_objects
from serving.rollout.api_objects import ApiObjects
from serving.rollout.cluster import ClusterTarget
from serving.rollout.controller import Rollout
from serving.rollout.model_folder import ModelFolder
from tests.fakes.api_server import api_server, write_account
from tests.fakes.identity import authority
from tests.fakes.ports import free_port
from tests.fakes.serving_cluster import FakeCluster, cluster_of_flights


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ssl.SSLContext]:
    return authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeCluster:
    return cluster_of_flights(tmp_path, monkeypatch)


@pytest.fixture
def asked() -> list[tuple[str, str]]:
    return []


@pytest.fixture
def objects(
    cluster: FakeCluster,
    tls: tuple[Path, ssl.SSLContext],
    asked: list[tuple[str, str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[ApiObjects]:
    account = write_account(tmp_path / "account", tls[0])
    with api_server(cluster, tls[1], asked) as port:
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
        monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(port))
        yield ApiObjects("conveyor-serving", account)


@pytest.fixture
def target(objects: ApiObjects, cluster: FakeCluster) -> ClusterTarget:
    return ClusterTarget("flights", objects, ModelFolder(cluster.models / "flights"), lambda text: None, 1.0)


def test_the_state_is_written_once_and_read_again(target: ClusterTarget, cluster: FakeCluster) -> None:
    assert target.read() == RolloutState()
    state = RolloutState().start(3, 20, [1, 2, 3], who="loop@pod", reason="to see")
    target.write(state)
    assert target.read() == state
    assert list(cluster.data("serving-rollout")) == ["rollout.json"]


def test_whoever_writes_second_is_refused(target: ClusterTarget, cluster: FakeCluster) -> None:
    target.read()
    theirs = {"metadata": {"name": "serving-rollout", "resourceVersion": "7"}, "data": {"rollout.json": '{"stable": 2}'}}
    cluster.write("configmap-serving-rollout", theirs)
    with pytest.raises(UsageError, match="Somebody else has changed the rollout"):
        target.write(RolloutState(stable=1))
    assert target.read().stable == 2


def test_what_serves_is_adopted_and_a_replay_is_recorded(target: ClusterTarget, cluster: FakeCluster) -> None:
    rollout = Rollout(target, "loop@pod", lambda text: None)
    assert rollout.adopt(3, "before another is pushed").stable == 3
    assert "versions: 3" in cluster.data("serving-config")["models.config"]
    rollout.record_replay(2, 3, "pass", "alike")
    assert [change.action for change in target.read().changes] == ["adopt", "replay"]


def test_a_pod_that_does_not_answer_is_not_taken_for_none(target: ClusterTarget, cluster: FakeCluster) -> None:
    assert (target.servers(), target.pages(), target.silent(())) == ({}, {}, [])
    for name in ("serving", "gateway"):
        cluster.add_pod(name, free_port())
    assert (target.servers(), target.pages()) == ({}, {"gateway-1": ""})
    assert target.silent(()) == ["serving-1", "gateway-1"]
    assert target.silent(["serving-1"]) == ["gateway-1"]
    evicted = cluster.read("pod-gateway-1")
    evicted["status"] = {"phase": "Failed", "reason": "Evicted"}
    cluster.write("pod-gateway-1", evicted)
    assert target.silent(["serving-1"]) == []


def test_pods_are_found_by_their_name_and_reached_at_their_own_address(objects: ApiObjects, cluster: FakeCluster) -> None:
    cluster.add_pod("gateway", 8088)
    cluster.add_pod("serving", 8500)
    (pod,) = objects.pods("gateway")
    with objects.reach(pod, 8088) as address:
        assert address == "127.0.0.1:8088"
    with objects.reach({"status": {"podIP": "fd00::7"}}, 8500) as address:
        assert address == "[fd00::7]:8500"


def test_a_canary_gets_pods_and_is_waited_for(objects: ApiObjects, cluster: FakeCluster) -> None:
    objects.scale("serving-canary", 1)
    assert cluster.replicas("serving-canary") == 1
    with pytest.raises(ConveyorError, match="did not become ready") as caught:
        objects.wait_until_available("serving-canary", 0.0)
    assert "'availableReplicas': 0" in caught.value.seen
    cluster.add_pod("serving-canary", free_port())
    objects.wait_until_available("serving-canary", 0.0)


def test_what_it_may_not_do_is_told(objects: ApiObjects, cluster: FakeCluster) -> None:
    cluster.add_pod("serving", 8500)
    with pytest.raises(ConveyorError, match="has refused a request") as caught:
        objects.annotate(["serving-1"], "key", "value")
    assert caught.value.seen == 'HTTP status 403: pods "serving-1" is forbidden'
    assert "manifests/loop" in caught.value.fix


def test_a_cluster_without_the_manifests(target: ClusterTarget, cluster: FakeCluster) -> None:
    (cluster.folder / "configmap-serving-rollout.json").unlink()
    with pytest.raises(UsageError, match="no configmap serving-rollout"):
        target.read()


def test_a_token_that_kubelet_has_renewed_is_the_next_one(objects: ApiObjects, tmp_path: Path) -> None:
    (tmp_path / "account" / "token").write_text("expired")
    with pytest.raises(ConveyorError, match="HTTP status 401"):
        objects.get("configmap", "serving-config")
    (tmp_path / "account" / "token").write_text("the-token-of-the-loop")
    assert objects.get("configmap", "serving-config") is not None


def role(file: str) -> set[tuple[str, str, str]]:
    """What a Role of manifests/loop allows: verb, resource and name."""
    documents = yaml.safe_load_all((checkout.ROOT / "manifests/loop" / file).read_text())
    rules = next(one for one in documents if one["kind"] == "Role")["rules"]
    return {
        (verb, resource, name)
        for rule in rules
        for verb in rule["verbs"]
        for resource in rule["resources"]
        for name in rule.get("resourceNames", ("",))
    }


def requests(asked: list[tuple[str, str]]) -> set[tuple[str, str, str]]:
    """What was asked of the API server, in the words of a Role."""
    needed = set()
    for method, path in asked:
        kind, *rest = path.partition("namespaces/conveyor-serving/")[2].partition("?")[0].split("/")
        verb = "patch" if method == "PATCH" else "get" if rest else "list"
        needed.add((verb, "/".join((kind, *rest[1:])), rest[0] if rest else ""))
    return needed


def test_the_role_of_the_monitor_allows_to_read_which_version_serves(
    target: ClusterTarget, asked: list[tuple[str, str]]
) -> None:
    target.read()
    assert requests(asked) == role("monitor-role.yaml")


def test_the_role_of_the_loop_allows_what_a_rollout_asks_for(
    target: ClusterTarget, cluster: FakeCluster, asked: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """But for the annotation, which only hastens what happens anyway: not every turn may change pods."""
    monkeypatch.setattr(target, "follow_seconds", 0.0)
    cluster.add_pod("gateway", free_port())
    rollout = Rollout(target, "loop@pod", lambda text: None)
    rollout.adopt(2, "it serves")
    with pytest.raises(ConveyorError):
        # No pod becomes ready.
        rollout.start(3, 20, "to see")
    allowed, needed = role("role.yaml"), requests(asked)
    assert needed - allowed == {("patch", "pods", "gateway-1")}
    assert {each for each in allowed if each[1] != "deployments/scale"} - needed == set()


def test_an_api_server_that_is_away(objects: ApiObjects, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(free_port()))
    with pytest.raises(ConveyorError, match="does not answer"):
        ApiObjects("conveyor-serving", tmp_path / "account").get("configmap", "serving-config")


def test_only_a_pod_has_an_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    assert not api_objects.has_account()
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
    monkeypatch.setattr(api_objects, "ACCOUNT", tmp_path)
    assert not api_objects.has_account()
    (tmp_path / "token").write_text("a token")
    assert api_objects.has_account()


def test_drift_is_what_the_objects_say(target: ClusterTarget) -> None:
    assert target.drift(Placement()) == ""
    assert "serving-config" in target.drift(Placement(stable=2))
