"""How much a model leans on each column: permutation importance and partial dependence.

Breiman, Random Forests, Machine Learning 45, 2001; Friedman, Greedy Function Approximation, Annals of Statistics 29, 2001. Both
ask the model as clients do, so they hold for any model. A column whose content another one repeats looks less important
than it is, because the model still has the other.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from components.evaluator.predicted_rows import PredictedRows
from components.evaluator.raw_model import RawModel, is_missing
from components.evaluator.sample import Sample
from components.evaluator.significance import gain_interval, metric_of
from pipeline.contracts.importance import ColumnImportance, Dependence, Importance
from pipeline.contracts.metrics import higher_is_better

MOST_ROWS = 2_000
"""More rows would narrow the intervals, but not move what is important."""
_FEWEST_ROWS = 200
# Rows, times columns that are shuffled, times columns of each row: what the model has to be asked.
_MOST_CELLS = 20_000_000
_CONFIDENCE = 0.95
_SEED = 7
_COLUMNS_SHOWN, _VALUES, _DEPENDENCE_ROWS = 4, 12, 500


def rows_to_ask(num_columns: int) -> int:
    """How many rows are asked of a model with so many columns; 0 where they would be too few to say anything."""
    rows = min(MOST_ROWS, _MOST_CELLS // max(num_columns, 1) ** 2)
    return rows if rows >= _FEWEST_ROWS else 0


def measure(
    model: RawModel, examples: tf.Tensor, labels: npt.NDArray[Any], weights: npt.NDArray[Any], metric: str
) -> Importance | None:
    """Shuffles each column in turn, and sets the most important ones to a row of values.

    Args:
      model: the model.
      examples: serialized tf.Examples, [N].
      labels: their labels as numbers, [N].
      weights: how much each counts, [N].
      metric: auc, accuracy or rmse.

    Returns:
      What was found; None where the metric has no value on these rows.
    """
    columns = model.parse(examples)
    original = _sample(labels, model.predict(columns), weights)
    value = metric_of(metric, original)
    if not math.isfinite(value):
        return None
    found = [_importance(name, model, columns, metric, original) for name in model.columns]
    found.sort(key=lambda each: (-each.loss, each.column))
    shown = [each.column for each in found[:_COLUMNS_SHOWN] if each.lower > 0]
    part = {name: values[:_DEPENDENCE_ROWS] for name, values in columns.items()}
    dependences = [] if original.is_of_classes else [_dependence(name, model, part) for name in shown]
    return Importance(metric, value, len(labels), tuple(found), tuple(each for each in dependences if each))


def _importance(
    name: str,
    model: RawModel,
    columns: Mapping[str, npt.NDArray[Any]],
    metric: str,
    original: Sample,
) -> ColumnImportance:
    order = np.random.default_rng(_SEED).permutation(len(original))
    shuffled = _sample(original.labels, model.predict({**columns, name: columns[name][order]}), original.weights)
    sign = 1 if higher_is_better(metric) else -1
    loss = sign * (metric_of(metric, original) - metric_of(metric, shuffled))
    lower, upper = gain_interval(metric, loss, original, shuffled, _CONFIDENCE)
    return ColumnImportance(name, loss, lower, upper)


def _dependence(name: str, model: RawModel, columns: Mapping[str, npt.NDArray[Any]]) -> Dependence | None:
    """The mean prediction by value of a column; None for lists, and where there is but one value."""
    column = columns[name]
    if column.ndim > 1:
        return None
    values = _values(column[~is_missing(column)])
    if len(values) < 2:
        return None
    rows = len(column)
    stacked = {other: np.concatenate([content] * len(values)) for other, content in columns.items()}
    stacked[name] = np.repeat(np.array(values, column.dtype), rows)
    means = model.predict(stacked)[:, 0].reshape(len(values), rows).mean(axis=1, dtype=np.float64)
    shown = tuple(value.decode(errors="replace") if isinstance(value, bytes) else float(value) for value in values)
    return Dependence(name, shown, tuple(means.tolist()))


def _values(present: npt.NDArray[Any]) -> Sequence[Any]:
    """The most frequent texts, or numbers that have about as many rows between them."""
    if present.dtype.kind in "if":
        finite = present[np.isfinite(present)]
        shares = np.linspace(0.02, 0.98, _VALUES)
        return np.unique(np.quantile(finite, shares, method="nearest")).tolist() if len(finite) else []
    values, counts = np.unique(present, return_counts=True)
    return values[np.argsort(-counts, kind="stable")][:_VALUES].tolist()


def _sample(labels: npt.NDArray[Any], predictions: npt.NDArray[np.float32], weights: npt.NDArray[Any]) -> Sample:
    sample = Sample()
    sample.add(PredictedRows(labels, predictions, weights))
    return sample
