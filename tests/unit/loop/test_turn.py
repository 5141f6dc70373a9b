"""What a loop does turn by turn, and that no kill makes it lose something or train again and again."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.config import PipelineConfig
from pipeline.errors import NodeError, StorageError, UsageError
from pipeline.loop.journal import FILE_NAME, Action, Entry, State
from pipeline.loop.turn import Done, Loop, approve, one_loop, pause, resume
from tests.unit.loop.conftest import DAY, KilledError, World

Make = Callable[..., Loop]


def turns(loop: Loop, world: World, count: int, minutes: float = 10) -> list[str]:
    """What was decided in some turns."""
    reasons = []
    for _ in range(count):
        reasons.append(loop.turn().reason)
        world.now += minutes * 60
    return reasons


def test_without_a_reason_nothing_runs_and_that_is_told_once(loop: Make, world: World):
    made = loop()
    assert turns(made, world, 5) == ["there is no reason to run"] * 5
    assert world.runs == 0
    assert len(made.journal.entries()) == 1


def test_a_new_span_is_run_once_when_it_has_come_whole(loop: Make, world: World):
    made = loop()
    world.span, world.changed = 2, world.now
    assert turns(made, world, 1) == ["span 2 is still being written"]
    assert turns(made, world, 3) == ["span 2 has come", "there is no reason to run", "there is no reason to run"]
    assert world.done == ["push 2"]
    run = [each for each in made.journal.entries() if each.action is Action.RUN]
    assert [each.state for each in run] == [State.BEGUN, State.ENDED]
    assert (run[-1].version, run[-1].run, run[-1].figures["span"]) == (2, "run-1", 2)


def test_the_first_model_needs_no_other_reason(loop: Make, world: World):
    world.versions, world.read = [], None
    assert turns(loop(), world, 1) == ["no version has been pushed"]
    assert world.done == ["push 1"]


def test_a_model_that_is_not_blessed_is_not_trained_again_on_the_same_data(loop: Make, world: World):
    world.span, world.blessed = 2, False
    turns(loop(), world, 500)
    assert world.runs == 1
    world.span = 3
    turns(loop(), world, 10)
    assert world.runs == 2


@pytest.mark.parametrize("cause", ["drift", "quality", "age"])
def test_drift_quality_and_age_run_once_until_there_is_new_data(loop: Make, world: World, cause: str):
    world.now += 40 * DAY
    if cause == "drift":
        world.drifted = {"temp": 0.1}
    elif cause == "quality":
        world.bad = ("auc is below 0.7", {"upper": 0.65})
    made = loop(max_age_days=30 if cause == "age" else None)
    world.blessed = False
    reasons = turns(made, world, 300, minutes=60)
    assert world.runs == 1
    words = {"drift": "temp drifted", "quality": "auc is below 0.7", "age": "version 1 was pushed 41 days ago"}
    assert reasons[0] == words[cause]


def test_a_table_without_spans_rests_between_runs(loop: Make, world: World):
    world.span, world.read, world.drifted, world.blessed = None, None, {"temp": 0.1}, False
    turns(loop(rest_hours=24), world, 24 * 3, minutes=60)
    assert world.runs == 3


def test_after_failures_the_next_attempt_comes_later_and_later(loop: Make, world: World):
    world.span, world.broken = 2, True
    began = []
    made = loop()
    for _ in range(60 * 24):
        before = world.runs
        try:
            made.turn()
        except NodeError:
            began.append(world.now)
        assert world.runs - before <= 1
        world.now += 60
    gaps = [(later - earlier) / 60 for earlier, later in itertools.pairwise(began)]
    assert gaps[:4] == [1, 4, 16, 64]
    assert all(gap <= 360 for gap in gaps)
    world.broken = False
    world.now += DAY
    turns(made, world, 1)
    assert world.done == ["push 2"]


def test_a_pushed_version_is_tried_and_promoted_when_it_has_passed_long_enough(loop: Make, world: World):
    world.stable_version, world.tried, world.span = 1, {1}, 2
    made = loop(bake_minutes=30)
    assert turns(made, world, 4) == [
        "span 2 has come",
        "version 2 was pushed, and 1 serves",
        "version 2 was pushed, and 1 serves",
        "version 2 is tried: verdict undecided: as it is",
    ]
    world.verdict = "pass"
    turns(made, world, 5)
    assert world.done == ["push 2", "replay 2", "start 2", "promote 2"]
    assert world.now >= world.canary_since + 30 * 60


def test_a_canary_that_fails_is_aborted_and_not_tried_again(loop: Make, world: World):
    world.stable_version, world.tried, world.span, world.verdict = 1, {1}, 2, "fail"
    turns(loop(), world, 50)
    assert world.done == ["push 2", "replay 2", "start 2", "abort 2"]


def test_each_step_is_judged_and_lasts_as_long_as_the_others(loop: Make, world: World):
    world.stable_version, world.tried, world.span, world.verdict, world.steps = 1, {1}, 2, "pass", (10, 50)
    made = loop(replay=False, bake_minutes=30)
    turns(made, world, 20)
    assert world.done == ["push 2", "start 2", "step 2 to 10", "step 2 to 50", "promote 2"]
    ended = [each for each in made.journal.entries() if each.state is State.ENDED and each.version == 2]
    moments = [each.at for each in ended if each.action in (Action.START, Action.STEP, Action.PROMOTE)]
    assert all(later - earlier >= 30 * 60 for earlier, later in itertools.pairwise(moments))
    assert all(each.figures["verdict"] == "pass" for each in ended if each.action is Action.STEP)


def test_a_canary_that_fails_at_a_later_step_is_aborted_there(loop: Make, world: World):
    world.stable_version, world.tried, world.span, world.verdict, world.steps = 1, {1}, 2, "pass", (10, 50)
    made = loop(replay=False, bake_minutes=0)
    turns(made, world, 3)
    world.verdict = "fail"
    turns(made, world, 10)
    assert world.done == ["push 2", "start 2", "step 2 to 10", "abort 2"]


class TestReplays:
    def test_one_that_is_worse_is_not_tried_and_gives_way_to_the_next(self, loop: Make, world: World):
        world.stable_version, world.tried, world.span, world.replayed = 1, {1}, 2, "fail"
        made = loop()
        told = turns(made, world, 20)
        assert world.done == ["push 2", "replay 2"]
        assert told[-1] == "version 2 is not tried, as its replay says: fail: as it is"
        replays = [each for each in made.journal.entries() if each.action is Action.REPLAY]
        assert [(each.state, each.outcome) for each in replays] == [(State.BEGUN, ""), (State.ENDED, "fail")]
        world.span, world.replayed, world.verdict = 3, "pass", "pass"
        turns(made, world, 20)
        assert world.done[2:] == ["push 3", "replay 3", "start 3", "promote 3"]

    def test_one_that_nothing_is_known_of_is_tried(self, loop: Make, world: World):
        world.stable_version, world.tried, world.span, world.replayed = 1, {1}, 2, "undecided"
        turns(loop(), world, 5)
        assert world.done == ["push 2", "replay 2", "start 2"]

    def test_it_is_another_one_against_another_stable_version(self, loop: Make, world: World):
        world.stable_version, world.tried, world.span, world.replayed = 1, {1}, 2, "fail"
        world.versions = [(0, 998 * DAY), (1, 999 * DAY)]
        made = loop()
        turns(made, world, 5)
        world.stable_version, world.replayed = 0, "pass"
        world.tried.add(0)
        turns(made, world, 2)
        assert world.done == ["push 2", "replay 2", "replay 2", "start 2"]

    def test_a_person_sees_it_before_the_approval(self, loop: Make, world: World, config: PipelineConfig):
        world.stable_version, world.tried, world.span, world.replayed = 1, {1}, 2, "undecided"
        made = loop(approve=True)
        turns(made, world, 5)
        assert world.done == ["push 2", "replay 2"]
        approve(config, "ada@here")
        turns(made, world, 1)
        assert world.done == ["push 2", "replay 2", "start 2"]

    def test_a_version_that_cannot_be_loaded_gives_way_to_the_next_span(
        self, loop: Make, world: World, monkeypatch: pytest.MonkeyPatch
    ):
        def fail(version: int, against: int) -> None:
            raise NodeError("The model server cannot load version 2.")

        world.stable_version, world.tried, world.span = 1, {1}, 2
        made = loop()
        turns(made, world, 1)
        with monkeypatch.context() as broken:
            broken.setattr(world, "replay", fail)
            with pytest.raises(NodeError):
                made.turn()
        assert "replay did not end well once" in turns(made, world, 1, minutes=0)[0]
        world.span = 3
        turns(made, world, 3)
        assert world.done == ["push 2", "push 3", "replay 3", "start 3"]

    def test_one_that_is_only_slow_is_tried_again_later_and_three_times_at_most(self, loop: Make, world: World):
        world.stable_version, world.tried, world.span, world.replayed, world.is_slow = 1, {1}, 2, "fail", True
        made = loop()
        told = turns(made, world, 60 * 24, minutes=1)
        replays = [each.at for each in made.journal.entries() if each.action is Action.REPLAY and each.state is State.ENDED]
        assert [(later - earlier) / 60 for earlier, later in itertools.pairwise(replays)] == [4, 16]
        assert "; the next attempt is at " in told[3]
        assert told[-1] == "version 2 is not tried, as its replay says: fail: as it is"
        assert world.done == ["push 2", *["replay 2"] * 3]

    def test_one_that_is_only_slow_once_is_tried(self, loop: Make, world: World):
        world.stable_version, world.tried, world.span, world.replayed, world.is_slow = 1, {1}, 2, "fail", True
        made = loop()
        turns(made, world, 2)
        world.replayed, world.is_slow = "pass", False
        turns(made, world, 5)
        assert world.done == ["push 2", "replay 2", "replay 2", "start 2"]

    def test_that_of_a_model_which_had_the_number_before_says_nothing(self, loop: Make, world: World):
        world.stable_version, world.tried, world.span, world.replayed = 1, {1}, 2, "fail"
        world.digests = {1: "one", 2: "bad"}
        made = loop()
        turns(made, world, 3)
        world.digests[2], world.replayed = "good", "pass"
        turns(made, world, 2)
        assert world.done == ["push 2", "replay 2", "replay 2", "start 2"]


class TestFirstRollout:
    """A version serves, and there has been no rollout."""

    def test_it_begins_before_another_version_is_pushed(self, loop: Make, world: World):
        world.has_servers, world.span, world.verdict = True, 2, "pass"
        made = loop(bake_minutes=0)
        assert turns(made, world, 1) == [
            "span 2 has come, and version 1 serves: what is pushed from now on is tried beside it first"
        ]
        turns(made, world, 10)
        assert world.done == ["adopt 1", "push 2", "replay 2", "start 2", "promote 2"]

    def test_it_does_not_begin_without_a_reason_to_run(self, loop: Make, world: World):
        world.has_servers = True
        turns(loop(), world, 3)
        assert world.done == []

    def test_where_nobody_serves_or_counts_the_newest_version_stays_the_one(self, loop: Make, world: World):
        world.span = 2
        turns(loop(), world, 3)
        assert world.done == ["push 2"]

    def test_one_that_has_failed_once_is_tried_again_before_another_is_pushed(self, loop: Make, world: World):
        world.has_servers, world.span, world.broken = True, 2, True
        made = loop()
        with pytest.raises(NodeError, match="does not take it over"):
            made.turn()
        world.broken = False
        assert "adopt did not end well once" in made.turn().reason
        world.now += 60
        turns(made, world, 2)
        assert world.done == ["adopt 1", "push 2"]

    def test_one_that_cannot_begin_keeps_no_model_from_being_trained_for_long(self, loop: Make, world: World):
        world.has_servers, world.span, world.broken = True, 2, True
        made = loop()
        for minutes in (1, 4, 0):
            with pytest.raises(NodeError, match="does not take it over"):
                made.turn()
            world.now += minutes * 60
        world.broken = False
        turns(made, world, 3)
        assert world.done == ["push 2"]

    def test_while_it_is_not_known_whether_it_can_begin_nothing_is_pushed(self, loop: Make, world: World):
        world.has_servers, world.span, world.silent = True, 2, True
        made = loop()
        for _ in range(5):
            with pytest.raises(NodeError, match="does not answer"):
                made.turn()
        world.silent = False
        turns(made, world, 2)
        assert world.done == ["adopt 1", "push 2"]

    def test_the_approval_is_then_that_of_the_version_and_not_of_the_run(self, loop: Make, world: World):
        world.has_servers, world.span = True, 2
        assert turns(loop(approve=True, replay=False), world, 3)[1:] == ["span 2 has come", "version 2 waits for approval"]

    @pytest.mark.parametrize("kill_at", [0, 1])
    def test_one_that_is_killed_goes_on(self, loop: Make, world: World, kill_at: int):
        world.has_servers, world.span, world.kill_at = True, 2, kill_at
        with pytest.raises(KilledError):
            loop().turn()
        world.now += 600
        turns(loop(), world, 1)
        world.now += 600
        turns(loop(), world, 1)
        assert world.done[:2] == ["adopt 1", "push 2"]


class TestInTheCluster:
    """A run goes on while turns end: later ones find out what came of it."""

    @pytest.fixture(autouse=True)
    def cluster(self, world: World) -> None:
        world.in_cluster, world.span, world.stable_version, world.tried = True, 2, 1, {1}

    def test_a_run_is_looked_for_until_it_has_ended(self, loop: Make, world: World):
        told = [turns(loop(), world, 1)[0] for _ in range(5)]
        assert told == ["span 2 has come", *["run run-1 is at work"] * 4]
        entries = loop().journal.entries()
        assert [(each.state, each.run) for each in entries] == [(State.BEGUN, ""), (State.BEGUN, "run-1")]
        world.end()
        turns(loop(), world, 3)
        assert (world.runs, world.done) == (1, ["push 2", "replay 2", "start 2"])
        ended = next(each for each in loop().journal.entries() if each.action is Action.RUN and each.state is State.ENDED)
        assert (ended.version, ended.run, ended.reason) == (2, "run-1", "span 2 has come")

    @pytest.mark.parametrize("kill_at", [0, 1])
    def test_a_turn_that_is_killed_starts_no_second_run(self, loop: Make, world: World, kill_at: int):
        world.kill_at = kill_at
        with pytest.raises(KilledError):
            loop().turn()
        world.now += 600
        turns(loop(), world, 3)
        assert world.runs == 1
        world.end()
        turns(loop(), world, 1)
        assert world.done == ["push 2", "replay 2"]

    @pytest.mark.parametrize("first", range(12))
    @pytest.mark.parametrize("second", [None, 0, 1, 2, 3])
    def test_no_kill_loses_anything_or_starts_a_second_run(self, loop: Make, world: World, first: int, second: int | None):
        world.verdict, world.steps, world.kill_at = "pass", (50,), first
        kills = 0
        for turn in range(60):
            try:
                # Each time a new process.
                loop(bake_minutes=30).turn()
            except KilledError:
                kills += 1
                if kills == 1:
                    world.kill_at = second
            if turn % 5 == 4 and world.begun.keys() - world.ended.keys():
                world.end()
            world.now += 300
        assert [*dict.fromkeys(world.done)] == ["push 2", "replay 2", "start 2", "step 2 to 50", "promote 2"]
        assert len(set(world.done)) == len(world.done) - (world.done.count("replay 2") - 1)
        assert (world.stable_version, len(world.begun)) == (2, 1)

    def test_one_that_has_failed_is_told_and_begun_again_later(self, loop: Make, world: World):
        turns(loop(), world, 1)
        world.end(problem=NodeError("The Trainer failed."))
        with pytest.raises(NodeError, match="The Trainer failed"):
            loop().turn()
        assert "run did not end well once" in turns(loop(), world, 1)[0]
        turns(loop(), world, 1)
        assert world.runs == 2

    def test_one_that_was_begun_before_a_pause_is_still_looked_for(self, loop: Make, world: World, config: PipelineConfig):
        turns(loop(), world, 1)
        pause(config, "month's end")
        assert turns(loop(), world, 1) == ["run run-1 is at work"]
        world.end()
        assert turns(loop(), world, 2) == ["paused: month's end"] * 2
        assert world.done == ["push 2"]

    def test_no_run_is_begun_beside_that_of_somebody_else(self, loop: Make, world: World):
        world.other_run = "0b1c"
        assert turns(loop(), world, 2) == ["span 2 has come, but run 0b1c is at work"] * 2
        assert world.runs == 0
        world.other_run = ""
        turns(loop(), world, 1)
        assert world.runs == 1


def test_a_canary_of_somebody_else_is_left_alone_and_nothing_runs_meanwhile(loop: Make, world: World):
    world.stable_version, world.canary_version, world.verdict, world.span = 1, 5, "fail", 2
    assert set(turns(loop(), world, 5)) == {"version 5 is tried by somebody else"}
    assert world.done == []


def test_a_version_that_a_person_starts_after_the_loop_could_not_is_that_persons(
    loop: Make, world: World, monkeypatch: pytest.MonkeyPatch
):
    def fail(version: int, reason: str) -> None:
        raise NodeError("The model server does not answer.")

    world.stable_version, world.tried, world.span, world.verdict = 1, {1}, 2, "pass"
    monkeypatch.setattr(world, "start", fail)
    made = loop(bake_minutes=0, replay=False)
    turns(made, world, 1)
    with pytest.raises(NodeError):
        made.turn()
    world.canary_version, world.canary_since = 2, world.now
    assert set(turns(made, world, 5)) == {"version 2 is tried by somebody else"}
    assert world.done == ["push 2"]


def test_a_version_waits_for_approval_before_it_is_tried(loop: Make, world: World, config: PipelineConfig):
    world.stable_version, world.tried, world.span = 1, {1}, 2
    made = loop(approve=True, replay=False)
    assert turns(made, world, 3)[1:] == ["version 2 waits for approval"] * 2
    assert approve(config, "ada@here") == "version 2"
    turns(made, world, 1)
    assert world.done == ["push 2", "start 2"]


def test_a_version_that_nobody_approves_gives_way_to_that_of_the_next_span(loop: Make, world: World, config: PipelineConfig):
    world.stable_version, world.tried, world.span = 1, {1}, 2
    made = loop(approve=True, replay=False)
    turns(made, world, 3)
    world.span = 3
    assert turns(made, world, 3) == ["span 3 has come", *["version 3 waits for approval"] * 2]
    assert approve(config, "ada@here") == "version 3"
    turns(made, world, 1)
    assert world.done == ["push 2", "push 3", "start 3"]


def test_where_the_newest_version_serves_the_run_waits_for_approval(loop: Make, world: World, config: PipelineConfig):
    world.span = 2
    made = loop(approve=True, replay=False)
    assert turns(made, world, 2) == ["span 2 has come: the run waits for approval"] * 2
    approve(config, "ada@here")
    turns(made, world, 2)
    assert world.done == ["push 2"]


def test_nothing_to_approve_is_said(loop: Make, world: World, config: PipelineConfig):
    with pytest.raises(UsageError, match="nothing to approve"):
        approve(config, "ada@here")
    turns(loop(), world, 1)
    with pytest.raises(UsageError, match="nothing to approve") as raised:
        approve(config, "ada@here")
    assert raised.value.seen == "there is no reason to run"


def test_a_pause_stops_it_until_it_is_resumed(loop: Make, world: World, config: PipelineConfig):
    world.span = 2
    pause(config, "month's end")
    assert turns(loop(), world, 3) == ["paused: month's end"] * 3
    assert resume(config)
    assert not resume(config)
    turns(loop(), world, 1)
    assert world.done == ["push 2"]


def test_a_second_loop_is_refused(config: PipelineConfig):
    with one_loop(config), pytest.raises(StorageError, match="Another loop of flights"), one_loop(config):
        pass
    with one_loop(config):
        pass


@pytest.mark.parametrize("first", range(12))
@pytest.mark.parametrize("second", [None, 0, 1, 2, 3, 4])
def test_no_kill_loses_anything_or_starts_a_storm(loop: Make, world: World, first: int, second: int | None):
    world.stable_version, world.tried, world.span, world.verdict, world.steps = 1, {1}, 2, "pass", (50,)
    world.kill_at = first
    kills = 0
    for _ in range(60):
        try:
            # Each time a new process.
            loop(bake_minutes=30).turn()
        except KilledError:
            kills += 1
            if kills == 1:
                world.kill_at = second
        world.now += 300
    # What changes nothing may be done again.
    assert [*dict.fromkeys(world.done)] == ["push 2", "replay 2", "start 2", "step 2 to 50", "promote 2"]
    assert len(set(world.done)) == len(world.done) - (world.done.count("replay 2") - 1)
    assert world.stable_version == 2
    assert world.runs == 1


def test_twenty_kills_at_the_start_of_a_run_are_no_storm(loop: Make, world: World):
    world.span = 2
    kills = 0
    while not world.done:
        world.kill_at = 0 if kills < 20 else None
        try:
            loop().turn()
        except KilledError:
            kills += 1
        world.now += 60
        assert world.now < 1100 * DAY
    assert kills == 20
    assert world.now > 1000 * DAY + 15 * 6 * 3600  # the attempts came later and later
    assert world.done == ["push 2"]


@pytest.mark.parametrize("kept", [0, 1, 30])
def test_a_line_that_was_cut_off_is_passed_over_and_the_next_is_whole(loop: Make, world: World, folder: Path, kept: int):
    world.span = 2
    made = loop()
    turns(made, world, 1)
    path = folder / "decisions.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text(lines[0] + lines[1][:kept])
    # It pushed version 2 before it could say so: that is found out.
    turns(made, world, 2)
    entries = made.journal.entries()
    assert [each.state for each in entries[:2]] == [State.BEGUN, State.ENDED]
    assert entries[1].version == 2
    assert world.done == ["push 2"]


def test_what_cannot_be_written_down_afterwards_was_done_all_the_same(loop: Make, world: World, folder: Path):
    world.span = 2
    _break_the_journal_in(world, folder, world.run)
    with pytest.raises(StorageError) as told:
        loop().turn()
    assert "the next turn finds out" in told.value.fix
    assert world.done == ["push 2"]


def test_what_cannot_be_written_down_beforehand_is_not_begun(loop: Make, world: World, folder: Path):
    world.span = 2
    folder.mkdir(parents=True)
    made = loop()
    made.journal.entries = lambda: ()  # type: ignore[method-assign]
    (folder / FILE_NAME).mkdir()
    with pytest.raises(StorageError) as told:
        made.turn()
    assert "Nothing was begun." in told.value.fix
    assert world.runs == 0


def test_an_action_that_failed_is_told_also_where_that_cannot_be_written_down(loop: Make, world: World, folder: Path):
    world.span, world.broken = 2, True
    _break_the_journal_in(world, folder, world.run)
    with pytest.raises(NodeError, match="The Trainer failed"):
        loop().turn()


def _break_the_journal_in(world: World, folder: Path, run: Callable[[Entry], Done]) -> None:
    def run_and_break(begun: Entry) -> Done:
        (folder / FILE_NAME).unlink()
        (folder / FILE_NAME).mkdir()
        return run(begun)

    world.run = run_and_break  # type: ignore[method-assign]
