"""How far a metric, or a difference between two predictors on the same rows, may be chance.

A difference of two metrics is, but for terms of the order of 1/N, a mean of one number a row, the difference of their
influences, of which Student's t gives the interval. What both get equally wrong cancels. AUC and accuracy have intervals of
their own. Rows with weights count as a sample drawn with unequal chances: the error of a mean is that of a ratio of sums
(Cochran, Sampling Techniques, 1977, chapter 6). Nothing is drawn at random.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import stats

from components.evaluator.influences import RATES, Mask, influences, of_root, squared_errors
from components.evaluator.sample import Sample
from components.evaluator.sums import FloatArray

Interval = tuple[float, float]

_UNKNOWN: Interval = (-math.inf, math.inf)


def gain_interval(metric: str, gain: float, candidate: Sample, baseline: Sample, confidence: float) -> Interval:
    """Where the true gain of a candidate over a baseline lies.

    Args:
      metric: one that thresholds can name, other than calibration and auc_ovr.
      gain: the gain seen: the difference of the metrics, positive where the candidate is better.
      candidate: the candidate's rows.
      baseline: the baseline's predictions of the same rows.
      confidence: that of the interval, from 0 to 1.

    Returns:
      Lower and upper end, infinite where the rows do not tell.
    """
    if metric == "accuracy":
        return _paired_proportions(candidate.correct, baseline.correct, candidate.weights, confidence)
    if metric == "auc":
        # DeLong, DeLong and Clarke-Pearson (Biometrics 44, 1988), by ranks as of Sun and Xu (IEEE Signal Processing Letters 21,
        # 2014).
        return _around(gain, _auc_error(_placements(candidate) - _placements(baseline), candidate), candidate, confidence)
    differences = influences(metric, candidate) - influences(metric, baseline)
    return _around(gain, _mean_error(differences, candidate.weights), candidate, confidence)


def constant_interval(metric: str, gain: float, candidate: Sample, constant: float, confidence: float) -> Interval:
    """Where the true gain of a candidate over one that says the same of every row lies.

    Args:
      metric: auc, accuracy or rmse.
      gain: the gain seen.
      candidate: the candidate's rows.
      constant: what the other says: a class index, or a number. Of AUC every constant has a half.
      confidence: that of the interval, from 0 to 1.
    """
    if metric == "auc":
        return _around(gain, _chance_auc_error(candidate), candidate, confidence)
    if metric == "accuracy":
        return _paired_proportions(candidate.correct, candidate.labels == constant, candidate.weights, confidence)
    constants = (candidate.labels - constant) ** 2
    differences = of_root(squared_errors(candidate), candidate) - of_root(constants, candidate)
    return _around(gain, _mean_error(differences, candidate.weights), candidate, confidence)


def metric_of(metric: str, sample: Sample) -> float:
    """A metric of some rows; NaN where it has none, such as the AUC of rows of a single class, or rows without weight.

    Args:
      metric: auc, exact where TFMA's is of a curve with steps, accuracy or rmse.
      sample: the rows.
    """
    if not sample.weights.any():
        return math.nan
    if metric == "accuracy":
        return float(np.average(sample.correct, weights=sample.weights))
    if metric == "auc":
        is_positive = sample.labels > 0.5
        if not all(sample.weights[each].any() for each in (is_positive, ~is_positive)):
            return math.nan
        return float(np.average(_placements(sample)[is_positive], weights=sample.weights[is_positive]))
    return math.sqrt(np.average(squared_errors(sample), weights=sample.weights))


def standard_error(metric: str, sample: Sample) -> float:
    """The standard error of a metric of one model; infinite or NaN where the rows do not tell.

    That of a share has one row more on both sides, as of Agresti and Caffo (American Statistician 54, 2000): it is not 0
    where no row, or every one, counts.

    Args:
      metric: one that thresholds can name, other than calibration and auc_ovr.
      sample: the model's rows.
    """
    if metric == "auc":
        return _auc_error(_placements(sample), sample)
    if metric in RATES:
        part, whole = RATES[metric](sample)
        if not (sample.weights * whole).any():
            return math.nan
        rows = _effective_rows(sample.weights[whole])
        share = (rows * np.average(part[whole], weights=sample.weights[whole]) + 1) / (rows + 2)
        return math.sqrt(share * (1 - share) / (rows + 2))
    return _mean_error(influences(metric, sample), sample.weights)


def best_constant(metric: str, sample: Sample) -> tuple[float, float]:
    """What says the same of every row and is best at it, in hindsight.

    Args:
      metric: auc, accuracy or rmse.
      sample: rows with their labels.

    Returns:
      What it says, a class index or a number, and its metric.
    """
    if metric == "auc":
        return 0.5, 0.5
    if metric == "accuracy":
        counts = sample.class_counts
        return float(np.argmax(counts)), float(np.max(counts) / np.sum(counts))
    mean = float(np.average(sample.labels, weights=sample.weights))
    return mean, math.sqrt(np.average((sample.labels - mean) ** 2, weights=sample.weights))


def _around(gain: float, standard_error: float, sample: Sample, confidence: float) -> Interval:
    if len(sample) < 2 or not math.isfinite(standard_error):
        return _UNKNOWN
    half = float(stats.t.ppf((1 + confidence) / 2, len(sample) - 1)) * standard_error
    return gain - half, gain + half


def _mean_error(values: FloatArray, weights: FloatArray) -> float:
    """The standard error of a weighted mean."""
    rows, total = len(values), float(np.sum(weights))
    if rows < 2 or not total:
        return math.inf
    deviations = weights * (values - np.average(values, weights=weights))
    return float(np.sqrt(np.sum(deviations**2) * rows / (rows - 1)) / total)


def _effective_rows(weights: FloatArray) -> float:
    """How many rows of equal weight say as much (Kish, Survey Sampling, 1965)."""
    return float(np.sum(weights) ** 2 / np.sum(weights**2))


def _paired_proportions(candidate: Mask, other: Mask, weights: FloatArray, confidence: float) -> Interval:
    """The interval of Agresti and Min (Statistics in Medicine 24, 2005).

    It adds half a row to each cell of the table of who is right, which brings it close to an exact McNemar test where rows are
    few, and gives it a width where no row tells the two apart. Weighted rows are scaled to their effective number.
    """
    effective = _effective_rows(weights)
    counts = weights * (effective / np.sum(weights))
    rows = effective + 2
    wins = float(np.sum(counts[candidate & ~other])) + 0.5
    losses = float(np.sum(counts[other & ~candidate])) + 0.5
    gain = (wins - losses) / rows
    half = float(stats.norm.ppf((1 + confidence) / 2)) * math.sqrt(wins + losses - rows * gain**2) / rows
    return gain - half, gain + half


def _placements(sample: Sample) -> FloatArray:
    """For each row the share of rows of the other class that it is on the right side of, a tie being half of one, [N]."""
    is_positive, weights = sample.labels > 0.5, sample.weights
    _, inverse = np.unique(sample.predictions, return_inverse=True)
    positives, negatives = (np.bincount(inverse, weights * each) for each in (is_positive, ~is_positive))
    below = (np.cumsum(negatives) - negatives / 2) / negatives.sum()
    above = (positives.sum() - np.cumsum(positives) + positives / 2) / positives.sum()
    return np.where(is_positive, below[inverse], above[inverse])


def _auc_error(placements: FloatArray, sample: Sample) -> float:
    """The standard error of an AUC, or of a difference of AUCs, of which these are the placements."""
    is_positive = sample.labels > 0.5
    return math.hypot(*(_mean_error(placements[each], sample.weights[each]) for each in (is_positive, ~is_positive)))


def _chance_auc_error(sample: Sample) -> float:
    """The standard error of the AUC of scores that know nothing.

    That of the Mann-Whitney statistic, corrected for ties (Lehmann, Nonparametrics, 1975): where rows count the same, the root
    of (m + n + 1) / 12mn.
    """
    rows, is_positive = len(sample), sample.labels > 0.5
    if not all((sample.weights * each).any() for each in (is_positive, ~is_positive)):
        return math.inf
    one, other = (1 / _effective_rows(sample.weights[each]) for each in (is_positive, ~is_positive))
    ties = np.unique(sample.predictions, return_counts=True)[1].astype(np.float64)
    distinct = max(1 - float(np.sum(ties**3 - ties)) / (rows**3 - rows), 0.0)
    return math.sqrt((one + other + one * other) / 12 * distinct)
