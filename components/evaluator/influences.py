"""How much each row moves a metric.

A metric that is a smooth function of means over rows, or a quantile, moves with the rows like the mean of one number a row, its
influence function (van der Vaart, Asymptotic Statistics, 1998, chapter 20), of which only the differences between rows matter.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy import stats

from components.evaluator.sample import Sample
from components.evaluator.sums import FloatArray

Mask = npt.NDArray[np.bool_]


def influences(metric: str, sample: Sample) -> FloatArray:
    """The influence of each row on a metric, [N]; NaN where the metric is undefined.

    Args:
      metric: one that thresholds can name, other than auc, auc_ovr and calibration.
      sample: the rows.
    """
    if metric in RATES:
        part, whole = RATES[metric](sample)
        return _of_mean(part, whole, sample)
    return _INFLUENCES[metric](sample)


def squared_errors(sample: Sample) -> FloatArray:
    """The squared error of each row, [N]."""
    return (sample.labels - sample.predictions) ** 2


def of_root(squares: FloatArray, sample: Sample) -> FloatArray:
    """The influence of each row on the root of the mean of squares, [N]."""
    root = math.sqrt(np.average(squares, weights=sample.weights))
    return squares / (2 * root) if root else squares


RATES: dict[str, Callable[[Sample], tuple[Mask, Mask]]] = {
    "accuracy": lambda sample: (sample.correct, np.ones(len(sample), np.bool_)),
    "precision": lambda sample: (sample.labels > 0.5, sample.called_positive),
    "recall": lambda sample: (sample.called_positive, sample.labels > 0.5),
    "selection_rate": lambda sample: (sample.called_positive, np.ones(len(sample), np.bool_)),
    "false_positive_rate": lambda sample: (sample.called_positive, sample.labels <= 0.5),
    "top_3_accuracy": lambda sample: (sample.ranks < 3, np.ones(len(sample), np.bool_)),
    "top_5_accuracy": lambda sample: (sample.ranks < 5, np.ones(len(sample), np.bool_)),
}
"""The metrics that are a share of some rows: by metric, which rows count for it, and among which."""


def _of_mean(values: Mask | FloatArray, whole: Mask, sample: Sample) -> FloatArray:
    """The influence of each row on the mean over some of the rows, [N]; NaN where there are none of them."""
    weight = float(np.sum(sample.weights * whole))
    if not weight:
        return np.full(len(whole), math.nan)
    mean = np.sum(sample.weights * values * whole) / weight
    return whole * (values - mean) * (np.sum(sample.weights) / weight)


def _absolute_errors(sample: Sample) -> FloatArray:
    return np.abs(sample.labels - sample.predictions)


def _mape(sample: Sample) -> FloatArray:
    counts = sample.labels != 0
    return _of_mean(100 * _absolute_errors(sample) / np.where(counts, np.abs(sample.labels), 1), counts, sample)


def _r2(sample: Sample) -> FloatArray:
    squares = squared_errors(sample)
    deviations = (sample.labels - np.average(sample.labels, weights=sample.weights)) ** 2
    variance = float(np.average(deviations, weights=sample.weights))
    if not variance:
        return np.full(len(squares), math.nan)
    return (float(np.average(squares, weights=sample.weights)) / variance * deviations - squares) / variance


def _quantile(sample: Sample, quantile: float) -> FloatArray:
    """The influence of each row on a quantile of the absolute error.

    The density there is that between quantiles as far apart as Bofinger (Australian Journal of Statistics 17, 1975) finds best.
    """
    errors = _absolute_errors(sample)
    normal = float(stats.norm.ppf(quantile))
    best = (4.5 * float(stats.norm.pdf(normal)) ** 4 / (2 * normal**2 + 1) ** 2 / len(errors)) ** 0.2
    shares = np.clip([quantile - best, quantile, quantile + best], 0, 1)
    low, middle, high = np.quantile(errors, shares, weights=sample.weights, method="inverted_cdf")
    return (quantile - (errors <= middle)) * float((high - low) / (shares[2] - shares[0]))


def _macro_f1(sample: Sample) -> FloatArray:
    labels, predicted = sample.labels.astype(np.int64), sample.predictions.astype(np.int64)
    weights, hit = sample.weights, labels == predicted
    size = int(max(labels.max(initial=0), predicted.max(initial=0))) + 1
    counts = np.bincount(labels, weights, size) + np.bincount(predicted, weights, size)
    score = 2 * np.bincount(labels, weights * hit, size) / np.where(counts, counts, 1)
    share = np.sum(weights) / np.where(counts, counts, 1) / max(int(np.count_nonzero(counts)), 1)
    return 2 * hit * share[labels] - (score * share)[labels] - (score * share)[predicted]


_INFLUENCES: dict[str, Callable[[Sample], FloatArray]] = {
    "loss": lambda sample: sample.losses,
    "macro_f1": _macro_f1,
    "rmse": lambda sample: of_root(squared_errors(sample), sample),
    "mse": squared_errors,
    "mae": _absolute_errors,
    "mape": _mape,
    "median_absolute_error": lambda sample: _quantile(sample, 0.5),
    "p90_absolute_error": lambda sample: _quantile(sample, 0.9),
    "r2": _r2,
}
