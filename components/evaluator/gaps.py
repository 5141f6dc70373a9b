"""The largest difference of a metric between the slices by a column."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from pipeline.contracts.judgement import Gap


@dataclass(frozen=True)
class Measured:
    """A metric of the rows of a slice.

    Attributes:
      value: the column's value that the rows have in common.
      metric: the metric.
      error: its standard error.
      rows: how many rows there are.
    """

    value: str
    metric: float
    error: float
    rows: int


def largest_gap(column: str, metric: str, slices: Sequence[Measured], allowed: float, confidence: float) -> Gap | None:
    """The largest difference between two of the slices; if one is sure to be larger than is allowed, the one that is surest.

    The interval of each is that of two independent samples, with Bonferroni's correction for the number of pairs: as the
    largest of many differences is looked at, it would be large by chance too often.

    Args:
      column: the column.
      metric: the metric's name.
      slices: the slices that have the metric.
      allowed: the largest difference that is allowed.
      confidence: that of all intervals together, from 0 to 1.

    Returns:
      The difference; None where there are no two slices to compare.
    """
    known = [each for each in slices if math.isfinite(each.metric) and math.isfinite(each.error)]
    if len(known) < 2:
        return None
    values, errors = np.array([each.metric for each in known]), np.array([each.error for each in known])
    one, other = np.triu_indices(len(known), 1)
    gaps = np.abs(values[one] - values[other])
    quantile = _quantile(adjusted(confidence, len(gaps)), min(each.rows for each in known) - 1)
    halves = quantile * np.hypot(errors[one], errors[other])
    surest = int(np.argmax(gaps - halves))
    shown = surest if gaps[surest] - halves[surest] > allowed else int(np.argmax(gaps))
    low, high = sorted((known[one[shown]], known[other[shown]]), key=lambda each: each.metric)
    gap, half = float(gaps[shown]), float(halves[shown])
    return Gap(
        column=column,
        metric=metric,
        low=low.metric,
        low_value=low.value,
        high=high.metric,
        high_value=high.value,
        lower=max(gap - half, 0.0),
        upper=gap + half,
        allowed=allowed,
        holds=gap - half <= allowed,
    )


def adjusted(confidence: float, comparisons: int) -> float:
    """The confidence of each of some intervals (Bonferroni) so that all hold at once; 0 stays what it is."""
    return 1 - (1 - confidence) / comparisons if confidence else 0.0


def _quantile(confidence: float, freedom: int) -> float:
    return float(stats.t.ppf((1 + confidence) / 2, max(freedom, 1)))
