"""What is the case on this machine, and what can be done there."""

from __future__ import annotations

import datetime
import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from components.example_gen.objects import last_changed
from components.example_gen.spans import at_or_below, find_spans
from pipeline import nodes
from pipeline.config import PipelineConfig
from pipeline.config.evaluation import Bounds
from pipeline.errors import UsageError
from pipeline.local.runner import Observer
from pipeline.local.training import train
from pipeline.loop.decision import Canary
from pipeline.loop.turn import Done, Loop
from pipeline.monitoring.announcement import announce_drift
from pipeline.monitoring.labels import LabelStore
from pipeline.monitoring.moments import UTC, Period
from pipeline.monitoring.relevance import drift_that_matters
from pipeline.monitoring.served import ServedVersion, read_version
from pipeline.monitoring.sources import LOG, VERSION, Source, log_of
from pipeline.runs import database
from pipeline.runs.metadata import open_store
from pipeline.runs.status import RunState
from pipeline.util.imports import quietly, silently
from pipeline.util.paths import is_object
from serving.rollout.controller import Rollout
from serving.rollout.files import read_state
from serving.rollout.placement import Plan
from serving.rollout.state import RolloutState, Stage
from serving.rollout.verdict import MIN_ROWS, Outcome

_DRIFT_DAYS, _LABEL_DAYS, _REPLAY_DAYS = 7, 30, 7
_LOAD_SECONDS = 120.0
_LOOK_SECONDS = 3600.0


def open_loop(
    config: PipelineConfig, rollout: Callable[[], Rollout], observed: Callable[[], AbstractContextManager[Observer]]
) -> Loop:
    """The loop of a pipeline on this machine.

    Args:
      config: the pipeline's configuration.
      rollout: returns the rollout of the served versions.
      observed: returns a context with an observer of a run.
    """
    looks = _Looks(config)
    return Loop(config, lambda: _Facts(config, rollout, looks), _Actions(config, rollout, observed))


def out_of_bounds(metric: str, lower: float, upper: float, rows: int, bounds: Bounds) -> tuple[str, dict[str, float]] | None:
    """What is wrong with a quality, in words, with its figures; None where its interval reaches into the bounds.

    Args:
      metric: the metric.
      lower: the lower end of its interval.
      upper: its upper end.
      rows: how many rows it was measured on.
      bounds: the bounds.
    """
    if not (math.isfinite(lower) and math.isfinite(upper)):
        return None
    figures = {"lower": lower, "upper": upper, "rows": float(rows)}
    if bounds.min is not None and upper < bounds.min:
        return f"{metric} is below {bounds.min:g}", figures
    if bounds.max is not None and lower > bounds.max:
        return f"{metric} is above {bounds.max:g}", figures
    return None


class _Facts:
    """What is the case, by the workspace, the data, the log and the rollout."""

    def __init__(self, config: PipelineConfig, rollout: Callable[[], Rollout], looks: _Looks) -> None:
        self._config, self._rollout, self._looks = config, rollout, looks
        self._state = read_state(config)
        self._versions = _pushed_versions(config)

    def canary(self) -> Canary | None:
        state = self._state
        if state.canary is None:
            return None
        verdict = self._rollout().status().verdict
        return Canary(
            version=state.canary,
            started=state.step_began.timestamp() if state.step_began else 0.0,
            verdict=verdict.outcome.value if verdict else "",
            reason=verdict.reason if verdict else "",
            paused=state.paused,
            next_step=state.next_step,
        )

    def stable(self) -> int | None:
        return self._state.stable

    def untried(self, version: int) -> bool:
        return self._state.stage(version) is Stage.CANDIDATE and (self._config.serving_path / str(version)).is_dir()

    def version(self) -> int | None:
        return self._state.stable or max(self._versions, default=None)

    def pushed(self) -> float | None:
        return self._served().pushed

    def read_span(self) -> int | None:
        if not self._versions:
            return None
        execution = read_version(self._config, str(max(self._versions))).lineage.execution(nodes.EXAMPLE_GEN.id)
        examples = next(iter(execution.outputs.get("examples", ())), None) if execution else None
        span = examples.properties.get("span") if examples else None
        return None if span is None else int(span)

    def newest_span(self) -> tuple[int, float] | None:
        pattern = self._config.resolve(self._config.data.input)
        if "{SPAN}" not in pattern:
            return None
        newest = at_or_below(find_spans(pattern), self._config.data.newest_span)[-1]
        changed = last_changed(newest.files) if is_object(pattern) else max(map(_changed, newest.files))
        return newest.number, changed

    def quality(self) -> tuple[str, dict[str, float]] | None:
        return self._looks.at(self._served()).quality

    def drift(self) -> dict[str, float] | None:
        return self._looks.at(self._served()).drift

    def _served(self) -> ServedVersion:
        return read_version(self._config, str(self.version()))


@dataclass(frozen=True)
class _Look:
    version: str
    moment: float
    quality: tuple[str, dict[str, float]] | None
    drift: dict[str, float] | None


class _Looks:
    """What the log and the labels say of a version. They are read once an hour at the most: that takes a while."""

    def __init__(self, config: PipelineConfig) -> None:
        self._config = config
        self._last: _Look | None = None
        self._told: frozenset[str] = frozenset()

    def at(self, served: ServedVersion) -> _Look:
        """The last look at a version, or a new one."""
        moment, last = time.monotonic(), self._last
        if last is None or last.version != served.version or moment - last.moment > _LOOK_SECONDS:
            loop, is_logged = self._config.loop, self._is_logged()
            quality = self._quality(served, loop.quality) if loop.quality and is_logged else None
            drift = self._drift(served) if loop.drift and is_logged else None
            self._last = last = _Look(served.version, moment, quality, drift)
        return last

    def _is_logged(self) -> bool:
        try:
            log_of(self._config)
        except UsageError:
            return False
        return True

    def _quality(self, served: ServedVersion, bounds: Bounds) -> tuple[str, dict[str, float]] | None:
        with quietly():
            from pipeline.monitoring.quality import measure
        period = Period(datetime.datetime.now(UTC) - datetime.timedelta(days=_LABEL_DAYS))
        labels = LabelStore.of(self._config)
        try:
            with silently():
                found = measure(self._config, served.description, log_of(self._config), labels, period, int(served.version))
        except UsageError:
            # No labels have come.
            return None
        group = found.groups[0]
        return out_of_bounds(group.primary, group.lower, group.upper, group.rows, bounds)

    def _drift(self, served: ServedVersion) -> dict[str, float] | None:
        with quietly():
            import pipeline.monitoring.statistics  # noqa: F401
            from pipeline.monitoring.look import Watch
        now = datetime.datetime.now(UTC)
        current = Source(LOG, period=Period(now - datetime.timedelta(days=_DRIFT_DAYS)))
        try:
            with silently():
                look = Watch(self._config, served.version, Source(VERSION)).look(current, now)
        except UsageError:
            # No rows were logged in this time, or those of training are gone.
            return None
        self._told = announce_drift(self._config, look, self._told)
        importance = {each.name: each.importance for each in look.columns}
        return {name: importance[name] or 0.0 for name in drift_that_matters(look.columns)} or None


class _Actions:
    """What a loop does on this machine."""

    def __init__(
        self,
        config: PipelineConfig,
        rollout: Callable[[], Rollout],
        observed: Callable[[], AbstractContextManager[Observer]],
    ) -> None:
        self._config, self._rollout, self._observed = config, rollout, observed

    def run(self) -> Done:
        with self._observed() as observer:
            run = train(self._config, observer)
        run_id = run.outcome.run_id
        if run.outcome.problem:
            raise run.outcome.problem.as_error()
        if run.refusal or run.outcome.state is not RunState.COMPLETE:
            return Done(run.refusal.what if run.refusal else run.outcome.state.value, run_id)
        with open_store(database.connection(self._config), self._config.name) as store:
            pushed = store.run(run_id).output(nodes.PUSHER.id, "pushed_model")
        version = str(pushed.properties.get("pushed_version", "")) if pushed else ""
        return Done(f"version {version} was pushed" if version else "nothing was pushed", run_id, int(version or 0) or None)

    def replay(self, version: int, against: int) -> Done:
        with quietly():
            from pipeline.replay.model_server import model_server
            from pipeline.replay.replay import replay
        period = Period(datetime.datetime.now(UTC) - datetime.timedelta(days=_REPLAY_DAYS))
        try:
            log = log_of(self._config)
            with model_server(self._config, (against, version), _LOAD_SECONDS) as server, silently():
                found = replay(self._config, server, (against, version), log, period, min_rows=MIN_ROWS)
        except UsageError as error:
            # Nothing was logged, or no row that these versions can be asked about.
            return Done(error.what, version=version, outcome=Outcome.UNDECIDED.value)
        outcome = found.verdict.outcome.value
        self._rollout().record_replay(version, against, outcome, f"replay {period}: {found.verdict.reason}")
        return Done(f"{found.rows:,} rows: {found.verdict.reason}", version=version, outcome=outcome)

    def start(self, version: int, reason: str) -> Done:
        loop = self._config.loop
        plan = Plan(steps=loop.steps, bake_seconds=loop.bake_minutes * 60)
        state = self._rollout().start(version, 0 if loop.shadow else loop.steps[0], reason, shadow=loop.shadow, plan=plan)
        return Done(str(state.placement), version=version)

    def step(self, version: int, traffic: int, reason: str) -> Done:
        state = self._rollout().promote(reason, traffic=traffic, judged=self._tried(version, traffic))
        return Done(str(state.placement), version=version)

    def promote(self, version: int, reason: str) -> Done:
        self._rollout().promote(reason, judged=self._tried(version))
        return Done("stable", version=version)

    def abort(self, version: int, reason: str) -> Done:
        self._rollout().abort(reason, judged=self._tried(version))
        return Done("aborted", version=version)

    def _tried(self, version: int, next_step: int | None = None) -> RolloutState:
        """The state in which a version is tried: what a person does to the rollout meanwhile is not undone."""
        state = read_state(self._config)
        if state.canary != version or (next_step is not None and state.next_step != next_step):
            raise UsageError(
                f"Version {version} is not tried any more as it was judged, so nothing was done.",
                where=self._config.name,
                expected=f"canary {version}" + (f", with {next_step} % as its next step" if next_step else ""),
                seen=str(state.placement),
                fix="The next turn decides by what is tried now.",
            )
        return state

    def pushed_since(self, moment: float) -> Done | None:
        versions = _pushed_versions(self._config)
        if not versions:
            return None
        served = read_version(self._config, str(max(versions)))
        if served.pushed is None or served.pushed < moment:
            return None
        return Done(f"version {served.version} was pushed", version=int(served.version))


def _changed(path: str) -> float:
    """When a file changed last, in seconds since 1970: now, if it is being replaced."""
    try:
        return Path(path).stat().st_mtime
    except FileNotFoundError:
        return time.time()


def _pushed_versions(config: PipelineConfig) -> list[int]:
    try:
        with open_store(database.connection(config), config.name) as store:
            return [int(version) for version in store.pushed_versions()]
    except UsageError:
        # Nothing has run yet.
        return []
