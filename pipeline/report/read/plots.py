"""The plots of a model: curves, calibration and confusion matrix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ConfusionMatrix:
    """Rows by actual and predicted class at one threshold: `counts[actual][predicted]`."""

    counts: tuple[tuple[float, ...], ...]
    threshold: float | None = None


@dataclass(frozen=True)
class Plots:
    """The plots of one model. Points are pairs of x and y.

    Attributes:
      roc: false positive rate and true positive rate.
      precision_recall: recall and precision.
      calibration: mean prediction, mean label and rows of each bucket that has rows.
      confusion: at the threshold of the model, or by the most probable class.
      thresholds: each with its false positive rate and true positive rate, from 1 to 0.
    """

    roc: tuple[tuple[float, float], ...] = ()
    precision_recall: tuple[tuple[float, float], ...] = ()
    calibration: tuple[tuple[float, float, float], ...] = ()
    confusion: ConfusionMatrix | None = None
    thresholds: tuple[tuple[float, float, float], ...] = ()


def plots_of(data: Any) -> Plots:
    """The plots of one model in TFMA's results.

    Args:
      data: all that was plotted of it, a PlotData.
    """
    matrices = sorted(data.confusion_matrix_at_thresholds.matrices, key=lambda each: each.threshold)
    thresholds, precision_recall = [], []
    for each in matrices:
        positives, negatives = each.true_positives + each.false_negatives, each.false_positives + each.true_negatives
        if positives and negatives:
            # TFMA's first and last lie a little outside of what a probability can be.
            threshold = min(max(each.threshold, 0.0), 1.0)
            thresholds.append((threshold, each.false_positives / negatives, each.true_positives / positives))
        if positives and each.true_positives + each.false_positives:
            precision_recall.append((each.true_positives / positives, each.precision))
    buckets = [bucket for bucket in data.calibration_histogram_buckets.buckets if bucket.num_weighted_examples.value]
    return Plots(
        roc=tuple(sorted({(false, true) for _, false, true in thresholds})),
        precision_recall=tuple(sorted(set(precision_recall), key=lambda point: (point[0], -point[1]))),
        calibration=tuple(
            (
                bucket.total_weighted_refined_prediction.value / bucket.num_weighted_examples.value,
                bucket.total_weighted_label.value / bucket.num_weighted_examples.value,
                bucket.num_weighted_examples.value,
            )
            for bucket in buckets
        ),
        confusion=_at_half(matrices) or _multiclass_matrix(data.multi_class_confusion_matrix_at_thresholds.matrices),
        thresholds=tuple(reversed(thresholds)),
    )


def binary_matrix(matrix: Any) -> ConfusionMatrix:
    """The confusion matrix of two classes.

    Args:
      matrix: TFMA's, a ConfusionMatrixAtThreshold.
    """
    counts = (
        (matrix.true_negatives, matrix.false_positives),
        (matrix.false_negatives, matrix.true_positives),
    )
    return ConfusionMatrix(counts, matrix.threshold)


def _at_half(matrices: list[Any]) -> ConfusionMatrix | None:
    return binary_matrix(min(matrices, key=lambda each: abs(each.threshold - 0.5))) if matrices else None


def _multiclass_matrix(matrices: Any) -> ConfusionMatrix | None:
    if not matrices:
        return None
    entries = {(each.actual_class_id, each.predicted_class_id): each.num_weighted_examples for each in matrices[0].entries}
    # TFMA's class -1 stands for "no class above the threshold".
    size = 1 + max((max(pair) for pair in entries), default=-1)
    counts = tuple(tuple(entries.get((actual, predicted), 0.0) for predicted in range(size)) for actual in range(size))
    return ConfusionMatrix(counts)
