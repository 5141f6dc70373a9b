"""What a loop finds out of a workspace, and how it acts on the rollout there."""

from __future__ import annotations

import contextlib
import os
from datetime import datetime, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.config import PipelineConfig
from pipeline.config.evaluation import Bounds
from pipeline.config.loop import Loop
from pipeline.errors import ConveyorError, UsageError
from pipeline.local.runner import run_lock
from pipeline.loop import looks
from pipeline.loop.journal import FILE_NAME, Action, Entry, Journal, State
from pipeline.loop.local_runs import LocalRuns
from pipeline.loop.looks import out_of_bounds
from pipeline.loop.turn import Done, folder_of
from pipeline.loop.turn import Loop as Turns
from pipeline.loop.workspace import open_loop
from pipeline.runs.status import RunOutcome, RunState
from serving.rollout.files import read_state, write_state
from serving.rollout.model_folder import ModelFolder
from serving.rollout.placement import Plan
from serving.rollout.state import Placement, RolloutChange, RolloutState
from tests.fakes.workspace import Workspace


class Rollout:
    """Stands in for the rollout: notes what is asked of it."""

    def __init__(
        self, config: PipelineConfig, outcome: str = "undecided", serving: tuple[int, ...] = (), silent: str = ""
    ) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self._outcome = outcome
        self.target = SimpleNamespace(
            read=lambda: read_state(config),
            digest=ModelFolder(config.serving_path).digest,
            servers=lambda: {"localhost:8500": list(serving)} if serving else {},
            pages=lambda: {"http://localhost:8088": "counts"} if serving and not silent else {},
            silent=lambda answering: [silent] if silent else [],
        )

    def status(self) -> Any:
        return SimpleNamespace(verdict=SimpleNamespace(outcome=SimpleNamespace(value=self._outcome), reason="errors 0.1 %"))

    def start(self, version: int, traffic: int, reason: str, *, shadow: bool, plan: Plan) -> RolloutState:
        self.asked.append(("start", version, traffic, reason, shadow, plan.steps, plan.bake_seconds))
        return state(canary=version)

    def adopt(self, version: int, reason: str) -> RolloutState:
        self.asked.append(("adopt", version, reason))
        return RolloutState(stable=version)

    def promote(self, reason: str, judged: RolloutState, traffic: int | None = None) -> RolloutState:
        self.asked.append(("promote" if traffic is None else f"step {traffic}", judged.canary, reason))
        return judged

    def record_replay(self, version: int, against: int, outcome: str, reason: str) -> None:
        self.asked.append(("replay", version, against, outcome))

    def abort(self, reason: str, judged: RolloutState) -> None:
        self.asked.append(("abort", judged.canary, reason))


@pytest.fixture
def pushed(workspace: Workspace, tmp_path: Path) -> PipelineConfig:
    """A pipeline that has pushed the versions 7 and 8, made from the spans up to 3, the newest that exists."""
    for run, version in (("run-1", "7"), ("run-2", "8")):
        workspace.run(run, f"-{version}", version=version)
        (workspace.config.serving_path / version).mkdir(parents=True)
    for span in (1, 2, 3):
        path = tmp_path / f"flights-{span}.csv"
        path.write_text("late\n1\n")
        os.utime(path, (0, 0))
    data = workspace.config.data.model_copy(update={"input": f"{tmp_path}/flights-{{SPAN}}.csv"})
    return workspace.config.model_copy(update={"data": data, "loop": Loop(replay=False)})


def made(config: PipelineConfig, rollout: Rollout) -> Turns:
    runs = LocalRuns(config, lambda: contextlib.nullcontext(lambda outcome: None))
    return open_loop(config, lambda: rollout, runs)  # type: ignore[arg-type, return-value]


def ran(config: PipelineConfig, version: int, action: Action = Action.RUN) -> None:
    """The loop has done something about a version."""
    entry = Entry(number=1, at=0.0, action=action, key="span 3", reason="", state=State.ENDED, version=version)
    Journal(folder_of(config)).add(entry)


def state(canary: int | None) -> RolloutState:
    moment = datetime(2026, 1, 1, tzinfo=timezone.utc)
    now = Placement(stable=7, canary=canary, traffic=10 if canary else 0)
    change = RolloutChange(at=moment, who="ada@here", action="start", before=Placement(stable=7), after=now)
    return RolloutState(stable=7, canary=canary, traffic=now.traffic, changes=(change,) if canary else ())


def test_a_line_of_the_journal_that_is_not_what_was_written_is_passed_over(pushed: PipelineConfig):
    for version in (7, 8):
        ran(pushed, version)
    journal = Journal(folder_of(pushed))
    path = folder_of(pushed) / FILE_NAME
    path.write_text(path.read_text().replace('"version": 7', '"version": 9'))
    assert [each.version for each in journal.entries()] == [8]


def test_without_a_log_and_with_the_newest_span_read_there_is_nothing_to_do(pushed: PipelineConfig):
    assert made(pushed, Rollout(pushed)).turn().reason == "there is no reason to run"


def test_a_newer_span_than_the_newest_version_has_read_is_seen(pushed: PipelineConfig, tmp_path: Path):
    (tmp_path / "flights-4.csv").write_text("late\n1\n")
    decision = made(pushed, Rollout(pushed)).turn()
    assert decision.reason == "span 4 is still being written"
    assert (decision.figures["span"], decision.figures["newest_read"]) == (4, 3)


def test_a_span_beyond_the_newest_that_the_configuration_reads_is_no_reason(pushed: PipelineConfig, tmp_path: Path):
    (tmp_path / "flights-4.csv").write_text("late\n1\n")
    os.utime(tmp_path / "flights-4.csv", (0, 0))
    capped = pushed.model_copy(update={"data": pushed.data.model_copy(update={"newest_span": 3})})
    assert made(capped, Rollout(pushed)).turn().reason == "there is no reason to run"


def test_a_file_that_is_gone_once_it_was_found_is_still_being_written(pushed: PipelineConfig, tmp_path: Path):
    (tmp_path / "flights-4.csv").symlink_to(tmp_path / "nowhere")
    assert made(pushed, Rollout(pushed)).turn().reason == "span 4 is still being written"


def test_a_version_that_it_has_pushed_is_started(pushed: PipelineConfig):
    write_state(pushed, state(canary=None))
    ran(pushed, 8)
    rollout = Rollout(pushed)
    assert made(pushed, rollout).turn().action is Action.START
    assert rollout.asked == [("start", 8, 10, "version 8 was pushed, and 7 serves", False, (10,), 1800)]


def test_a_shadow_comes_before_the_first_share(pushed: PipelineConfig):
    write_state(pushed, state(canary=None))
    ran(pushed, 8)
    rollout = Rollout(pushed)
    loop = Loop(replay=False, shadow=True, steps=(1, 20), bake_minutes=1)
    made(pushed.model_copy(update={"loop": loop}), rollout).turn()
    assert rollout.asked == [("start", 8, 0, "version 8 was pushed, and 7 serves", True, (1, 20), 60)]


def test_where_nothing_was_logged_a_version_is_tried_without_a_replay(pushed: PipelineConfig):
    write_state(pushed, state(canary=None))
    ran(pushed, 8)
    rollout = Rollout(pushed)
    loop = made(pushed.model_copy(update={"loop": Loop()}), rollout)
    assert [loop.turn().action for _ in range(2)] == [Action.REPLAY, Action.START]
    replay = next(each for each in loop.journal.entries() if each.action is Action.REPLAY and each.state is State.ENDED)
    assert (replay.outcome, replay.version) == ("undecided", 8)
    assert [each[0] for each in rollout.asked] == ["start"]


def test_a_canary_that_passes_gets_its_next_share(pushed: PipelineConfig):
    plan = Plan(steps=(10, 50), bake_seconds=0)
    write_state(pushed, state(canary=8).model_copy(update={"plan": plan}))
    ran(pushed, 8, Action.START)
    rollout = Rollout(pushed, "pass")
    assert made(pushed, rollout).turn().action is Action.STEP
    assert rollout.asked == [("step 50", 8, "verdict errors 0.1 %")]


def test_a_share_that_a_person_has_given_it_meanwhile_is_not_the_last(pushed: PipelineConfig):
    plan = Plan(steps=(10, 50), bake_seconds=0)
    write_state(pushed, state(canary=8).model_copy(update={"plan": plan}))
    ran(pushed, 8, Action.START)
    rollout = Rollout(pushed, "pass")

    def judge() -> Any:
        write_state(pushed, state(canary=8).model_copy(update={"plan": plan, "traffic": 50}))
        return Rollout(pushed, "pass").status()

    rollout.status = judge  # type: ignore[method-assign]
    with pytest.raises(UsageError, match="not tried any more as it was judged"):
        made(pushed, rollout).turn()
    assert rollout.asked == []


def test_a_version_whose_folder_is_gone_is_not_started(pushed: PipelineConfig):
    write_state(pushed, state(canary=None))
    ran(pushed, 8)
    (pushed.serving_path / "8").rmdir()
    assert made(pushed, Rollout(pushed)).turn().action is Action.WAIT


@pytest.mark.parametrize(("verdict", "action"), [("pass", "promote"), ("fail", "abort"), ("undecided", None)])
def test_its_canary_ends_as_the_verdict_says(pushed: PipelineConfig, verdict: str, action: str | None):
    write_state(pushed, state(canary=8))
    ran(pushed, 8, Action.START)
    rollout = Rollout(pushed, verdict)
    made(pushed, rollout).turn()
    assert rollout.asked == ([(action, 8, "verdict errors 0.1 %")] if action else [])


def test_what_a_person_has_put_in_its_place_is_not_ended_for_it(pushed: PipelineConfig):
    write_state(pushed, state(canary=8))
    ran(pushed, 8, Action.START)
    rollout = Rollout(pushed, "fail")

    def judge() -> Any:
        write_state(pushed, state(canary=9))
        return Rollout(pushed, "fail").status()

    rollout.status = judge  # type: ignore[method-assign]
    with pytest.raises(UsageError, match="Version 8 is not tried any more"):
        made(pushed, rollout).turn()
    assert rollout.asked == []


def test_a_canary_that_a_person_has_paused_may_only_end(pushed: PipelineConfig):
    write_state(pushed, state(canary=8).model_copy(update={"paused": True}))
    ran(pushed, 8, Action.START)
    good, bad = Rollout(pushed, "pass"), Rollout(pushed, "fail")
    assert "version 8 is paused" in made(pushed, good).turn().reason
    made(pushed, bad).turn()
    assert (good.asked, bad.asked) == ([], [("abort", 8, "verdict errors 0.1 %")])


@pytest.mark.parametrize(
    ("bounds", "lower", "upper", "told"),
    [
        (Bounds(min=0.7), 0.60, 0.69, "auc is below 0.7"),
        (Bounds(min=0.7), 0.65, 0.75, None),
        (Bounds(max=10), 11.0, 12.0, "auc is above 10"),
        (Bounds(min=0.7), float("nan"), float("nan"), None),
    ],
)
def test_quality_is_out_of_bounds_with_its_whole_interval(bounds, lower, upper, told):
    found = out_of_bounds("auc", lower, upper, 100, bounds)
    assert (found and found[0]) == told


@pytest.mark.parametrize(("serving", "asked"), [((8,), True), ((7,), False), ((), False)])
def test_the_version_that_serves_is_adopted_before_a_run(
    pushed: PipelineConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, serving: tuple[int, ...], asked: bool
):
    (tmp_path / "flights-4.csv").write_text("late\n1\n")
    os.utime(tmp_path / "flights-4.csv", (0, 0))
    rollout = Rollout(pushed, serving=serving)
    monkeypatch.setattr(LocalRuns, "run", lambda self, begun: Done("nothing was pushed", "run-3"))
    assert made(pushed, rollout).turn().action is (Action.ADOPT if asked else Action.RUN)
    assert [each[:2] for each in rollout.asked] == ([("adopt", 8)] if asked else [])


def test_where_somebody_is_there_and_does_not_answer_no_run_is_begun(
    pushed: PipelineConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "flights-4.csv").write_text("late\n1\n")
    os.utime(tmp_path / "flights-4.csv", (0, 0))
    monkeypatch.setattr(LocalRuns, "run", lambda self, begun: Done("version 9 was pushed", "run-3", 9))
    loop = made(pushed, Rollout(pushed, serving=(8,), silent="http://localhost:8088"))
    with pytest.raises(ConveyorError, match="not known") as caught:
        loop.turn()
    assert caught.value.where == "http://localhost:8088"
    assert loop.journal.entries() == ()


def test_another_process_knows_which_drift_was_announced(pushed: PipelineConfig, monkeypatch: pytest.MonkeyPatch):
    told: list[frozenset[str]] = []

    def announce(config: PipelineConfig, look: Any, before: frozenset[str]) -> frozenset[str]:
        told.append(before)
        return frozenset({"distance", "schema"})

    class Watched:
        def __init__(self, *_: Any) -> None:
            pass

        def look(self, *_: Any) -> Any:
            return SimpleNamespace(columns=())

    monkeypatch.setattr(looks, "announce_drift", announce)
    monkeypatch.setattr("pipeline.monitoring.look.Watch", Watched)
    monkeypatch.setattr(looks, "log_of", lambda config: None)
    for _ in range(2):
        made(pushed, Rollout(pushed)).turn()
    assert told == [frozenset(), frozenset({"distance", "schema"})]


def test_no_run_is_begun_beside_one_that_a_person_has_started(
    pushed: PipelineConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "flights-4.csv").write_text("late\n1\n")
    os.utime(tmp_path / "flights-4.csv", (0, 0))
    monkeypatch.setattr(LocalRuns, "run", lambda self, begun: Done("nothing was pushed", "run-4"))
    for run_id, run_state in (("run-2", RunState.COMPLETE), ("run-3", RunState.RUNNING)):
        RunOutcome(run_id=run_id, pipeline="flights", state=run_state).save(pushed.runs_path / run_id)
    loop = made(pushed, Rollout(pushed))
    with run_lock(pushed.runs_path):
        assert loop.turn().reason == "span 4 has come, but run run-3 is at work"
    assert loop.turn().action is Action.RUN
