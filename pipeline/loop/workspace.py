"""What is the case in a workspace and in its rollout, and what can be done there."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable
from pathlib import Path

from components.example_gen.objects import last_changed
from components.example_gen.spans import at_or_below, find_spans
from pipeline import nodes
from pipeline.config import PipelineConfig
from pipeline.errors import ConveyorError, UsageError
from pipeline.loop.decision import Canary
from pipeline.loop.journal import Entry
from pipeline.loop.looks import Looks
from pipeline.loop.pushed import pushed_versions
from pipeline.loop.turn import Done, Loop, Runs, folder_of
from pipeline.monitoring.moments import UTC, Period
from pipeline.monitoring.served import ServedVersion, read_version
from pipeline.monitoring.sources import log_of
from pipeline.util.imports import quietly, silently
from pipeline.util.paths import is_object
from serving.rollout.controller import Rollout
from serving.rollout.placement import Plan
from serving.rollout.state import RolloutState, Stage
from serving.rollout.verdict import MIN_ROWS, Outcome

_REPLAY_DAYS = 7
_LOAD_SECONDS = 120.0


def open_loop(config: PipelineConfig, rollout: Callable[[], Rollout], runs: Runs) -> Loop:
    """The loop of a pipeline.

    Args:
      config: the pipeline's configuration, whose workspace is here.
      rollout: returns the rollout of the served versions.
      runs: runs of the pipeline.
    """
    looks = Looks(config, folder_of(config))
    return Loop(config, lambda: _Facts(config, rollout(), runs, looks), _Actions(config, rollout, runs))


class _Facts:
    """What is the case, by the workspace, the data, the log and the rollout."""

    def __init__(self, config: PipelineConfig, rollout: Rollout, runs: Runs, looks: Looks) -> None:
        self._config, self._rollout, self._runs, self._looks = config, rollout, runs, looks
        self._state = rollout.target.read()
        self._versions = pushed_versions(config)

    def canary(self) -> Canary | None:
        state = self._state
        if state.canary is None:
            return None
        verdict = self._rollout.status().verdict
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

    def digest(self, version: int) -> str:
        return self._rollout.target.digest(version)

    def can_try(self, version: int) -> bool:
        target = self._rollout.target
        servers, gateways = target.servers(), [gateway for gateway, page in target.pages().items() if page]
        if any(version in loaded for loaded in servers.values()) and gateways:
            return True
        if silent := target.silent({*servers, *gateways}):
            raise ConveyorError(
                "Whether another version can be tried beside the one that serves is not known, so nothing was done.",
                where=", ".join(silent),
                expected="an answer of each model server and gateway that is there",
                fix="The next turn asks again. Read its log, or stop it: then the newest version serves once it is pushed.",
            )
        return False

    def run_at_work(self) -> str:
        return self._runs.at_work()

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


class _Actions:
    """What a loop does to runs and to the rollout."""

    def __init__(self, config: PipelineConfig, rollout: Callable[[], Rollout], runs: Runs) -> None:
        self._config, self._rollout, self._runs = config, rollout, runs

    def at_work(self) -> str:
        return self._runs.at_work()

    def run(self, begun: Entry) -> Done:
        return self._runs.run(begun)

    def found(self, begun: Entry) -> Done | None:
        return self._runs.found(begun)

    def adopt(self, version: int, reason: str) -> Done:
        return Done(str(self._rollout().adopt(version, reason).placement), version=version)

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
        is_slow = outcome == Outcome.FAIL.value and found.verdict.is_about_latency
        return Done(f"{found.rows:,} rows: {found.verdict.reason}", version=version, outcome=outcome, is_slow=is_slow)

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
        state = self._rollout().target.read()
        if state.canary != version or (next_step is not None and state.next_step != next_step):
            raise UsageError(
                f"Version {version} is not tried any more as it was judged, so nothing was done.",
                where=self._config.name,
                expected=f"canary {version}" + (f", with {next_step} % as its next step" if next_step else ""),
                seen=str(state.placement),
                fix="The next turn decides by what is tried now.",
            )
        return state


def _changed(path: str) -> float:
    """When a file changed last, in seconds since 1970: now, if it is being replaced."""
    try:
        return Path(path).stat().st_mtime
    except FileNotFoundError:
        return time.time()
