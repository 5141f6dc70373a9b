"""What the log of predictions and the labels say of the version that serves."""

from __future__ import annotations

import datetime
import json
import math
import time
from dataclasses import dataclass
from pathlib import Path

from pipeline.config import PipelineConfig
from pipeline.config.evaluation import Bounds
from pipeline.errors import UsageError
from pipeline.monitoring.announcement import announce_drift
from pipeline.monitoring.labels import LabelStore
from pipeline.monitoring.moments import UTC, Period
from pipeline.monitoring.relevance import drift_that_matters
from pipeline.monitoring.served import ServedVersion
from pipeline.monitoring.sources import LOG, VERSION, Source, log_of
from pipeline.util import files
from pipeline.util.imports import quietly, silently

_DRIFT_DAYS, _LABEL_DAYS = 7, 30
_LOOK_SECONDS = 3600.0
_TOLD = "told.json"


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


@dataclass(frozen=True)
class Look:
    """What was found out about a version.

    Attributes:
      version: the version.
      moment: when, by the monotonic clock, in seconds.
      quality: what is wrong with its quality by labels, in words, with its figures; None if nothing is, or no labels are there.
      drift: the importance of the columns that have drifted and matter; None if none has, or nothing was logged.
    """

    version: str
    moment: float
    quality: tuple[str, dict[str, float]] | None
    drift: dict[str, float] | None


class Looks:
    """What the log and the labels say of a version. That takes a while: a process reads them once an hour at the most.

    Args:
      config: the pipeline's configuration.
      folder: keeps which drift other programs have been told of, as a turn may be a process of its own.
    """

    def __init__(self, config: PipelineConfig, folder: Path) -> None:
        self._config, self._told = config, folder / _TOLD
        self._last: Look | None = None

    def at(self, served: ServedVersion) -> Look:
        """The last look at a version, or a new one."""
        moment, last = time.monotonic(), self._last
        if last is None or last.version != served.version or moment - last.moment > _LOOK_SECONDS:
            loop, is_logged = self._config.loop, self._is_logged()
            quality = self._quality(served, loop.quality) if loop.quality and is_logged else None
            drift = self._drift(served) if loop.drift and is_logged else None
            self._last = last = Look(served.version, moment, quality, drift)
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
        told = self._read_told()
        if (now_told := announce_drift(self._config, look, told)) != told:
            files.write(self._told, json.dumps(sorted(now_told)))
        importance = {each.name: each.importance for each in look.columns}
        return {name: importance[name] or 0.0 for name in drift_that_matters(look.columns)} or None

    def _read_told(self) -> frozenset[str]:
        try:
            return frozenset(json.loads(self._told.read_text()))
        except (OSError, ValueError, TypeError):
            return frozenset()
