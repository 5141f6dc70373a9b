"""One look at what is served: everything that is compared, and what it says."""

from __future__ import annotations

import datetime
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.config import PipelineConfig
from pipeline.config.consistency import METRICS
from pipeline.contracts import prediction_log, signature
from pipeline.errors import UsageError
from pipeline.monitoring.columns import Column, Role, watched_columns
from pipeline.monitoring.comparison import ColumnComparison, compare
from pipeline.monitoring.estimate import estimated
from pipeline.monitoring.numbers import FloatArray
from pipeline.monitoring.prediction_files import PredictionFiles
from pipeline.monitoring.profile import Profile
from pipeline.monitoring.served import JUDGED_ON, TRAINED_ON, ServedVersion, read_version
from pipeline.monitoring.sources import LOG, SPAN, VERSION, Source, log_of, span_rows
from pipeline.monitoring.trend import Day, Trend

if TYPE_CHECKING:
    import pyarrow as pa
    from tensorflow_metadata.proto.v0 import schema_pb2

PREDICTION_COLUMNS = (
    Column(prediction_log.LABEL, Role.CATEGORY),
    Column(prediction_log.SCORE, Role.NUMBER),
    Column(prediction_log.VALUE, Role.NUMBER),
)


@dataclass(frozen=True)
class Traffic:
    """What one version has answered.

    Attributes:
      version: the version.
      rows: how many rows.
      first: the time of the first, in seconds since 1970.
      last: the time of the last.
    """

    version: int
    rows: int
    first: float
    last: float


@dataclass(frozen=True)
class Side:
    """One side of the comparison: what the rows are, and how many."""

    title: str
    rows: int


@dataclass(frozen=True)
class Estimate:
    """How good predictions are likely to be, before labels come.

    Attributes:
      metric: the metric.
      reference: what was to be expected of the rows that the version was judged on, or of the reference.
      current: what is to be expected of the rows that were looked at.
      judged: what it really was on the rows that the version was judged on: how far the estimate can be off; None where that
        is not known.
    """

    metric: str
    reference: float
    current: float
    judged: float | None = None


@dataclass(frozen=True)
class Look:
    """What was seen.

    Attributes:
      name: the pipeline's name.
      version: the version that is watched.
      moment: when, in seconds since 1970.
      reference: what rows should be like.
      current: the rows that were looked at.
      columns: the features, those that have drifted first, and of these the ones that the model leans on most.
      predictions: the version's predictions, compared in the same way.
      estimate: how good the version's predictions are likely to be; None where they say nothing of that.
      traffic: the rows that each version has answered, of a log.
      days: how far each column is from the reference day by day, of a log.
      anomalies: what breaks the schema: pairs of column and what is wrong with it.
      is_curated: whether people keep the schema, so that an anomaly counts.
      not_compared: columns that the rows do not have, such as personal ones that are not logged.
      unreadable: files that could not be read, with why.
      pushed: when the version was pushed, in seconds since 1970.
      data_read: when the data that it was trained on was read.
      newest_span: the newest span of that data; None without spans.
    """

    name: str
    version: str
    moment: float
    reference: Side
    current: Side
    columns: tuple[ColumnComparison, ...]
    predictions: tuple[ColumnComparison, ...]
    estimate: Estimate | None = None
    traffic: tuple[Traffic, ...] = ()
    days: tuple[Day, ...] = ()
    anomalies: tuple[tuple[str, str], ...] = ()
    is_curated: bool = False
    not_compared: tuple[str, ...] = ()
    unreadable: Mapping[str, str] = field(default_factory=dict)
    pushed: float | None = None
    data_read: float | None = None
    newest_span: int | None = None

    @property
    def drifted(self) -> tuple[ColumnComparison, ...]:
        """Features and predictions that have drifted."""
        return tuple(each for each in (*self.columns, *self.predictions) if each.has_drifted)

    @property
    def breaks_schema(self) -> bool:
        """Whether rows break a schema that people keep."""
        return self.is_curated and bool(self.anomalies)

    def document(self) -> dict[str, Any]:
        """The look as JSON holds it."""
        return {**asdict(self), "drifted": [each.name for each in self.drifted]}


class Watch:
    """Looks at what is served, as often as it is asked to; the reference is read once.

    Args:
      config: the pipeline's configuration.
      version: the version that is watched; the newest when None.
      reference: what rows should be like.

    Raises:
      UsageError: there is no such version, or its rows are not there any more.
    """

    def __init__(self, config: PipelineConfig, version: str | None, reference: Source) -> None:
        self._config, self._reference = config, reference
        self.served = read_version(config, version)
        self._types = self.served.types(config)
        self._columns = watched_columns(config, self._types)
        rows = _Rows(self._columns, reference)
        self._then = rows
        self._read(reference, rows, None)
        self._is_scored = reference.kind != VERSION
        if not rows.features.rows:
            raise _no_rows("reference", reference, "--against")

    def look(self, current: Source, now: datetime.datetime) -> Look:
        """Compares rows with the reference.

        Args:
          current: the rows.
          now: the present.

        Raises:
          UsageError: there are no such rows.
          DataError: they cannot be read.
        """
        from pipeline.monitoring.statistics import anomalies

        config, served = self._config, self.served
        rows = _Rows(self._columns, current)
        if current.kind == LOG and not self._is_scored:
            self._score(self._then)
            self._is_scored = True
        trend = Trend(self._then.features) if current.kind == LOG else None
        unreadable = self._read(current, rows, trend)
        if not rows.features.rows:
            raise _no_rows("current", current, "--rows")
        level = config.monitoring
        # Features and predictions together are to be wrong no more often than is allowed.
        confidence = 1 - (1 - level.confidence) / 2
        return Look(
            name=config.name,
            version=served.version,
            moment=now.timestamp(),
            reference=Side(str(self._reference), self._then.features.rows),
            current=Side(str(current), rows.features.rows),
            columns=compare(
                self._then.features,
                rows.features,
                confidence=confidence,
                allowed=level.min_difference,
                thresholds=_thresholds(served.schema),
                importance=served.importance,
            ),
            predictions=compare(self._then.predictions, rows.predictions, confidence=confidence, allowed=level.min_difference),
            estimate=self._estimate(rows),
            traffic=rows.traffic,
            days=trend.days() if trend else (),
            anomalies=tuple(anomalies(rows.features, served.schema)),
            is_curated=config.schema_source.path is not None,
            not_compared=tuple(name for name, column in rows.features.columns.items() if not column.rows),
            unreadable=unreadable,
            pushed=served.pushed,
            data_read=served.data_read,
            newest_span=served.newest_span,
        )

    def _read(self, source: Source, rows: _Rows, trend: Trend | None) -> Mapping[str, str]:
        """Reads rows; returns the files that could not be read."""
        if source.kind == LOG:
            log = log_of(self._config)
            rows.add_logged(log, source, self.served, trend)
            return log.broken
        if source.kind == SPAN and source.number is not None:
            batches = span_rows(self._config, source.number, self._types)
        else:
            batches = self._version(source).rows(TRAINED_ON)
        for batch in batches:
            rows.features.add(batch)
        return {}

    def _score(self, rows: _Rows) -> None:
        from pipeline.monitoring.scored import scored

        version = self._version(self._reference)
        try:
            files = version.files(JUDGED_ON)
        except UsageError:
            # A model that was judged elsewhere has no predictions to compare with.
            return
        if (key := self._config.push.public_key) is not None:
            signature.verify(version.folder, self._config.name, signature.public_key(Path(self._config.resolve(key))))
        for batch in scored(version.folder, files):
            rows.predictions.add(batch)

    def _estimate(self, rows: _Rows) -> Estimate | None:
        task = self._config.task
        found = []
        for side in (self._then, rows):
            numbers = side.predictions.columns[prediction_log.SCORE].numbers
            found.append(estimated(task, numbers.values(), numbers.cells()[1]))
        if any(math.isnan(each) for each in found):
            return None
        metric = METRICS[task][0]
        judged = self.served.judged(metric) if self._reference.kind == VERSION else None
        return Estimate(metric, found[0], found[1], judged)

    def _version(self, source: Source) -> ServedVersion:
        if source.number is None or str(source.number) == self.served.version:
            return self.served
        return read_version(self._config, str(source.number))


class _Rows:
    """What is gathered of one side."""

    def __init__(self, columns: Iterable[Column], source: Source) -> None:
        self.features = Profile(columns, lacking_is_missing=source.kind != LOG)
        self.predictions = Profile(PREDICTION_COLUMNS, lacking_is_missing=False)
        self._counts: dict[int, int] = defaultdict(int)
        self._times: dict[int, tuple[float, float]] = {}

    def add_logged(self, log: PredictionFiles, source: Source, served: ServedVersion, trend: Trend | None) -> None:
        """Adds the rows of a log; of the predictions, those of one version."""
        for logged in log.read(source.period):
            self.features.add(logged.rows)
            if served.version.isdecimal():
                self.predictions.add(logged.of_version(int(served.version), served.description.digest).answer)
            for number, moments in _by_version(logged.answer):
                self._counts[number] += len(moments)
                first, last = self._times.get(number, (float("inf"), float("-inf")))
                self._times[number] = min(first, moments.min()), max(last, moments.max())
            if trend:
                trend.add(logged)

    @property
    def traffic(self) -> tuple[Traffic, ...]:
        """What each version has answered."""
        return tuple(Traffic(number, self._counts[number], *self._times[number]) for number in sorted(self._counts))


def _by_version(answer: pa.RecordBatch) -> Iterator[tuple[int, FloatArray]]:
    versions = np.asarray(answer.column(prediction_log.VERSION))
    times = np.asarray(answer.column(prediction_log.TIME)).astype("datetime64[us]").astype(np.int64) / 1e6
    for number in np.unique(versions):
        yield int(number), times[versions == number]


def _thresholds(schema: schema_pb2.Schema) -> dict[str, float]:
    """The distances that the schema allows between training and serving, by column."""
    found = {}
    for feature in schema.feature:
        comparator = feature.skew_comparator
        for kind in ("infinity_norm", "jensen_shannon_divergence"):
            if comparator.HasField(kind):
                found[feature.name] = getattr(comparator, kind).threshold
    return found


def _no_rows(what: str, source: Source, option: str) -> UsageError:
    return UsageError(
        "There are no rows to compare.",
        where=f"{option}, the {what} rows",
        expected="at least one row",
        seen=f"none in {source}",
        fix="Choose a longer period, such as --since 30d, or other rows with --rows and --against.",
    )
