"""How good a served version has been, by the labels that came later: with the Evaluator's own metrics."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import tensorflow_model_analysis as tfma
from scipy import stats
from tensorflow_model_analysis.metrics import metric_types

from components.evaluator.accumulators import accumulator_for
from components.evaluator.config import eval_config
from components.evaluator.matrices import result_function
from components.evaluator.plan import Plan
from components.evaluator.predicted_rows import PredictedRows
from components.evaluator.sample import Sample
from components.evaluator.significance import standard_error
from components.evaluator.sums import IntArray
from components.evaluator.thresholds import DEFAULT, at_thresholds
from pipeline.config import PipelineConfig, Task
from pipeline.config.consistency import METRICS
from pipeline.contracts.metrics import higher_is_better
from pipeline.contracts.model_description import ModelDescription
from pipeline.contracts.prediction_log import PROBABILITIES, SCORE, VALUE, VERSION
from pipeline.errors import UsageError
from pipeline.monitoring.estimate import estimated
from pipeline.monitoring.labels import LabelStore, days_with_labels, logged_names
from pipeline.monitoring.moments import Period
from pipeline.monitoring.prediction_files import LoggedRows, PredictionFiles

_CONFIDENCE = 0.95
ALL = "all"


@dataclass(frozen=True)
class Quality:
    """The metrics of some labelled rows.

    Attributes:
      by: what they have in common: `all`, `version`, `day`, or the columns of a slice.
      value: the version, the day or the slice's values; empty for all.
      rows: how many there are.
      metrics: the Evaluator's metrics by name, NaN where one has no value.
      primary: the metric that sums them up.
      lower: the lower end of its interval of 95 %.
      upper: its upper end.
      estimate: what the probabilities promised of these rows; NaN where they say nothing of it.
    """

    by: str
    value: str
    rows: int
    metrics: dict[str, float]
    primary: str
    lower: float
    upper: float
    estimate: float

    def is_worse_than(self, judged: float) -> bool:
        """Whether all of the interval is worse than a value of the primary metric, such as what the Evaluator has measured."""
        if not (math.isfinite(self.lower) and math.isfinite(self.upper)):
            return False
        return self.upper < judged if higher_is_better(self.primary) else self.lower > judged


@dataclass(frozen=True)
class LabelledQuality:
    """How good the answers of a log were.

    Attributes:
      groups: all rows, then by version, by day, and by the slices of the configuration.
      logged: the rows of the log in the period.
      labelled: those of them with a label.
      unusable: labelled rows whose label is not a class or number of the model, or whose answer the log does not hold.
    """

    groups: tuple[Quality, ...]
    logged: int
    labelled: int
    unusable: int


def measure(
    config: PipelineConfig,
    description: ModelDescription,
    log: PredictionFiles,
    store: LabelStore,
    period: Period,
    version: int | None = None,
) -> LabelledQuality:
    """Measures what was answered by what really came.

    Args:
      config: the pipeline's configuration, with the slices.
      description: the model's description of itself, with its classes and threshold.
      log: the log of predictions.
      store: the labels.
      period: the times of the predictions.
      version: the answers of this version only; of all when None.

    Raises:
      UsageError: no row of the period has a label.
    """
    groups = _Groups(config, description)
    logged_rows = labelled = unusable = 0
    by_day = days_with_labels(store, period)
    # The folder of a day may have rows of the one before.
    names = pd.concat(list(by_day.values())) if by_day else pd.Series(dtype=object)
    names = names[~names.index.duplicated()]
    index = pd.Index(names.index)
    for logged in log.read(period):
        rows = logged if version is None else logged.of_version(version, description.digest)
        logged_rows += rows.rows.num_rows
        places = index.get_indexer(pd.Index(logged_names(rows))) if len(index) else np.full(rows.rows.num_rows, -1)
        hits = np.flatnonzero(places >= 0)
        if len(hits):
            part = LoggedRows(rows.rows.take(hits), rows.answer.take(hits))
            labelled += len(hits)
            unusable += groups.add(part, names.to_numpy()[places[hits]])
    if labelled == unusable:
        raise UsageError(
            "No row of this period has a label." if not labelled else "No label of this period can be compared with an answer.",
            where=f"{config.name}, {period}",
            expected="rows of the log for which labels have been imported",
            seen=f"{logged_rows:,} rows, {labelled:,} with a label",
            fix="Import labels, and choose a period in which there are some: conveyor labels import FILE",
        )
    return LabelledQuality(tuple(groups.measured()), logged_rows, labelled, unusable)


class _Groups:
    """The labelled rows, summed by what they have in common."""

    def __init__(self, config: PipelineConfig, description: ModelDescription) -> None:
        # The log does not hold weights.
        evaluation = config.evaluation.model_copy(update={"weight": None})
        self._config = config.model_copy(update={"evaluation": evaluation})
        threshold = DEFAULT if description.threshold is None else description.threshold
        complete = tfma.utils.update_eval_config_with_defaults(eval_config(self._config), has_baseline=False, rubber_stamp=True)
        names = [spec.name for spec in complete.model_specs]
        if threshold != DEFAULT:
            complete = at_thresholds(complete, dict.fromkeys(names, threshold))
        self._plan = Plan.of(complete, dict.fromkeys(names, ""))
        self._accumulators = [accumulator_for(each) for each in self._plan.computations]
        self._threshold = threshold
        self._numbers: dict[tuple[str, str], int] = {}
        self._samples: dict[int, Sample] = {}
        self._confidences: dict[int, list[npt.NDArray[np.float32]]] = defaultdict(list)
        self._classes = {str(value): number for number, value in enumerate(description.classes)}
        self._class_weights = np.array(description.class_weights or [1.0], np.float32)

    def add(self, logged: LoggedRows, labels: npt.NDArray[np.object_]) -> int:
        """Adds rows with their labels as text; returns how many of them cannot be used."""
        predictions = self._predictions(logged)
        values = self._labels(labels)
        usable = np.isfinite(values) & np.isfinite(predictions).all(axis=1)
        if not usable.any():
            return len(labels)
        kept = values[usable]
        answered = predictions[usable]
        rows = PredictedRows(
            kept if self._config.task is Task.REGRESSION else kept.astype(np.int64),
            self._by_decision(answered),
            np.ones(len(kept)),
        )
        # Of the label, which need not be the most probable class.
        confidences = np.take_along_axis(answered, rows.predictions.argmax(axis=1)[:, np.newaxis], axis=1)[:, 0]
        part = LoggedRows(logged.rows.filter(usable), logged.answer.filter(usable))
        slices = [self._numbered(by, common) for by, common in self._commons(part)]
        for accumulator in self._accumulators:
            accumulator.add(slices, rows)
        for numbers in slices:
            for number in np.unique(numbers[numbers >= 0]):
                own = numbers == number
                sample = self._samples.setdefault(int(number), Sample(self._threshold))
                sample.add(PredictedRows(rows.labels[own], rows.predictions[own], rows.weights[own]))
                self._confidences[int(number)].append(confidences[own])
        return int((~usable).sum())

    def measured(self) -> Iterator[Quality]:
        """The metrics of each group."""
        primary = METRICS[self._config.task][0]
        derivations = [result_function(each) for each in self._plan.derived]
        for (by, value), number in self._numbers.items():
            found: dict[metric_types.MetricKey, Any] = {}
            for accumulator in self._accumulators:
                found.update(accumulator.output(number))
            for derive in derivations:
                found.update(derive(found))
            sample = self._samples[number]
            metrics = _scalars(found)
            if self._plan.rankings and len(np.unique(sample.labels)) < 2:
                metrics |= dict.fromkeys(self._plan.rankings, math.nan)
            middle = metrics.get(primary, math.nan)
            half = float(stats.norm.ppf((1 + _CONFIDENCE) / 2)) * _error(primary, sample)
            yield Quality(by, value, len(sample), metrics, primary, middle - half, middle + half, self._estimate(number))

    def _estimate(self, number: int) -> float:
        scores = np.concatenate(self._confidences[number]).astype(np.float64)
        return estimated(self._config.task, scores, np.ones(len(scores)))

    def _predictions(self, logged: LoggedRows) -> npt.NDArray[np.float32]:
        """What was answered, [N, outputs]; NaN where the log does not hold it."""
        names, size = logged.answer.schema.names, logged.answer.num_rows
        if self._config.task is Task.MULTICLASS:
            number = len(self._classes)
            if PROBABILITIES not in names:
                return np.full((size, number), np.nan, np.float32)
            lists = logged.answer.column(PROBABILITIES).to_pylist()
            return np.array([each if each and len(each) == number else [np.nan] * number for each in lists], np.float32)
        name = VALUE if self._config.task is Task.REGRESSION else SCORE
        if name not in names:
            return np.full((size, 1), np.nan, np.float32)
        return logged.answer.column(name).to_numpy(zero_copy_only=False).astype(np.float32)[:, np.newaxis]

    def _by_decision(self, predictions: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """What the labels of rows followed, [N, outputs]: of several classes that had weights, the weighed probabilities."""
        if len(self._class_weights) == 1:
            return predictions
        weighed = predictions * self._class_weights
        return weighed / weighed.sum(axis=1, keepdims=True)

    def _labels(self, labels: npt.NDArray[np.object_]) -> npt.NDArray[np.float64]:
        """Class indices or numbers, [N]; NaN for what is none."""
        if self._config.task is Task.REGRESSION:
            return pd.to_numeric(pd.Series(labels), errors="coerce").to_numpy(np.float64)
        return np.array([self._classes.get(each, np.nan) for each in labels], np.float64)

    def _commons(self, logged: LoggedRows) -> Iterator[tuple[str, Sequence[str | None]]]:
        size = logged.rows.num_rows
        yield ALL, [""] * size
        yield "version", [str(each) for each in logged.answer.column(VERSION).to_pylist()]
        yield "day", [str(each) for each in logged.days.to_pylist()]
        for columns in self._config.evaluation.sliced_by:
            if all(name in logged.rows.schema.names for name in columns):
                rows = zip(*(logged.rows.column(name).to_pylist() for name in columns), strict=True)
                yield ", ".join(columns), [None if None in row else ", ".join(map(str, row)) for row in rows]

    def _numbered(self, by: str, values: Sequence[str | None]) -> IntArray:
        """The number of the group that each row belongs to, [N]; -1 where it belongs to none, as it lacks a value."""
        numbers = self._numbers
        return np.array([-1 if value is None else numbers.setdefault((by, value), len(numbers)) for value in values], np.int64)


def _scalars(found: Mapping[metric_types.MetricKey, Any]) -> dict[str, float]:
    """The metrics that are numbers, by name; TFMA's names of what only other metrics use begin with an underscore."""
    return {
        key.name: float(value)
        for key, value in found.items()
        if isinstance(value, int | float | np.number) and not key.name.startswith("_")
    }


def _error(metric: str, sample: Sample) -> float:
    with np.errstate(all="ignore"):
        return standard_error(metric, sample)
