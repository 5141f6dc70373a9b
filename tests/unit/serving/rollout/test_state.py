"""The state machine: what may follow on what, and what it says when something may not."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from pipeline.errors import UsageError
from serving.rollout import Placement, RolloutState, Stage

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


def test_a_canary_has_the_label_and_gives_it_to_the_stable_version_at_its_end():
    assert canary().labels == {"stable": 6, "canary": 7}
    assert canary().abort(**BY).labels == {"stable": 6, "canary": 6}
    assert canary().promote(**BY).labels == {"stable": 7, "canary": 7}


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
