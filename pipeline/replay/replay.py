"""A candidate and the stable version are asked what was really asked, and judged by it."""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from pipeline.config import PipelineConfig, Task
from pipeline.contracts.model_description import ModelDescription
from pipeline.errors import UsageError
from pipeline.monitoring.labels import LabelStore, labels_of_day, logged_names
from pipeline.monitoring.moments import Period
from pipeline.monitoring.prediction_files import PredictionFiles
from pipeline.replay.asked import AskedVersion, Row
from pipeline.replay.comparison import Answered, Comparison, Flip, Slice
from serving.client import Prediction
from serving.rollout.verdict import CanaryVerdict, Outcome, judge
from serving.rollout.verdict import Comparison as Check

if TYPE_CHECKING:
    from pipeline.monitoring.prediction_files import LoggedRows

_ROWS = 256
"""Rows of a call, but for those that are timed, each of which has a call of its own as most requests have."""


@dataclass(frozen=True)
class Replayed:
    """What a replay has shown.

    Attributes:
      name: the pipeline's name.
      period: which rows were asked again.
      stable: the stable version.
      candidate: the version that was tried.
      rows: how many rows were asked.
      labelled: for how many of them it is known what really came.
      verdict: the candidate beside the stable version.
      slices: all rows, then by slice.
      flips: the rows that were answered most differently.
      failures: what the candidate said to rows that it did not answer, with how many there were.
      lacking: features that a version takes and no logged row has: both were asked without them.
      unusable: labelled rows whose label is no class or number of the model.
      overflowing: slices of which further values were left out.
      unreadable: files of the log that could not be read, with why.
    """

    name: str
    period: str
    stable: int
    candidate: int
    rows: int
    labelled: int
    verdict: CanaryVerdict
    slices: tuple[Slice, ...]
    flips: tuple[Flip, ...]
    failures: Mapping[str, int]
    lacking: tuple[str, ...]
    unusable: int
    overflowing: tuple[str, ...]
    unreadable: Mapping[str, str]

    def document(self) -> dict[str, Any]:
        """The replay as JSON holds it."""
        checks = [{**vars(check), "outcome": check.outcome.value} for check in self.verdict.checks]
        return {**asdict(self), "verdict": {"outcome": self.verdict.outcome.value, "checks": checks}}


def replay(
    config: PipelineConfig,
    server: str,
    versions: tuple[int, int],
    log: PredictionFiles,
    period: Period,
    *,
    min_rows: int,
) -> Replayed:
    """Asks two versions what was asked in a period. Rows are read once and in batches.

    Args:
      config: the pipeline's configuration.
      server: host:port of the gRPC interface of a model server with both versions.
      versions: the stable version and the candidate.
      log: what was asked.
      period: when.
      min_rows: the rows that each must have answered to be judged; so many are timed, and 500 at least.

    Raises:
      UsageError: nothing was logged in the period, or its rows have none of the model's features.
      ServerAwayError: the model server does not answer.
    """
    comparison = Comparison(config, (_classes(config, versions[0]), _classes(config, versions[1])))
    labels = Labels(LabelStore.of(config))
    rows, seen = 0, set[str]()
    to_time = max(min_rows, 500)
    with (
        AskedVersion(server, config.name, versions[0]) as stable,
        AskedVersion(server, config.name, versions[1]) as candidate,
    ):
        wanted = stable.features | candidate.features
        for logged in log.read(period):
            seen |= set(logged.rows.schema.names)
            if not wanted & seen:
                raise _other_rows(config, wanted, seen)
            for part in _parts(logged):
                if not rows:
                    # The first call of a connection is slow.
                    for version in (stable, candidate):
                        version.warm_up(part.rows.slice(0, 1).to_pylist())
                asked = part.rows.to_pylist()
                one, other = _ask(stable, candidate, asked, timed=rows < to_time)
                comparison.add(
                    [
                        Answered(name, row, here, there, label)
                        for name, row, here, there, label in zip(
                            logged_names(part), asked, one, other, labels.of(part), strict=True
                        )
                        if here is not None and there is not None
                    ]
                )
                rows += len(asked)
        if not rows:
            raise _nothing(config, log, period)
        total = comparison.all
        agreement = (total.rows - total.flips, total.flips)
        verdict = judge(stable.counts(0, 0), candidate.counts(*agreement), min_rows=min_rows)
    slices = comparison.slices()
    quality = [_quality(config, slices[0])] if slices and not math.isnan(slices[0].gain) else []
    return Replayed(
        name=config.name,
        period=str(period),
        stable=versions[0],
        candidate=versions[1],
        rows=rows,
        labelled=len(total.stable),
        verdict=CanaryVerdict((*verdict.checks, *quality)),
        slices=tuple(slices),
        flips=tuple(comparison.flips()),
        failures=dict(candidate.failures.most_common()),
        lacking=tuple(sorted(wanted - seen)),
        unusable=comparison.unusable,
        overflowing=tuple(sorted(comparison.overflowing)),
        unreadable=log.broken,
    )


class Labels:
    """What really came, of the days that are being read alone.

    Args:
      store: the labels.
    """

    def __init__(self, store: LabelStore) -> None:
        self._store = store
        self._by_day: dict[datetime.date, dict[str, str]] = {}

    def of(self, logged: LoggedRows) -> list[str | None]:
        """The label of each row as text; None where it is not known."""
        days = logged.days.to_pylist()
        self._by_day = {day: self._by_day[day] if day in self._by_day else self._read(day) for day in set(days)}
        return [self._by_day[day].get(name) for day, name in zip(days, logged_names(logged), strict=True)]

    def _read(self, day: datetime.date) -> dict[str, str]:
        labels = labels_of_day(self._store, day)
        return dict(zip(labels.index, labels.to_numpy(), strict=True))


def _ask(
    stable: AskedVersion, candidate: AskedVersion, rows: Sequence[Row], *, timed: bool
) -> tuple[list[Prediction | None], list[Prediction | None]]:
    """The answers of both versions; timed rows each alone and by turns, as what else goes on slows both alike."""
    if not timed:
        return stable.ask(rows, timed=False), candidate.ask(rows, timed=False)
    answers: dict[int, list[Prediction | None]] = {stable.version: [], candidate.version: []}
    for number, row in enumerate(rows):
        turns = (stable, candidate) if number % 2 else (candidate, stable)
        for version in turns:
            answers[version.version] += version.ask([row], timed=True)
    return answers[stable.version], answers[candidate.version]


def _parts(logged: LoggedRows) -> Iterator[LoggedRows]:
    for start in range(0, logged.rows.num_rows, _ROWS):
        yield logged.slice(start, _ROWS)


def _classes(config: PipelineConfig, version: int) -> list[str]:
    """A classifier's label values; 0 and 1 of a model that does not describe itself."""
    if config.task is Task.REGRESSION:
        return []
    return [str(each) for each in ModelDescription.of(config.serving_path / str(version)).classes or (0, 1)]


def _quality(config: PipelineConfig, total: Slice) -> Check:
    """The metric of both by what really came: the candidate fails if it is worse, by more than chance and than is allowed."""
    threshold = config.evaluation.thresholds.get(total.metric)
    allowed = (threshold.max_regression if threshold else None) or 0.0
    return Check(
        total.metric,
        f"{total.stable:.4f}",
        f"{total.candidate:.4f}",
        f"{total.gain:+.4f} ({total.lower:+.4f} to {total.upper:+.4f}), {total.labelled:,} labels",
        f"not {allowed:g} worse by more than chance" if allowed else "not worse by more than chance",
        Outcome.FAIL if total.upper < -allowed else Outcome.PASS,
    )


def _nothing(config: PipelineConfig, log: PredictionFiles, period: Period) -> UsageError:
    days = log.days()
    broken = f"; {len(log.broken)} files cannot be read, such as {next(iter(log.broken))}" if log.broken else ""
    return UsageError(
        f"Nothing was asked of {config.name} in this period, so nothing can be replayed.",
        where=str(log.folder),
        expected=f"logged rows, {period}",
        seen=(f"days from {days[0]} to {days[-1]}" if days else "no day") + broken,
        fix=f"Choose a longer period: --since {days[0]}" if days else "Ask for predictions through `conveyor gateway`.",
    )


def _other_rows(config: PipelineConfig, wanted: frozenset[str], seen: set[str]) -> UsageError:
    return UsageError(
        f"The logged rows are none that {config.name} can be asked about.",
        where=str(config.gateway.log.folder),
        expected=f"columns such as {', '.join(sorted(wanted)[:5])}",
        seen=", ".join(sorted(seen)[:10]) or "no columns",
        fix="Choose a period in which this model was served: --since and --until.",
    )
