"""What a rollout counts: a canary's calls from when the gateways divide the traffic, and none before."""

from __future__ import annotations

import socket
from datetime import datetime, timezone
from pathlib import Path

import pytest

from pipeline.cli.serving_target import open_rollout
from pipeline.config import PipelineConfig
from pipeline.config.events import Events
from pipeline.contracts.model_description import DESCRIPTION_PATH, ModelDescription
from pipeline.errors import UsageError
from serving.client import Prediction
from serving.gateway.metrics import GatewayMetrics
from serving.rollout import controller
from serving.rollout.controller import Rollout
from serving.rollout.local import LocalTarget
from serving.rollout.model_servers import RunningServer
from serving.rollout.placement import Plan
from tests.fakes.event_receiver import event_receiver
from tests.fakes.ports import free_port


class LateGateway:
    """A gateway that follows the state only when its page was read a few times; until then the newest version answers."""

    def __init__(self, follows_after: int) -> None:
        self.metrics, self.reads, self.follows_after = GatewayMetrics(), 0, follows_after

    def answer(self, version: int, rows: int) -> None:
        self.metrics.count([Prediction(model="flights", version=version, latency=0.01, value=1.0)] * rows)

    def page(self, _: str) -> str:
        self.reads += 1
        if self.reads > self.follows_after:
            self.metrics.canary_percent.set(20)
        else:
            self.answer(3, 100)
        return self.metrics.text().decode()


@pytest.fixture
def config(tmp_path: Path) -> PipelineConfig:
    config = PipelineConfig.model_validate(
        {"name": "flights", "label": "delay", "data": {"input": "x.csv"}, "workspace": str(tmp_path)}
    )
    for version in (2, 3):
        folder = config.serving_path / str(version)
        folder.mkdir(parents=True)
        (folder / "saved_model.pb").write_text("graph")
    return config


def new_rollout(config: PipelineConfig, gateway: LateGateway, monkeypatch: pytest.MonkeyPatch) -> Rollout:
    monkeypatch.setattr("serving.rollout.local.read_metrics", gateway.page)
    monkeypatch.setattr(controller, "_POLL_SECONDS", 0.01)
    said: list[str] = []
    server = RunningServer("127.0.0.1:9", config.name)
    return Rollout(LocalTarget(config, server, ["gateway"], said.append, 0.2), "ada@laptop", said.append)


def rows(rollout: Rollout) -> dict[str, str]:
    verdict = rollout.status().verdict
    assert verdict is not None
    found = next(check for check in verdict.checks if check.name == "rows")
    return {"stable": found.stable, "canary": found.canary}


def test_calls_before_the_gateway_follows_do_not_count(config: PipelineConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    gateway = LateGateway(follows_after=4)
    rollout = new_rollout(config, gateway, monkeypatch)
    started = rollout.start(3, 20, "to see")
    assert rollout.target.read() == started
    gateway.answer(2, 40)
    gateway.answer(3, 10)
    assert rows(rollout) == {"stable": "40", "canary": "10"}


def test_a_step_begins_when_the_version_is_loaded(config: PipelineConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    rollout = new_rollout(config, LateGateway(follows_after=0), monkeypatch)
    loaded: list[datetime] = []
    monkeypatch.setattr(rollout.target, "expand", lambda before, after: loaded.append(datetime.now(timezone.utc)))
    rollout.start(3, 20, "to see")
    began = rollout.target.read().step_began
    assert began is not None
    assert began >= loaded[0]


def test_other_programs_are_told_of_each_change(config: PipelineConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    with event_receiver() as receiver:
        config = config.model_copy(update={"events": Events(url=receiver.url)})
        target = new_rollout(config, LateGateway(follows_after=0), monkeypatch).target
        rollout = open_rollout(config, target)
        rollout.adopt(2, "it serves")
        rollout.record_replay(3, 2, "pass", "as good")
        rollout.start(3, 20, "to see", plan=Plan(steps=(20, 50), bake_seconds=0))
        rollout.promote("fine", traffic=50)
        rollout.pause("lunch")
        rollout.promote("fine")
        rollout.rollback("on second thoughts")
        events = receiver.wait_for(6)
    assert [(each["type"].removeprefix("conveyor.version."), each["subject"]) for each in events] == [
        ("adopted", "2"),
        ("replayed", "3"),
        ("started", "3"),
        ("stepped", "3"),
        ("promoted", "3"),
        ("rolled_back", "3"),
    ]
    assert events[1]["data"]["outcome"] == "pass"
    started = events[2]["data"]
    assert (started["target"], started["reason"], started["after"]["canary"]) == ("local", "to see", 3)


def test_a_change_that_fails_is_not_told(config: PipelineConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    with event_receiver() as receiver:
        config = config.model_copy(update={"events": Events(url=receiver.url)})
        target = new_rollout(config, LateGateway(follows_after=0), monkeypatch).target
        rollout = open_rollout(config, target)
        with pytest.raises(UsageError, match="There is no version 9"):
            rollout.start(9, 20, "")
        rollout.start(3, 20, "")
        assert [each["subject"] for each in receiver.wait_for(1)] == ["3"]


@pytest.mark.parametrize("acts", ["promote", "abort"])
def test_a_verdict_is_on_the_canary_that_was_judged(config: PipelineConfig, monkeypatch: pytest.MonkeyPatch, acts: str) -> None:
    rollout = new_rollout(config, LateGateway(follows_after=0), monkeypatch)
    judged = rollout.start(3, 20, "to see")
    rollout.pause("somebody else looks at it")
    with pytest.raises(UsageError, match="has changed since the canary was judged") as error:
        getattr(rollout, acts)("verdict", judged=judged)
    assert error.value.seen == "stable 2, canary 3 at 20 %, paused"
    assert rollout.target.read().canary == 3
    now = rollout.resume("")
    rollout.record_replay(2, 3, "pass", "of no canary")
    assert getattr(rollout, acts)("verdict", judged=now).canary is None


def test_a_gateway_that_does_not_follow_in_time_is_counted_all_the_same(
    config: PipelineConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rollout = new_rollout(config, LateGateway(follows_after=10**6), monkeypatch)
    monkeypatch.setattr(rollout.target, "follow_seconds", 0.05)
    rollout.start(3, 20, "to see")
    # One page more was read for the status.
    assert rows(rollout) == {"stable": "0", "canary": "100"}


def test_what_was_replayed_is_the_model_and_not_the_number(config: PipelineConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    rollout = new_rollout(config, LateGateway(0), monkeypatch)

    def describe(digest: str) -> None:
        path = config.serving_path / "3" / DESCRIPTION_PATH
        path.parent.mkdir(exist_ok=True)
        path.write_text(ModelDescription(digest=digest).to_json())

    describe("one")
    rollout.adopt(2, "it serves")
    rollout.record_replay(3, 2, "pass", "as good")
    describe("another")
    with pytest.raises(UsageError, match="has not passed a replay"):
        rollout.start(3, 20, "to see", replayed=True)
    describe("one")
    assert rollout.start(3, 20, "to see", replayed=True).canary == 3


def test_who_listens_and_does_not_answer_is_not_taken_for_nobody(config: PipelineConfig) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address, nobody = f"127.0.0.1:{listening.getsockname()[1]}", f"127.0.0.1:{free_port()}"
        gateways = [f"http://{address}", f"http://{nobody}"]
        silent = LocalTarget(config, RunningServer(nobody, config.name), gateways, print, 0.2).silent
        assert silent(()) == [f"http://{address}"]
        assert silent([f"http://{address}"]) == []
        assert LocalTarget(config, RunningServer(address, config.name), [], print, 0.2).silent(()) == [address]


class Gateways:
    """Gateways by their addresses: what each has counted, and whether it answers."""

    def __init__(self, *addresses: str) -> None:
        self.metrics = {address: GatewayMetrics() for address in addresses}
        self.silent: set[str] = set()

    def answer(self, address: str, **rows: int) -> None:
        for version, number in rows.items():
            prediction = Prediction(model="flights", version=int(version[1:]), latency=0.01, value=1.0)
            self.metrics[address].count([prediction] * number)

    def page(self, address: str) -> str:
        self.metrics[address].canary_percent.set(20)
        return "" if address in self.silent else self.metrics[address].text().decode()


def test_what_a_gateway_has_counted_before_does_not_count_because_it_did_not_answer(
    config: PipelineConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateways = Gateways("one", "two", "new")
    for address in ("one", "two"):
        gateways.metrics[address].started.set(1.0)
        gateways.answer(address, v2=10_000, v3=500)
    monkeypatch.setattr("serving.rollout.local.read_metrics", gateways.page)
    monkeypatch.setattr("serving.rollout.local._is_open", lambda url: url != "new")
    monkeypatch.setattr(controller, "_POLL_SECONDS", 0.01)
    monkeypatch.setattr(LocalTarget, "follow_seconds", 0.05)
    said: list[str] = []
    target = LocalTarget(config, RunningServer("127.0.0.1:9", config.name), list(gateways.metrics), said.append, 0.2)
    rollout = Rollout(target, "ada@laptop", said.append)

    gateways.silent = {"two", "new"}
    rollout.start(3, 20, "to see")
    assert said[-1] == "Not counted before the next step, as it did not answer when this one began: two."
    gateways.silent = set()
    gateways.metrics["new"].started.set_to_current_time()
    for address in gateways.metrics:
        gateways.answer(address, v2=4, v3=1)
    assert rows(rollout) == {"stable": "8", "canary": "2"}
    found = rollout.status()
    assert (sorted(found.gateways), found.uncounted) == (["new", "one", "two"], ("two",))

    rollout.promote("", traffic=30)
    gateways.answer("two", v2=3)
    assert rows(rollout) == {"stable": "3", "canary": "0"}
    assert rollout.status().uncounted == ()


def test_a_gateway_that_answers_late_is_waited_for(config: PipelineConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    gateway = LateGateway(0)
    gateway.answer(3, 500)
    rollout = new_rollout(config, gateway, monkeypatch)
    pages = iter(["", "", ""])
    monkeypatch.setattr("serving.rollout.local.read_metrics", lambda url: next(pages, None) or gateway.page(url))
    monkeypatch.setattr("serving.rollout.local._is_open", lambda url: True)
    gateway.metrics.started.set(1.0)
    rollout.start(3, 20, "to see")
    gateway.answer(3, 7)
    assert rows(rollout) == {"stable": "0", "canary": "7"}


def test_what_is_left_of_versions_goes_with_any_prune(config: PipelineConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    rollout = new_rollout(config, LateGateway(0), monkeypatch)
    left = config.serving_path / ".pruned-1"
    left.mkdir()
    assert rollout.prune(5, "", dry_run=True) == []
    assert left.exists()
    assert rollout.prune(5, "", dry_run=False) == []
    assert not left.exists()
