"""Stable and canary: who answers which request."""

from __future__ import annotations

import math
import time

import grpc
import pytest

from serving.gateway.traffic import Traffic
from serving.rollout import CANARY, RolloutState
from tests.fakes.model_server import ModelServer, RefusalError, free_address
from tests.fakes.waiting import PATIENCE, wait_until
from tests.unit.serving.gateway.conftest import ROW, predict, sample


@pytest.fixture
def two_versions(server):
    server.versions, server.labels = {3: "AVAILABLE", 4: "AVAILABLE"}, {"stable": 3, "canary": 4}
    return server


def versions(gateway, count=200, row=ROW):
    """How many of some requests each version answered."""
    answered = [predict(gateway, row, **{"X-Request-ID": f"order-{number}"}) for number in range(count)]
    found = [response.json()["predictions"][0]["model_version"] for response in answered]
    return {version: found.count(version) for version in set(found)}


def wait_for(gateway, wanted):
    wait_until(lambda: set(versions(gateway, 50)) == wanted, "a change of the traffic")


def test_without_a_rollout_the_newest_version_answers(start, two_versions):
    with start() as gateway:
        assert versions(gateway) == {4: 200}
        assert sample(gateway, "gateway_canary_traffic_percent") == 0


def test_the_canary_gets_its_share(start, two_versions, rollout):
    rollout(stable=3, canary=4, traffic=20)

    with start() as gateway:
        share = versions(gateway, 400)
        assert versions(gateway, 400) == share
        assert sample(gateway, "gateway_canary_traffic_percent") == 20

    assert 50 < share[4] < 110


def test_the_same_key_stays_with_its_version_while_the_share_grows(tmp_path, rollout):
    chosen = []
    for traffic in (10, 50, 99):
        rollout(stable=3, canary=4, traffic=traffic)
        split = Traffic(str(tmp_path / "rollout.json"))
        chosen.append({key for key in range(1000) if split.choose(str(key)) == CANARY})

    assert chosen[0] < chosen[1] < chosen[2]
    assert [round(len(each) / 1000, 1) for each in chosen] == [0.1, 0.5, 1.0]


def test_a_feature_can_decide(start, two_versions, rollout):
    rollout(stable=3, canary=4, traffic=50)
    rows = [{"carrier": "UA", "distance": float(distance)} for distance in range(1, 41)]

    with start(split_by="distance") as gateway:
        first = [each["model_version"] for each in predict(gateway, *rows).json()["predictions"]]
        singly = [predict(gateway, row).json()["predictions"][0]["model_version"] for row in rows]

    assert first == singly
    assert set(first) == {3, 4}


def test_start_promotion_and_rollback_are_followed(start, two_versions, rollout):
    rollout(stable=3)
    with start() as gateway:
        assert set(versions(gateway, 50)) == {3}
        rollout(stable=3, canary=4, traffic=50)
        wait_for(gateway, {3, 4})
        two_versions.labels = {"stable": 4, "canary": 4}
        rollout(stable=4, previous=[3])
        wait_for(gateway, {4})
        two_versions.labels = {"stable": 3, "canary": 3}
        rollout(stable=3)
        wait_for(gateway, {3})


def wait_for_a_refusal(caplog):
    refused = "the rollout's state cannot be read: the previous one stays"
    wait_until(lambda: refused in caplog.messages, "a look at the rollout's state")


def test_a_state_that_cannot_be_read_changes_nothing(start, two_versions, rollout, tmp_path, caplog):
    rollout(stable=3)
    with start() as gateway:
        (tmp_path / "rollout.json").write_text('{"stable": ')
        wait_for_a_refusal(caplog)
        assert versions(gateway, 50) == {3: 50}


def test_a_state_that_was_damaged_changes_nothing(start, two_versions, tmp_path, caplog):
    kept = RolloutState(stable=3, canary=4, traffic=10).to_json()
    (tmp_path / "rollout.json").write_text(kept)
    with start() as gateway:
        (tmp_path / "rollout.json").write_text(kept.replace('"traffic": 10', '"traffic": 90'))
        wait_for_a_refusal(caplog)
        assert sample(gateway, "gateway_canary_traffic_percent") == 10


def test_before_the_state_can_be_read_nobody_answers(start, two_versions, tmp_path, rollout):
    (tmp_path / "rollout.json").write_text(RolloutState(stable=3).to_json().replace("3", "4", 1))
    with start() as gateway:
        assert gateway.get("/readyz").status_code == 503
        assert predict(gateway, ROW).status_code == 503
        rollout(stable=3)
        wait_until(lambda: gateway.get("/readyz").status_code == 200)
        assert versions(gateway, 50) == {3: 50}


def test_a_server_without_labels_is_asked_by_number(start, two_versions, rollout):
    two_versions.labels = {}
    rollout(stable=3, canary=4, traffic=50)

    with start() as gateway:
        assert set(versions(gateway)) == {3, 4}


def test_a_canary_can_have_a_server_of_its_own(start, server, rollout, settings):
    canary = ModelServer()
    try:
        canary.versions, canary.labels = {4: "AVAILABLE"}, {}
        rollout(stable=3, canary=4, traffic=50)
        with start(upstream={"stable": server.address("grpc"), "canary": canary.address("grpc")}) as gateway:
            assert set(versions(gateway)) == {3, 4}
            (model,) = gateway.get("/v1/models").json()["models"]
        assert [each["version"] for each in model["versions"]] == [3, 4]
    finally:
        canary.stop()


def test_what_serves_is_told_while_the_canary_is_away(start, server, rollout):
    rollout(stable=3, canary=4, traffic=10)
    with start(upstream={"stable": server.address("grpc"), "canary": free_address("grpc")}) as client:
        (model,) = client.get("/v1/models").json()["models"]
    assert model["versions"] == [
        {"version": 3, "state": "AVAILABLE", "labels": ["stable"]},
        {"version": 4, "state": "UNKNOWN", "labels": ["canary"]},
    ]


class TestFailingCanary:
    def test_the_stable_version_answers_instead_and_it_is_counted(self, start, two_versions, rollout):
        rollout(stable=3, canary=4, traffic=50)
        with start() as gateway:
            answer = two_versions.predict

            def fails_as_canary(spec, columns):
                if spec.version_label == "canary":
                    raise RefusalError(grpc.StatusCode.INTERNAL, "no")
                return answer(spec, columns)

            two_versions.predict = fails_as_canary
            assert versions(gateway) == {3: 200}
            failed = sample(gateway, 'gateway_predictions_total{model="flights",outcome="error",version="4"}')
            answered = sample(gateway, 'gateway_predictions_total{model="flights",outcome="ok",version="3"}')

        assert 50 < failed < 150
        assert answered == 200

    def test_one_that_answers_with_no_number_has_failed(self, start, two_versions, rollout):
        rollout(stable=3, canary=4, traffic=99)
        answer = two_versions.predict

        def goes_astray(spec, columns):
            version, outputs = answer(spec, columns)
            return version, outputs | ({"score": [math.nan]} if version == 4 else {})

        two_versions.predict = goes_astray
        with start() as gateway:
            assert versions(gateway, 20) == {3: 20}
            failed = sample(gateway, 'gateway_predictions_total{model="flights",outcome="error",version="4"}')
            assert failed > 10
            assert 'outcome="ok",version="4"' not in gateway.get("/metrics").text

    def test_one_that_is_gone_does_not_slow_requests_down(self, start, server, rollout):
        rollout(stable=3, canary=4, traffic=99)
        with start(upstream={"stable": server.address("grpc"), "canary": free_address("grpc")}) as gateway:
            started = time.monotonic()
            assert versions(gateway, 50) == {3: 50}
            assert time.monotonic() - started < PATIENCE  # 50 requests, of which a single one may take as long
            assert gateway.get("/readyz").status_code == 200
            # Version 4 never answered, but it is the one that should have.
            assert sample(gateway, 'gateway_predictions_total{model="flights",outcome="error",version="4"}') > 40

    def test_one_that_is_not_loaded_yet_has_not_failed(self, start, server, rollout):
        rollout(stable=3, canary=4, traffic=99)
        with start() as gateway:
            assert versions(gateway, 50) == {3: 50}
            assert 'outcome="error"' not in gateway.get("/metrics").text

    def test_one_with_other_features(self, start, server, rollout):
        canary = ModelServer()
        try:
            canary.versions, canary.labels = {4: "AVAILABLE"}, {"canary": 4}
            canary.features = {"carrier": "DT_STRING", "wind": "DT_FLOAT"}
            canary.model = lambda columns: {"labels": [1], "probabilities": [0.25, 0.75], "score": [0.75]}
            rollout(stable=3, canary=4, traffic=50)
            with start(upstream={"stable": server.address("grpc"), "canary": canary.address("grpc")}) as gateway:
                assert set(versions(gateway, 50, ROW | {"wind": 7.5})) == {3, 4}
                assert set(versions(gateway, 50)) == {3, 4}
        finally:
            canary.stop()
        assert {frozenset(each) for each in server.received} == {frozenset({"carrier", "departure", "distance"})}
        assert {frozenset(each) for each in canary.received} == {frozenset({"carrier", "wind"})}
