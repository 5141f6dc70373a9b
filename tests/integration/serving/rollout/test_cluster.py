"""Rollouts in a cluster: real model servers and a real gateway, and objects that a kubectl of ours keeps."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from serving.rollout import RolloutState
from tests.fakes.waiting import wait_until
from tests.integration.serving.gateway.running import Gateway, gateway
from tests.integration.serving.modelserver.running import is_open
from tests.integration.serving.rollout.cluster import Cluster
from tests.integration.serving.rollout.place import Load, Place


@pytest.fixture
def place(tmp_path: Path) -> Place:
    place = Place(tmp_path, 1, 2)
    place.options = ("--target", "cluster")
    return place


@pytest.fixture
def cluster(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    with Cluster(tmp_path / "cluster", place.config.serving_path.parent, monkeypatch).running() as cluster:
        wait_until(lambda: is_open(cluster.ports["serving"]))
        yield cluster


@pytest.fixture
def running(cluster: Cluster, tmp_path: Path) -> Iterator[Gateway]:
    addresses = {name: f"grpc://127.0.0.1:{port}/flights" for name, port in cluster.ports.items()}
    upstream = {"stable": addresses["serving"], "canary": addresses["serving-canary"]}
    settings = {
        "upstream": upstream,
        "rollout": str(cluster.rollout_file),
        "batching": {"max_rows": 1},
        "log": {"folder": None},
    }
    with gateway(tmp_path, addresses["serving"], **settings) as running:
        wait_until(lambda: running.http.get("/readyz").status_code == 200)
        cluster.add_pod("gateway", int(running.url.rpartition(":")[2]))
        yield running


def test_from_start_to_rollback_without_a_failed_request(place: Place, cluster: Cluster, running: Gateway) -> None:
    with Load(running).running() as load:
        wait_until(lambda: load.versions[2] > 20)
        out = place.conveyor("rollout", "start", "2", "--traffic", "40", "--reason", "first")
        assert "flights, cluster: the newest version → stable 1, canary 2 at 40 %" in out
        assert (
            "$ kubectl --context kind-conveyor --namespace conveyor-serving scale deployment/serving-canary --replicas=1" in out
        )
        wait_until(lambda: running.sample("gateway_canary_traffic_percent") == 40)
        load.versions.clear()
        wait_until(lambda: min(load.versions[1], load.versions[2]) > 50)

        status = place.json("rollout", "status")
        assert (status["stable"], status["canary"], status["traffic"]) == (1, 2, 40)
        assert status["gateways"] == ["gateway-1"]
        assert status["drift"] == ""
        assert {check["name"] for check in status["verdict"]["checks"]} >= {"rows", "errors", "classes", "scores"}
        rows = place.json("models")["versions"]
        assert {row["version"]: row["served_by"] for row in rows} == {1: ["serving-1"], 2: ["serving-canary-1"]}

        # A server that has just started is slow on a busy machine, which is not what this test is about.
        out = place.conveyor("rollout", "promote", "--force", "--reason", "as good")
        assert "stable 1, canary 2 at 40 % → stable 2" in out
        assert cluster.replicas("serving-canary") == 0
        assert cluster.data("serving-canary-config") == {}

        out = place.conveyor("rollback", "--reason", "on second thoughts")
        assert "flights, cluster: stable 2 → stable 1" in out
        load.versions.clear()
        wait_until(lambda: load.versions.total() > 50)
        assert set(load.versions) == {1}

        assert "stable 1, shadow 2" in place.conveyor("rollout", "start", "2", "--shadow")
        asked = 'gateway_shadow_predictions_total{model="flights",outcome="ok",version="2"}'
        wait_until(lambda: running.sample(asked) > 20)
        assert cluster.replicas("serving-canary") == 1
        out = place.conveyor("rollout", "promote", "--traffic", "50", "--force")
        assert "stable 1, shadow 2 → stable 1, canary 2 at 50 %" in out
        wait_until(lambda: load.versions[2] > 20)
        assert "→ stable 1" in place.conveyor("rollout", "abort")
        wait_until(lambda: not is_open(cluster.ports["serving-canary"]))
        load.versions.clear()
        wait_until(lambda: load.versions.total() > 50)
    assert load.failures == []
    state = RolloutState.from_json(cluster.data("serving-rollout")["rollout.json"].encode())
    assert [change.action for change in state.changes] == ["start", "promote", "rollback", "start", "step", "abort"]


def test_a_version_that_cannot_be_loaded_changes_nothing(place: Place, cluster: Cluster) -> None:
    (place.config.serving_path / "3").mkdir()
    (place.config.serving_path / "3" / "saved_model.pb").write_bytes(b"no graph")
    place.conveyor("rollout", "start", "3", "--timeout", "5", code=1)
    assert cluster.replicas("serving-canary") == 0
    assert cluster.data("serving-rollout") == cluster.data("serving-canary-config") == cluster.data("serving-config") == {}


def test_what_a_pod_serves_is_not_deleted(place: Place, cluster: Cluster) -> None:
    place.push(3)
    wait_until(lambda: [row["version"] for row in place.json("models")["versions"] if row["served_by"]] == [3])
    assert "version 1, 2 deleted; there remains 3" in place.conveyor("models", "prune", "--keep", "1", "--yes")
    assert [path.name for path in place.config.serving_path.iterdir()] == ["3"]
