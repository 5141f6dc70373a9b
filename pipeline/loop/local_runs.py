"""Runs of a loop on this machine: one goes from its start to its end within a turn."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

from pipeline.config import PipelineConfig
from pipeline.local.runner import Observer
from pipeline.local.training import train
from pipeline.loop.journal import Entry
from pipeline.loop.pushed import pushed_by, pushed_versions
from pipeline.loop.turn import Done
from pipeline.monitoring.served import read_version
from pipeline.runs.outcomes import is_at_work, read_outcomes
from pipeline.runs.status import RunState


class LocalRuns:
    """Runs the pipeline as `conveyor run` does.

    Args:
      config: the pipeline's configuration.
      observed: returns a context with an observer of a run.
    """

    def __init__(self, config: PipelineConfig, observed: Callable[[], AbstractContextManager[Observer]]) -> None:
        self._config, self._observed = config, observed

    def at_work(self) -> str:
        """A run that somebody has started in this workspace; empty if none is at work."""
        runs = self._config.runs_path
        if not is_at_work(runs):
            return ""
        outcomes, _ = read_outcomes(runs)
        return next((run_id for run_id in reversed(outcomes) if outcomes[run_id].state is RunState.RUNNING), "")

    def run(self, begun: Entry) -> Done:
        """Runs the pipeline to its end; a model that was not blessed is no error."""
        with self._observed() as observer:
            run = train(self._config, observer)
        run_id = run.outcome.run_id
        if run.outcome.problem:
            raise run.outcome.problem.as_error()
        if run.refusal or run.outcome.state is not RunState.COMPLETE:
            return Done(run.refusal.what if run.refusal else run.outcome.state.value, run_id)
        return pushed_by(self._config, run_id)

    def found(self, begun: Entry) -> Done | None:
        """What a run that was cut off has pushed, if it has."""
        versions = pushed_versions(self._config)
        if not versions:
            return None
        served = read_version(self._config, str(max(versions)))
        if served.pushed is None or served.pushed < begun.at:
            return None
        return Done(f"version {served.version} was pushed", version=int(served.version))
