"""A rollout that goes on by itself: when it waits, takes a step, and ends."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from pipeline.errors import ConveyorError, UsageError
from serving.rollout import Plan, RolloutState
from serving.rollout.controller import RolloutStatus
from serving.rollout.verdict import CanaryVerdict, Comparison, Outcome
from serving.rollout.watch import Watch

BY = {"who": "ada@laptop", "reason": ""}


def verdict(outcome: Outcome) -> CanaryVerdict:
    return CanaryVerdict((Comparison("errors", "", "", "p = 1", "", outcome),))


class Played:
    """A rollout whose verdicts are played, one a look; between two looks, something may happen."""

    def __init__(self, state: RolloutState, outcomes: list[Any]) -> None:
        self.state, self._outcomes = state, list(outcomes)
        self.looks = 0

    def status(self) -> RolloutStatus:
        self.looks += 1
        next_one = self._outcomes.pop(0)
        if isinstance(next_one, Exception):
            raise next_one
        while callable(next_one):
            self.state = next_one(self.state)
            next_one = self._outcomes.pop(0)
        return RolloutStatus(self.state, "", ("gateway",), next_one and verdict(next_one))

    def promote(self, reason: str, *, traffic: int, judged: RolloutState) -> RolloutState:
        assert judged == self.state
        self.state = self.state.step(traffic, who="ada@laptop", reason=reason)
        return self.state


def started(bake_seconds: float = 0, *, shadow: bool = False) -> RolloutState:
    plan = Plan(steps=(1, 10), bake_seconds=bake_seconds)
    return RolloutState().start(7, 0 if shadow else 1, [6, 7], shadow=shadow, plan=plan, **BY)


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setattr("serving.rollout.watch.time.sleep", lambda seconds: None)
    return []


def follow(rollout: Any, said: list[str]) -> tuple[list[int], Outcome]:
    shares: list[int] = []
    _, found = Watch(rollout, 0, 1, said.append).follow(lambda state: shares.append(state.traffic))
    return shares, found.outcome


PASS, FAIL, UNDECIDED = Outcome.PASS, Outcome.FAIL, Outcome.UNDECIDED


def test_each_step_waits_for_its_verdict(said: list[str]) -> None:
    rollout = Played(started(shadow=True), [UNDECIDED, PASS, UNDECIDED, PASS, PASS])
    assert follow(rollout, said) == ([1, 10], PASS)
    assert [change.reason for change in rollout.state.changes[1:]] == ["verdict pass: errors p = 1"] * 2


def test_a_canary_that_fails_takes_no_further_step(said: list[str]) -> None:
    rollout = Played(started(), [PASS, UNDECIDED, FAIL])
    assert follow(rollout, said) == ([10], FAIL)


def test_one_that_is_paused_goes_on_when_it_is_resumed(said: list[str]) -> None:
    pause, resume = (lambda state: state.pause(**BY)), (lambda state: state.resume(**BY))
    rollout = Played(started(), [pause, PASS, PASS, PASS, resume, PASS, PASS])
    assert follow(rollout, said) == ([10], PASS)
    assert rollout.looks == 5
    assert sum("paused" in each for each in said) == 1


def test_one_that_is_paused_still_fails(said: list[str]) -> None:
    assert follow(Played(started().pause(**BY), [PASS, FAIL]), said) == ([], FAIL)


def test_a_step_lasts_as_long_as_it_is_to(said: list[str]) -> None:
    def later(state: RolloutState) -> RolloutState:
        change = state.changes[-1]
        return state.model_copy(update={"changes": (change.model_copy(update={"at": change.at - timedelta(minutes=11)}),)})

    rollout = Played(started(bake_seconds=600), [PASS, PASS, later, PASS, FAIL])
    assert follow(rollout, said) == ([10], FAIL)
    assert any("10 more minutes" in each for each in said)


def test_gateways_that_restart_are_waited_for(said: list[str]) -> None:
    assert follow(Played(started(), [UNDECIDED, None, None, PASS, FAIL]), said) == ([10], FAIL)
    assert said.count(said[1]) == 1
    assert "no gateway answers at the moment" in said[1]


def test_gateways_that_stay_away(said: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="No gateway answers"):
        follow(Played(started(), [None]), said)
    monkeypatch.setattr("serving.rollout.watch._AWAY_SECONDS", 0)
    with pytest.raises(UsageError, match="No gateway answers"):
        follow(Played(started(), [UNDECIDED, None]), said)


def test_a_cluster_that_is_away_for_a_moment_ends_nothing(said: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    away = ConveyorError("The cluster's API server does not answer.")
    assert follow(Played(started(), [UNDECIDED, away, away, PASS, FAIL]), said) == ([10], FAIL)
    assert sum("API server does not answer" in each for each in said) == 1
    with pytest.raises(ConveyorError, match="API server"):
        follow(Played(started(), [away]), said)
    monkeypatch.setattr("serving.rollout.watch._AWAY_SECONDS", 0)
    with pytest.raises(ConveyorError, match="API server"):
        follow(Played(started(), [UNDECIDED, away]), said)


def test_a_canary_that_somebody_else_ends(said: list[str]) -> None:
    rollout = Played(started(), [UNDECIDED, lambda state: state.abort(**BY), PASS])
    with pytest.raises(UsageError, match="no canary to watch any more"):
        follow(rollout, said)
