"""F1 and AUC over many classes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from tensorflow_model_analysis.metrics import metric_types, multi_class_confusion_matrix_metrics

from components.evaluator.accumulator import Accumulator
from components.evaluator.metrics.combiner import PartsCombiner, by_model, combined
from components.evaluator.predicted_rows import PredictedRows
from components.evaluator.sums import BinnedSums, FloatArray, IntArray, merged

# Sums by bin: the numbers of the bins, [K], and the sums, [K, width].
_Bins = tuple[IntArray, FloatArray]

# Probabilities by log-odds, from less than 1e-7 to more than 1 - 1e-7, which is as near to 1 as float32 comes.
_BUCKETS = 4096
_LARGEST_LOG_ODDS = 17.0


class MacroF1(metric_types.Metric):
    """The mean of F1, 2 TP / (2 TP + FP + FN), over the classes that are the label or the most probable class of a row.

    Args:
      name: the metric's name.
    """

    def __init__(self, name: str = "macro_f1") -> None:
        super().__init__(by_model(_macro_f1), name=name)


class OneVersusRestAuc(metric_types.Metric):
    """The mean of the AUC of each class against all others, over the classes that some but not all rows are of.

    Probabilities count as equal where their log-odds differ by less than 0.01 or both are beyond 1e-7 of 0 or 1.

    Args:
      name: the metric's name.
    """

    def __init__(self, name: str = "auc_ovr") -> None:
        super().__init__(by_model(combined(_OneVersusRestCombiner)), name=name)


def _macro_f1(
    name: str, eval_config: Any = None, model_name: str = "", output_name: str = "", example_weighted: bool = False
) -> metric_types.MetricComputations:
    key = metric_types.MetricKey(name=name, model_name=model_name, output_name=output_name, example_weighted=example_weighted)
    # Those that the plot of the matrix is made of, so that they are computed once.
    matrices = multi_class_confusion_matrix_metrics.multi_class_confusion_matrices(
        eval_config=eval_config, model_name=model_name, output_name=output_name, example_weighted=example_weighted
    )

    def result(metrics: dict[metric_types.MetricKey, Any]) -> dict[metric_types.MetricKey, float]:
        (entries,) = metrics[matrices[-1].keys[-1]].values() or ({},)
        hits: dict[int, float] = {}
        counts: dict[int, float] = {}
        for (actual, predicted), weight in entries.items():
            hits[actual] = hits.get(actual, 0) + (weight if actual == predicted else 0)
            for each in (actual, predicted):
                counts[each] = counts.get(each, 0) + weight
        counts.pop(multi_class_confusion_matrix_metrics.NO_PREDICTED_CLASS_ID, None)
        scores = [2 * hits.get(each, 0) / count for each, count in counts.items() if count]
        return {key: float(np.mean(scores)) if scores else math.nan}

    return [*matrices, metric_types.DerivedMetricComputation(keys=[key], result=result)]


class _OneVersusRestCombiner(PartsCombiner):
    """Sums the weights of rows of a class, and of others, by class and bucket of the probability, in parts."""

    @staticmethod
    def num_bins(num_classes: int) -> int:
        """How many bins there are."""
        return num_classes * _BUCKETS

    @staticmethod
    def binned(rows: PredictedRows) -> _Bins:
        """The bin of each row and class, [N * classes], and the weight there of rows of the class and of others."""
        actual, (num_rows, num_classes) = rows.class_ids, rows.predictions.shape
        probabilities = np.clip(rows.predictions.astype(np.float64), 0, 1)
        with np.errstate(divide="ignore"):
            log_odds = np.log(probabilities) - np.log1p(-probabilities)
        shares = np.clip(log_odds / (2 * _LARGEST_LOG_ODDS) + 0.5, 0, 1)
        buckets = np.minimum((shares * _BUCKETS).astype(np.int64), _BUCKETS - 1)
        is_class = actual[:, np.newaxis] == np.arange(num_classes)
        weights = np.broadcast_to(rows.weights[:, np.newaxis], (num_rows, num_classes))
        sums = np.stack([weights * is_class, weights * ~is_class], axis=2).reshape(-1, 2).astype(np.float64)
        return (np.arange(num_classes) * _BUCKETS + buckets).reshape(-1), sums

    def summed(self, rows: PredictedRows) -> list[_Bins]:
        return [self.binned(rows)]

    def compact(self, accumulator: list[_Bins]) -> list[_Bins]:
        return [_merged(accumulator)] if accumulator else []

    def value(self, accumulator: list[_Bins]) -> float:
        if not accumulator:
            return math.nan
        bins, sums = _merged(accumulator)
        starts = np.flatnonzero(np.diff(bins // _BUCKETS, prepend=-1))
        areas = [_area(*part.T) for part in np.split(sums, starts[1:])]
        defined = [area for area in areas if math.isfinite(area)]
        return float(np.mean(defined)) if defined else math.nan


class _OneVersusRestAccumulator(Accumulator):
    """The sums behind the AUC of each class against all others."""

    def __init__(self, combiner: Any) -> None:
        super().__init__(combiner)
        self._sums: BinnedSums | None = None

    def add(self, slices: Sequence[IntArray], rows: PredictedRows) -> None:
        bins, sums = _OneVersusRestCombiner.binned(rows)
        num_classes = rows.predictions.shape[1]
        if self._sums is None:
            self._sums = BinnedSums(_OneVersusRestCombiner.num_bins(num_classes), width=2)
        self._sums.add([np.repeat(ids, num_classes) for ids in slices], bins, sums)

    def accumulated(self, slice_id: int) -> list[_Bins]:
        return [self._sums.of(slice_id)] if self._sums else []


def _area(positives: npt.NDArray[Any], negatives: npt.NDArray[Any]) -> float:
    """The area under the ROC curve of ascending bins; NaN where it is of one class."""
    pairs = positives.sum() * negatives.sum()
    return float(np.sum(positives * (np.cumsum(negatives) - negatives / 2)) / pairs) if pairs else math.nan


def _merged(parts: list[_Bins]) -> _Bins:
    bins, sums = zip(*parts, strict=True)
    return merged(np.concatenate(bins), np.concatenate(sums))


ACCUMULATORS: dict[type, type[Accumulator]] = {_OneVersusRestCombiner: _OneVersusRestAccumulator}
