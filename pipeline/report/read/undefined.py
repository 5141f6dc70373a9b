"""Why a metric has no value, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass

RANKINGS = frozenset({"auc", "auc_precision_recall"})
"""The metrics of how well a model ranks positives before negatives."""

_BOTH_CLASSES = (
    "evaluate on rows of both classes, by data.split {method: hash, stratify: true}, or on more spans by data.split.eval_spans"
)


@dataclass(frozen=True)
class Undefined:
    """The reason for which a metric has no value, such as `no row is positive`, and what to do about it."""

    reason: str
    remedy: str


_OF_LABELS = {
    "mape": Undefined("the label is 0 in every row", "judge by mae in evaluation.thresholds, which no label is divided by in"),
    "r2": Undefined("the label is the same in every row", "evaluate on rows with different labels, or judge by rmse"),
    "auc_ovr": Undefined("all rows are of one class", "evaluate on rows of several classes, by data.split {stratify: true}"),
}


def undefined(metric: str, mean_label: float | None) -> Undefined:
    """Why a metric that is not a number has no value.

    Args:
      metric: its name in the results of an evaluation.
      mean_label: the mean of the labels of the same rows; None where it was not measured.
    """
    if metric == "precision":
        return Undefined(
            "no row has a score above the threshold",
            "judge by auc in evaluation.thresholds, which needs no such rows, or say in decision what the threshold is for",
        )
    if metric in _OF_LABELS:
        return _OF_LABELS[metric]
    if mean_label == 0:
        return Undefined("no row is positive", _BOTH_CLASSES)
    if mean_label == 1 and metric in RANKINGS | {"false_positive_rate"}:
        return Undefined("no row is negative", _BOTH_CLASSES)
    return Undefined("it divides by zero", "look at the label and the predictions of these rows")
