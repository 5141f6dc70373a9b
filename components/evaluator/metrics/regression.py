"""R² and quantiles of the absolute error."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from tensorflow_model_analysis.metrics import metric_types

from components.evaluator.accumulator import Accumulator
from components.evaluator.metrics.combiner import PartsCombiner, RowCombiner, by_model, combined
from components.evaluator.predicted_rows import PredictedRows
from components.evaluator.sums import FloatArray, IntArray, SliceSums

# Below this share of the sum of their squares, a variation is a rounding error.
_ROUNDING = 1e-12


class CoefficientOfDetermination(metric_types.Metric):
    """R², the share of the labels' variance that predictions explain; undefined where the labels do not vary.

    Args:
      name: the metric's name.
    """

    def __init__(self, name: str = "r2") -> None:
        super().__init__(by_model(combined(_DeterminationCombiner)), name=name)


class AbsoluteErrorQuantile(metric_types.Metric):
    """The smallest absolute error that a share of the rows does not exceed.

    Args:
      quantile: the share, from 0 to 1.
      name: the metric's name.
    """

    def __init__(self, quantile: float = 0.5, name: str = "median_absolute_error") -> None:
        super().__init__(by_model(combined(_QuantileCombiner)), quantile=quantile, name=name)


class _DeterminationCombiner(RowCombiner):
    """Sums weights, labels, squared labels and squared errors."""

    def create_accumulator(self) -> FloatArray:
        return np.zeros(4)

    @staticmethod
    def columns(rows: PredictedRows) -> FloatArray:
        """What each row adds, [N, 4]."""
        labels = rows.labels.astype(np.float64)
        return rows.weighed(rows.ones, labels, labels**2, (labels - rows.scores) ** 2)

    def summed(self, rows: PredictedRows) -> FloatArray:
        return self.columns(rows).sum(axis=0)

    def merge_accumulators(self, accumulators: Iterable[FloatArray]) -> FloatArray:
        return np.sum(list(accumulators), axis=0)

    def value(self, accumulator: FloatArray) -> float:
        weight, labels, squares, errors = accumulator.tolist()
        variation = squares - labels**2 / weight if weight else 0.0
        return 1 - errors / variation if variation > _ROUNDING * squares else math.nan


class _DeterminationAccumulator(Accumulator):
    """The sums behind R²."""

    def __init__(self, combiner: Any) -> None:
        super().__init__(combiner)
        self._sums = SliceSums(width=4)

    def add(self, slices: Sequence[IntArray], rows: PredictedRows) -> None:
        self._sums.add(slices, _DeterminationCombiner.columns(rows))

    def accumulated(self, slice_id: int) -> FloatArray:
        return self._sums.of(slice_id)


class _QuantileCombiner(PartsCombiner):
    """Keeps absolute errors with their weights, [N, 2], in parts."""

    def __init__(self, key: metric_types.MetricKey, eval_config: Any, quantile: float) -> None:
        super().__init__(key, eval_config)
        self._quantile = quantile

    @staticmethod
    def columns(rows: PredictedRows) -> FloatArray:
        """The absolute error and the weight of each row, [N, 2]."""
        return np.stack([np.abs(rows.labels.astype(np.float64) - rows.scores), rows.weights], axis=1)

    def summed(self, rows: PredictedRows) -> list[FloatArray]:
        return [self.columns(rows)]

    def value(self, accumulator: list[FloatArray]) -> float:
        errors, weights = np.concatenate([np.zeros((0, 2)), *accumulator]).T
        if not weights.sum():
            return math.nan
        return float(np.quantile(errors, self._quantile, weights=weights, method="inverted_cdf"))


class _QuantileAccumulator(Accumulator):
    """All errors, and for each slicing spec the slices that they are of."""

    def __init__(self, combiner: Any) -> None:
        super().__init__(combiner)
        self._slices: list[Sequence[IntArray]] = []
        self._columns: list[FloatArray] = []
        self._sorted: list[tuple[IntArray, FloatArray]] = []

    def add(self, slices: Sequence[IntArray], rows: PredictedRows) -> None:
        self._slices.append(slices)
        self._columns.append(_QuantileCombiner.columns(rows))
        self._sorted = []

    def accumulated(self, slice_id: int) -> list[FloatArray]:
        if not self._sorted and self._columns:
            columns = np.concatenate(self._columns)
            for parts in zip(*self._slices, strict=True):
                ids = np.concatenate(parts)
                order = np.argsort(ids, kind="stable")
                self._sorted.append((ids[order], columns[order]))
        ranges = [(columns, np.searchsorted(ids, [slice_id, slice_id + 1])) for ids, columns in self._sorted]
        return [columns[start:end] for columns, (start, end) in ranges]


ACCUMULATORS: dict[type, type[Accumulator]] = {
    _DeterminationCombiner: _DeterminationAccumulator,
    _QuantileCombiner: _QuantileAccumulator,
}
