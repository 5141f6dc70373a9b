"""The state machine: what may follow on what, and what it says when something may not."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from pipeline.errors import UsageError
from serving.rollout import Placement, Plan, RolloutState, Stage

BY = {"who": "ada@laptop", "reason": "to see"}
FIRST = RolloutState()
EXISTING = [4, 5, 6, 7]


def canary(version: int = 7, traffic: int = 10) -> RolloutState:
    return FIRST.start(version, traffic, EXISTING, **BY)


def test_before_the_first_rollout_the_newest_serves_without_labels():
    assert str(FIRST.placement) == "the newest version"
    assert FIRST.serving == ()
    assert FIRST.labels == {}


def test_the_first_rollout_makes_the_newest_other_version_stable():
    assert canary(7).placement == Placement(stable=6, canary=7, traffic=10)
    assert canary(5).placement == Placement(stable=7, canary=5, traffic=10)


def test_a_version_that_serves_is_adopted_before_another_is_tried():
    state = FIRST.adopt(6, EXISTING, **BY)
    assert (state.placement, state.previous, state.stage(6)) == (Placement(stable=6), (), Stage.STABLE)
    assert state.labels == {"stable": 6, "canary": 6}
    assert state.start(5, 10, EXISTING, **BY).placement == Placement(stable=6, canary=5, traffic=10)
    with pytest.raises(UsageError, match="There is a stable version already"):
        state.adopt(7, EXISTING, **BY)
    with pytest.raises(UsageError, match="no version 9"):
        FIRST.adopt(9, EXISTING, **BY)


def test_a_canary_has_the_label_and_gives_it_to_the_stable_version_at_its_end():
    assert canary().labels == {"stable": 6, "canary": 7}
    assert canary().abort(**BY).labels == {"stable": 6, "canary": 6}
    assert canary().promote(**BY).labels == {"stable": 7, "canary": 7}


def test_the_history_does_not_grow_without_end():
    state = canary()
    for number in range(1, 1003):
        state = state.replay(number, 6, "pass", **BY)
    assert len(state.changes) == 1000
    assert (state.changes[-1].versions, state.canary) == ((1002, 6), 7)


def test_every_change_is_recorded_with_who_why_and_what():
    state = canary().promote(who="bob@desk", reason="it is better")
    first, second = state.changes
    assert (first.action, first.who, first.reason, first.versions) == ("start", "ada@laptop", "to see", (7,))
    assert (second.action, second.who, second.reason) == ("promote", "bob@desk", "it is better")
    assert second.before == first.after == Placement(stable=6, canary=7, traffic=10)
    assert second.after == Placement(stable=7)
    assert first.at.tzinfo is not None
    assert first.at <= second.at


def test_rollback_goes_back_one_good_version_at_a_time():
    state = canary().promote(**BY).start(5, 50, EXISTING, **BY).promote(**BY)
    assert (state.stable, state.previous) == (5, (6, 7))
    state = state.rollback(EXISTING, **BY)
    assert (state.stable, state.previous) == (7, (6,))
    state = state.rollback(EXISTING, **BY)
    assert (state.stable, state.previous) == (6, ())
    with pytest.raises(UsageError, match="no version to roll back to"):
        state.rollback(EXISTING, **BY)


def test_rollback_ends_a_canary_first():
    state = canary().promote(**BY).start(5, 50, EXISTING, **BY).rollback(EXISTING, **BY)
    assert state.placement == Placement(stable=7)
    assert state.previous == (6,)


def test_rollback_passes_over_versions_that_are_gone():
    state = canary().promote(**BY).start(5, 50, EXISTING, **BY).promote(**BY)
    assert state.rollback([5, 6], **BY).stable == 6


def test_before_the_first_rollout_the_newest_version_gives_way_to_the_one_before():
    state = FIRST.rollback(EXISTING, **BY)
    assert (state.placement, state.previous) == (Placement(stable=6), ())
    assert (state.stage(7), state.stage(5)) == (Stage.RETIRED, Stage.CANDIDATE)
    for existing in ([], [7]):
        with pytest.raises(UsageError, match="no version to roll back to"):
            FIRST.rollback(existing, **BY)


def test_a_version_that_was_rolled_back_from_is_none_to_roll_back_to():
    state = canary().promote(**BY).rollback(EXISTING, **BY)
    assert state.previous == ()
    assert state.stage(7) is Stage.RETIRED


def test_a_version_that_is_promoted_again_counts_once():
    state = canary().promote(**BY).start(6, 10, EXISTING, **BY).promote(**BY)
    assert (state.stable, state.previous) == (6, (7,))


def test_stages():
    state = canary().abort(**BY).start(5, 10, EXISTING, **BY).promote(**BY).start(4, 1, EXISTING, **BY)
    stages = {version: state.stage(version) for version in (4, 5, 6, 7, 8)}
    assert stages == {4: Stage.CANARY, 5: Stage.STABLE, 6: Stage.PREVIOUS, 7: Stage.ABORTED, 8: Stage.CANDIDATE}


def test_a_canary_that_was_promoted_after_an_abort_was_not_aborted():
    state = canary().abort(**BY).start(7, 10, EXISTING, **BY).promote(**BY).rollback(EXISTING, **BY)
    assert state.stage(7) is Stage.RETIRED


@pytest.mark.parametrize("traffic", [-1, 0, 100])
def test_a_canary_gets_1_to_99_percent(traffic: int):
    with pytest.raises(UsageError, match="share of the traffic") as caught:
        canary(traffic=traffic)
    assert caught.value.seen == str(traffic)


def test_one_canary_at_a_time():
    with pytest.raises(UsageError, match="in progress") as caught:
        canary().start(5, 10, EXISTING, **BY)
    assert caught.value.seen == "stable 6, canary 7 at 10 %"


def test_a_version_that_is_not_there():
    with pytest.raises(UsageError, match="no version 9") as caught:
        FIRST.start(9, 10, EXISTING, **BY)
    assert caught.value.expected == "one of 4, 5, 6, 7"


def test_the_only_version_cannot_be_a_canary():
    with pytest.raises(UsageError, match="the only one"):
        FIRST.start(7, 10, [7], **BY)


def test_the_stable_version_cannot_be_a_canary():
    with pytest.raises(UsageError, match="stable one already"):
        canary().promote(**BY).start(7, 10, EXISTING, **BY)


def test_no_canary_while_the_stable_version_is_gone():
    with pytest.raises(UsageError, match="no version 7"):
        canary().promote(**BY).start(6, 10, [5, 6], **BY)


def test_without_a_canary_there_is_nothing_to_promote_or_abort():
    for action in (FIRST.promote, FIRST.abort, canary().abort(**BY).promote):
        with pytest.raises(UsageError, match="no canary"):
            action(**BY)


def test_pruned_versions_are_none_to_roll_back_to():
    state = canary().promote(**BY).start(5, 50, EXISTING, **BY).promote(**BY)
    assert state.protected == {5, 7}
    assert state.prune([4, 6], **BY).previous == (7,)
    with pytest.raises(UsageError, match="Version 7 has to stay"):
        state.prune([6, 7], **BY)


def test_the_state_survives_being_written_and_read():
    state = canary().model_copy(update={"since": {"gateway": {"a|7|ok": 3.0}}})
    assert RolloutState.model_validate_json(state.model_dump_json()) == state


@pytest.mark.parametrize(
    "broken",
    [
        {"stable": 6, "canary": 6, "traffic": 10},
        {"stable": 6, "canary": 7},
        {"stable": 6, "traffic": 10},
        {"canary": 7, "traffic": 10},
        {"stable": 6, "previous": [6]},
        {"stable": 6, "previous": [5, 5]},
        {"previous": [5]},
        {"stable": 6, "canary": 7, "traffic": 100},
        {"stabel": 6},
    ],
)
def test_a_state_that_does_not_hold_together_is_refused(broken: dict[str, object]):
    with pytest.raises(ValidationError):
        RolloutState.model_validate(broken)


class TestShadow:
    def shadow(self) -> RolloutState:
        return FIRST.start(7, 0, EXISTING, shadow=True, **BY)

    def test_it_is_loaded_and_labelled_as_a_canary_and_gets_no_traffic(self):
        state = self.shadow()
        assert state.placement == Placement(stable=6, canary=7, shadow=True)
        assert state.labels == {"stable": 6, "canary": 7}
        assert (state.traffic, state.stage(7), str(state.placement)) == (0, Stage.SHADOW, "stable 6, shadow 7")
        assert state.protected == {6, 7}

    def test_it_goes_on_as_a_canary(self):
        state = self.shadow().step(10, **BY)
        assert state.placement == Placement(stable=6, canary=7, traffic=10)
        assert (state.changes[-1].action, state.stage(7)) == ("step", Stage.CANARY)

    def test_it_becomes_the_stable_version(self):
        assert self.shadow().promote(**BY).placement == Placement(stable=7)

    def test_it_ends(self):
        assert self.shadow().abort(**BY).placement == self.shadow().rollback(EXISTING, **BY).placement == Placement(stable=6)
        assert self.shadow().abort(**BY).stage(7) is Stage.ABORTED

    @pytest.mark.parametrize(
        "wrong", [{"stable": 6, "canary": 7, "traffic": 10, "shadow": True}, {"stable": 6, "shadow": True}]
    )
    def test_what_cannot_be(self, wrong):
        with pytest.raises(ValidationError):
            Placement(**wrong)

    def test_a_share_is_between_1_and_99_percent_at_each_step(self):
        with pytest.raises(UsageError, match="cannot have this share"):
            self.shadow().step(100, **BY)
        with pytest.raises(UsageError, match="no canary to promote"):
            FIRST.step(10, **BY)


def test_gateways_of_earlier_releases_read_the_state_of_a_canary():
    kept = canary().to_json()
    assert "shadow" not in kept
    assert RolloutState.from_json(kept.encode()).placement == canary().placement


class TestSteps:
    PLAN = Plan(steps=(1, 10, 50), bake_seconds=600)

    def started(self) -> RolloutState:
        return FIRST.start(7, 1, EXISTING, plan=self.PLAN, **BY)

    def test_the_canary_goes_through_its_steps_and_is_then_promoted(self):
        state, shares = self.started(), [1]
        while (step := state.next_step) is not None:
            state = state.step(step, **BY)
            shares.append(state.traffic)
        assert shares == [1, 10, 50]
        assert state.promote(**BY).plan is None

    def test_a_shadow_has_all_steps_before_it(self):
        assert FIRST.start(7, 0, EXISTING, shadow=True, plan=self.PLAN, **BY).next_step == 1

    def test_a_step_by_hand_goes_over_those_before_it(self):
        assert self.started().step(30, **BY).next_step == 50

    def test_a_step_begins_with_its_share_and_again_when_it_is_resumed(self):
        state = self.started()
        assert state.step_began == state.changes[0].at
        paused = state.pause(**BY)
        assert (paused.paused, paused.step_began, paused.placement) == (True, state.changes[0].at, state.placement)
        resumed = paused.resume(**BY)
        assert (resumed.paused, resumed.step_began) == (False, resumed.changes[-1].at)
        assert resumed.abort(**BY).step_began is None

    def test_the_end_of_a_canary_is_the_end_of_its_plan(self):
        for ended in (self.started().pause(**BY).abort(**BY), self.started().pause(**BY).rollback(EXISTING, **BY)):
            assert (ended.plan, ended.paused) == (None, False)

    def test_what_cannot_be_paused_or_resumed(self):
        with pytest.raises(UsageError, match="no canary to pause"):
            FIRST.pause(**BY)
        with pytest.raises(UsageError, match="not paused"):
            self.started().resume(**BY)

    def test_it_is_kept(self):
        state = self.started().pause(**BY)
        kept = RolloutState.from_json(state.to_json().encode())
        assert (kept.plan, kept.paused, kept.next_step) == (self.PLAN, True, 10)

    @pytest.mark.parametrize("steps", [(), (10, 1), (10, 10), (0, 10), (10, 100)])
    def test_steps_go_up(self, steps):
        with pytest.raises(ValidationError):
            Plan(steps=steps, bake_seconds=600)


class TestReplay:
    def test_it_is_recorded_and_changes_nothing_that_serves(self):
        state = canary().abort(**BY).replay(5, 6, "pass", who="ada@laptop", reason="alike")
        change = state.changes[-1]
        assert (change.action, change.versions, change.outcome, change.reason) == ("replay", (5, 6), "pass", "alike")
        assert change.before == change.after == state.placement
        assert RolloutState.from_json(state.to_json().encode()).changes[-1] == change

    def test_one_that_has_passed_may_start(self):
        state = FIRST.replay(7, 6, "fail", **BY).replay(7, 6, "pass", **BY)
        assert state.start(7, 10, EXISTING, replayed="", **BY).canary == 7

    @pytest.mark.parametrize(
        "replays",
        [
            (),
            ((7, 6, "fail"),),
            ((7, 6, "undecided"),),
            ((7, 6, "pass"), (7, 6, "fail")),
            ((7, 5, "pass"),),
            ((5, 6, "pass"),),
        ],
    )
    def test_any_other_may_not(self, replays):
        state = FIRST
        for version, against, outcome in replays:
            state = state.replay(version, against, outcome, **BY)
        with pytest.raises(UsageError, match="has not passed a replay against version 6"):
            state.start(7, 10, EXISTING, replayed="", **BY)
        assert state.start(7, 10, EXISTING, **BY).canary == 7

    @pytest.mark.parametrize(
        ("then", "now", "allowed"), [("a", "a", True), ("a", "b", False), ("", "b", True), ("a", "", False)]
    )
    def test_that_of_another_model_with_the_number_may_not(self, then, now, allowed):
        state = FIRST.replay(7, 6, "pass", digest=then, **BY)
        if allowed:
            assert state.start(7, 10, EXISTING, replayed=now, **BY).canary == 7
            return
        with pytest.raises(UsageError, match="has not passed a replay") as caught:
            state.start(7, 10, EXISTING, replayed=now, **BY)
        assert caught.value.seen == "a replay of another model, which had the number before"

    def test_the_replay_of_a_version_that_was_deleted_is_not_that_of_the_next_one_with_its_number(self):
        state = canary().abort(**BY).replay(7, 6, "pass", **BY).prune([7], **BY)
        with pytest.raises(UsageError, match="has not passed"):
            state.start(7, 10, EXISTING, replayed="", **BY)
