"""How far two samples of rows differ, and how far they would by chance alone.

All tests are about what happens when the rows of both are divided anew at random, given what they have together. They take
rows to be independent of each other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import special, stats

from pipeline.monitoring.numbers import FloatArray, IntArray

_NORMAL_FROM = 100.0
"""How many rows of a value are expected from where on the normal distribution takes the place of the binomial one."""


def l_infinity(table: IntArray) -> tuple[float, int]:
    """The largest difference of a value's share, and the value's number, of counts of values in two samples, [2, values].

    The L-infinity distance of TensorFlow Data Validation's `infinity_norm`.
    """
    shares = _shares(table)
    differences = np.abs(shares[0] - shares[1])
    place = int(differences.argmax())
    return float(differences[place]), place


def jensen_shannon(table: IntArray) -> float:
    """The Jensen-Shannon divergence of counts in bins of two samples, [2, bins], in bits: from 0 to 1.

    That of TensorFlow Data Validation's `jensen_shannon_divergence`, on these bins.
    """
    shares = _shares(table)
    middle = shares.mean(axis=0)
    return max(0.0, float((special.rel_entr(shares, middle).sum(axis=1)).mean() / math.log(2)))


def chance_of_l_infinity(distance: float, table: IntArray, scale: float = 1.0) -> float:
    """How probable it is that the share of some value differs by this much or more: a bound, the sum over all values.

    Args:
      distance: the largest difference of shares.
      table: how often each sample has each value, [2, values].
      scale: how many counts are worth one independent row.
    """
    return _chance(distance, table.sum(axis=0), table.sum(axis=1), scale)


def chance_of_share(difference: float, counts: IntArray, rows: IntArray, scale: float = 1.0) -> float:
    """How probable it is that the share of some rows differs by this much or more.

    Args:
      difference: the difference of the shares.
      counts: how many of the rows of each sample count, [2].
      rows: how many rows each sample has, [2].
      scale: how many rows are worth one independent row.
    """
    return _chance(difference, counts.sum(keepdims=True), rows, scale)


def chance_of_jensen_shannon(divergence: float, table: IntArray, scale: float = 1.0) -> float:
    """How probable it is that two samples of one distribution diverge by this much or more.

    Of samples of n and m rows, JS * 8 ln 2 / (1/n + 1/m) has a chi-square distribution with one degree of freedom less than
    there are bins (the first term of its Taylor series is that of Pearson's statistic).

    Args:
      divergence: the Jensen-Shannon divergence in bits.
      table: counts in bins, [2, bins], none of which is empty in both.
      scale: how many counts are worth one independent row.
    """
    rows, freedom = table.sum(axis=1) / scale, table.shape[1] - 1
    if not rows.all() or freedom < 1:
        return 1.0
    return float(stats.chi2.sf(divergence * 8 * math.log(2) / np.sum(1 / rows), freedom))


def floor_of_l_infinity(chance: float, table: IntArray, scale: float = 1.0) -> float:
    """The difference of shares that chance alone reaches with a probability of `chance`; 1 where the rows are too few."""
    return _floor(chance, table.sum(axis=0), table.sum(axis=1), scale)


def floor_of_share(chance: float, counts: IntArray, rows: IntArray, scale: float = 1.0) -> float:
    """The same for the share of some rows, with arguments as in `chance_of_share`."""
    return _floor(chance, counts.sum(keepdims=True), rows, scale)


def floor_of_jensen_shannon(chance: float, table: IntArray, scale: float = 1.0) -> float:
    """The divergence that chance alone reaches with a probability of `chance`; 1 where the rows are too few."""
    rows, freedom = table.sum(axis=1) / scale, table.shape[1] - 1
    if not rows.all() or freedom < 1:
        return 1.0
    return min(1.0, float(stats.chi2.isf(chance, freedom) * np.sum(1 / rows) / (8 * math.log(2))))


def adjusted(chances: Sequence[float]) -> list[float]:
    """The chances of many tests together, as of Holm (Scandinavian Journal of Statistics 6, 1979).

    Calling those below a level drift, one or more are called so by chance with at most that probability.
    """
    order = np.argsort(chances, kind="stable")
    steps = np.array(chances)[order] * np.arange(len(chances), 0, -1)
    result = np.zeros(len(chances))
    result[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return result.tolist()


def _chance(distance: float, pooled: IntArray, rows: IntArray, scale: float) -> float:
    """The sum over values of the chance that their shares differ so much.

    Args:
      distance: the difference of shares.
      pooled: how often both samples together have each value, [values].
      rows: the size of each sample, [2].
      scale: how many counts are worth one independent row.
    """
    small, large = sorted((rows / scale).tolist())
    if not small:
        return 1.0
    total, share = small + large, small / (small + large)
    # The rows without a value differ as much as those with it: the fewer of the two are near to a binomial distribution.
    counts = np.minimum(pooled / scale, total - pooled / scale)
    # A value with fewer rows cannot differ so much.
    counts = counts[counts >= distance * small - 1e-9]
    # A difference of shares, in rows of the smaller sample beyond those that it should have.
    deviation = distance * small * large / total
    expected = counts * share
    variance = expected * (large / total) * np.maximum(1 - counts / total, 0) * total / max(total - 1, 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        normal = 2 * special.ndtr(-max(deviation - 0.5, 0) / np.sqrt(variance))
    whole = np.ceil(counts).astype(np.int64)
    above = special.bdtrc(np.maximum(np.ceil(expected + deviation - 1e-9) - 1, 0), whole, share)
    below = special.bdtr(np.maximum(np.floor(expected - deviation + 1e-9), 0), whole, share)
    few = np.where(expected + deviation > whole + 1e-9, 0, above) + np.where(expected < deviation - 1e-9, 0, below)
    return float(min(1.0, np.nansum(np.where(expected >= _NORMAL_FROM, normal, few))))


def _floor(chance: float, pooled: IntArray, rows: IntArray, scale: float) -> float:
    if _chance(1.0, pooled, rows, scale) > chance:
        return 1.0
    low, high = 0.0, 1.0
    for _ in range(24):
        middle = (low + high) / 2
        low, high = (middle, high) if _chance(middle, pooled, rows, scale) > chance else (low, middle)
    return high


def _shares(table: IntArray) -> FloatArray:
    return table / np.maximum(table.sum(axis=1, keepdims=True), 1)
