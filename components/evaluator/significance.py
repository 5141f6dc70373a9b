"""How far a difference between two predictors on the same rows may be chance.

Metrics but AUC and accuracy are smooth functions of means over rows, so a difference of two is, but for terms of the order of
1/N, a mean of one number a row, the difference of the metrics' influence functions (van der Vaart, Asymptotic Statistics, 1998,
chapter 20), of which Student's t gives the interval. What both get equally wrong cancels. Nothing is drawn at random.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from scipy import stats

from components.evaluator.sample import Sample
from components.evaluator.sums import FloatArray

Interval = tuple[float, float]

_UNKNOWN: Interval = (-math.inf, math.inf)


def gain_interval(metric: str, gain: float, candidate: Sample, baseline: Sample, confidence: float) -> Interval:
    """Where the true gain of a candidate over a baseline lies.

    Args:
      metric: auc, accuracy, precision, recall, loss, mse, rmse or mae.
      gain: the gain seen: the difference of the metrics, positive where the candidate is better.
      candidate: the candidate's rows.
      baseline: the baseline's predictions of the same rows.
      confidence: that of the interval, from 0 to 1.

    Returns:
      Lower and upper end, infinite where the rows do not tell.
    """
    if metric == "accuracy":
        return _paired_proportions(candidate.correct, baseline.correct, confidence)
    if metric == "auc":
        return _around(gain, _auc_error(candidate, baseline), len(candidate.labels), confidence)
    influences = _INFLUENCES[metric](candidate) - _INFLUENCES[metric](baseline)
    return _around(gain, _mean_error(influences), len(influences), confidence)


def constant_interval(metric: str, gain: float, candidate: Sample, constant: float, confidence: float) -> Interval:
    """Where the true gain of a candidate over one that says the same of every row lies.

    Args:
      metric: auc, accuracy or mse.
      gain: the gain seen.
      candidate: the candidate's rows.
      constant: what the other says: a class index, or a number. Of AUC every constant has a half.
      confidence: that of the interval, from 0 to 1.
    """
    labels = candidate.labels
    if metric == "auc":
        return _around(gain, _chance_auc_error(candidate), len(labels), confidence)
    if metric == "accuracy":
        return _paired_proportions(candidate.correct, labels == constant, confidence)
    differences = (labels - candidate.predictions) ** 2 - (labels - constant) ** 2
    return _around(gain, _mean_error(differences), len(labels), confidence)


def metric_of(metric: str, sample: Sample) -> float:
    """A metric of some rows; NaN where it has none, such as the AUC of rows of a single class.

    Args:
      metric: auc, exact where TFMA's is of a curve with steps, accuracy or rmse.
      sample: the rows.
    """
    if metric == "accuracy":
        return float(np.mean(sample.correct))
    if metric == "auc":
        is_positive = sample.labels > 0.5
        return math.nan if is_positive.all() or not is_positive.any() else float(np.mean(_placements(sample)[is_positive]))
    return math.sqrt(np.mean(_squared(sample)))


def standard_error(metric: str, sample: Sample) -> float:
    """The standard error of a metric of one model.

    Args:
      metric: auc, accuracy or mse.
      sample: the model's rows.
    """
    if metric == "auc":
        is_positive, placements = sample.labels > 0.5, _placements(sample)
        return math.hypot(_mean_error(placements[is_positive]), _mean_error(placements[~is_positive]))
    return _mean_error(sample.correct.astype(np.float64) if metric == "accuracy" else _squared(sample))


def best_constant(metric: str, sample: Sample) -> tuple[float, float]:
    """What says the same of every row and is best at it, in hindsight.

    Args:
      metric: auc, accuracy or mse.
      sample: rows with their labels.

    Returns:
      What it says, a class index or a number, and its metric.
    """
    if metric == "auc":
        return 0.5, 0.5
    labels = sample.labels
    if metric == "accuracy":
        counts = sample.class_counts
        return float(np.argmax(counts)), float(np.max(counts) / len(labels))
    return float(np.mean(labels)), float(np.var(labels))


def _around(gain: float, standard_error: float, rows: int, confidence: float) -> Interval:
    if rows < 2 or not math.isfinite(standard_error):
        return _UNKNOWN
    half = float(stats.t.ppf((1 + confidence) / 2, rows - 1)) * standard_error
    return gain - half, gain + half


def _mean_error(values: FloatArray) -> float:
    return float(np.std(values, ddof=1) / math.sqrt(len(values))) if len(values) > 1 else math.inf


def _paired_proportions(candidate: np.ndarray, other: np.ndarray, confidence: float) -> Interval:
    """The interval of Agresti and Min (Statistics in Medicine 24, 2005).

    It adds half a row to each cell of the table of who is right, which brings it close to an exact McNemar test where rows are
    few, and gives it a width where no row tells the two apart.
    """
    rows = len(candidate) + 2
    wins = float(np.count_nonzero(candidate & ~other)) + 0.5
    losses = float(np.count_nonzero(other & ~candidate)) + 0.5
    gain = (wins - losses) / rows
    half = float(stats.norm.ppf((1 + confidence) / 2)) * math.sqrt(wins + losses - rows * gain**2) / rows
    return gain - half, gain + half


def _placements(sample: Sample) -> FloatArray:
    """For each row the share of rows of the other class that it is on the right side of, a tie being half of one, [N]."""
    is_positive = sample.labels > 0.5
    _, inverse = np.unique(sample.predictions, return_inverse=True)
    positives, negatives = (np.bincount(inverse[each], minlength=inverse.max() + 1) for each in (is_positive, ~is_positive))
    below = (np.cumsum(negatives) - negatives / 2) / negatives.sum()
    above = (positives.sum() - np.cumsum(positives) + positives / 2) / positives.sum()
    return np.where(is_positive, below[inverse], above[inverse])


def _auc_error(candidate: Sample, baseline: Sample) -> float:
    """The standard error of a difference of AUCs on the same rows.

    That of DeLong, DeLong and Clarke-Pearson (Biometrics 44, 1988), by ranks as of Sun and Xu (IEEE Signal Processing Letters
    21, 2014).
    """
    differences = _placements(candidate) - _placements(baseline)
    is_positive = candidate.labels > 0.5
    return math.hypot(_mean_error(differences[is_positive]), _mean_error(differences[~is_positive]))


def _chance_auc_error(sample: Sample) -> float:
    """The standard error of the AUC of scores that know nothing.

    That of the Mann-Whitney statistic, corrected for ties (Lehmann, Nonparametrics, 1975).
    """
    rows, positives = len(sample.labels), float(np.count_nonzero(sample.labels > 0.5))
    pairs = positives * (rows - positives)
    if not pairs:
        return math.inf
    ties = np.unique(sample.predictions, return_counts=True)[1].astype(np.float64)
    correction = float(np.sum(ties**3 - ties)) / (rows * (rows - 1))
    return math.sqrt((rows + 1 - correction) / (12 * pairs))


def _share(part: np.ndarray, whole: np.ndarray) -> FloatArray:
    """The influence of each row on a share of some of the rows, such as precision; nothing where there are none of them."""
    count = np.count_nonzero(whole)
    if not count:
        return np.full(len(whole), math.nan)
    mean = np.count_nonzero(part & whole) / count
    return (part & whole) * (len(whole) / count) - whole * (mean * len(whole) / count)


def _squared(sample: Sample) -> FloatArray:
    return (sample.labels - sample.predictions) ** 2


def _root(sample: Sample) -> FloatArray:
    squares = _squared(sample)
    root = math.sqrt(np.mean(squares))
    return squares / (2 * root) if root else squares


_INFLUENCES: dict[str, Callable[[Sample], FloatArray]] = {
    "precision": lambda sample: _share(sample.labels > 0.5, sample.predictions > 0.5),
    "recall": lambda sample: _share(sample.predictions > 0.5, sample.labels > 0.5),
    "loss": lambda sample: sample.losses,
    "mse": _squared,
    "rmse": _root,
    "mae": lambda sample: np.abs(sample.labels - sample.predictions),
}
