"""The verdict on a canary: whether it is as good as the stable version, by the gateways' counts since it started."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise
from typing import TypeVar

from serving.rollout.counts import Counts

MIN_ROWS = 500
"""Rows that each version must have answered before scores and classes are compared. With fewer, chance alone moves the
population stability index: for versions that do not differ it is on average (buckets - 1) * (1/n + 1/m) (B. Yurdakul,
Statistical Properties of Population Stability Index, 2018), 0.08 for 20 buckets and 500 rows each, a third of the limit."""

ERROR_SIGNIFICANCE = 0.01
"""More errors than the stable version's count when chance explains them once in a hundred times, not once in twenty, since a
person or `rollout watch` looks many times."""

DEVIATIONS = 2.33
"""Standard deviations of a quantile's rank and of an agreement (the 99th percentile of the normal distribution, as for errors).
A canary is slow once the lower bound of its quantile is beyond what the upper bound of the stable version's allows. The bounds
of a quantile are quantiles too, of ranks q ± z sqrt(q (1 - q) / n) (W. J. Conover, Practical Nonparametric Statistics, 1999,
3.2)."""

ERROR_MARGIN = 0.001
"""The error rate must also be higher by more than this: with much traffic any difference is significant."""

LATENCY_RATIOS = {0.95: 1.5, 0.99: 2.0}
"""By quantile: how many times the stable version's latency is too slow. Buckets of histograms grow by about a factor of two,
between whose bounds a quantile is interpolated, so a smaller ratio can be the interpolation's; the 99th percentile moves more
than the 95th, as it rests on a fifth of the calls."""

LATENCY_MARGIN_SECONDS = 0.005
"""A smaller difference does not count, whatever the ratio: a busy machine delays calls as much."""

CALLS_ABOVE_QUANTILE = 5
"""Calls that must be slower than a quantile for it to mean something, which takes 100 calls for p95 and 500 for p99; and never
fewer calls than the rows that are asked for."""

MAX_STABILITY_INDEX = 0.25
"""The limit for scores and classes. Below 0.1 nothing has changed, from 0.25 on the population is another one (N. Siddiqi,
Credit Risk Scorecards, 2006); what lies between is normal for a model that was trained anew."""

MIN_KAPPA = 0.2
"""The limit for the agreement of a shadow with the stable version on the same rows, Cohen's kappa: 0 where they agree as often
as by chance, 1 where always. Up to 0.2 it is slight (J. R. Landis and G. G. Koch, Biometrics 33, 1977), which two models that
have learned the same do not come down to."""

_SMOOTHING = 0.5
_Bucket = TypeVar("_Bucket", str, float)


class Outcome(str, Enum):
    """The outcome of one comparison, or of all."""

    PASS = "pass"
    FAIL = "fail"
    UNDECIDED = "undecided"
    """Too little traffic so far."""


@dataclass(frozen=True)
class Comparison:
    """One comparison.

    Attributes:
      name: the quantity that is compared.
      stable: the stable version's figure, as text.
      canary: the canary's figure, as text.
      measure: the difference of both, as text.
      limit: the limit of the difference, as text.
      outcome: the outcome of the comparison.
    """

    name: str
    stable: str
    canary: str
    measure: str
    limit: str
    outcome: Outcome


@dataclass(frozen=True)
class CanaryVerdict:
    """All comparisons of a canary with the stable version."""

    checks: tuple[Comparison, ...]

    @property
    def outcome(self) -> Outcome:
        """FAIL if one comparison failed, PASS if none is undecided either."""
        outcomes = {check.outcome for check in self.checks}
        return next((each for each in (Outcome.FAIL, Outcome.UNDECIDED) if each in outcomes), Outcome.PASS)

    @property
    def is_about_latency(self) -> bool:
        """Whether it is the time of the answers alone that decided the outcome."""
        return all(check.name.startswith("latency") for check in self.checks if check.outcome is self.outcome)

    @property
    def reason(self) -> str:
        """The outcome, with the figures that decided it."""
        deciding = [check for check in self.checks if check.outcome is self.outcome]
        if self.outcome is Outcome.UNDECIDED:
            return "undecided: too little traffic for " + ", ".join(each.name for each in deciding)
        return f"{self.outcome.value}: " + ", ".join(f"{each.name} {each.measure}" for each in deciding)


def judge(stable: Counts, canary: Counts, *, min_rows: int = MIN_ROWS) -> CanaryVerdict:
    """Compares a canary with the stable version.

    Args:
      stable: the stable version's counts since the canary started.
      canary: the canary's counts.
      min_rows: the rows that each must have answered.
    """
    checks = [
        _traffic(stable, canary, min_rows),
        _errors(stable, canary),
        *(_latency(stable, canary, quantile, min_rows) for quantile in LATENCY_RATIOS),
    ]
    if stable.classes or canary.classes:
        checks.append(_distribution("classes", stable.classes, canary.classes, min_rows))
    if stable.scores or canary.scores:
        checks.append(_distribution("scores", _by_bucket(stable.scores), _by_bucket(canary.scores), min_rows))
    if canary.same or canary.other:
        checks.append(_agreement(stable, canary, min_rows))
    return CanaryVerdict(tuple(checks))


def quantile_of(cumulative: Mapping[float, int], quantile: float) -> float | None:
    """A quantile of a histogram, interpolated within its bucket, as Prometheus' histogram_quantile does it.

    Args:
      cumulative: counts by upper bound, the last of which is infinite.
      quantile: from 0 to 1.

    Returns:
      None for an empty histogram; the largest finite bound for a quantile above it.
    """
    bounds = sorted(cumulative)
    total = cumulative[bounds[-1]] if bounds else 0
    if not total:
        return None
    rank = quantile * total
    lower, below = 0.0, 0
    for bound in bounds:
        count = cumulative[bound]
        if count >= rank:
            return lower if math.isinf(bound) else lower + (bound - lower) * (rank - below) / max(count - below, 1)
        lower, below = bound, count
    return lower


def stability_index(expected: Mapping[_Bucket, int], actual: Mapping[_Bucket, int]) -> float:
    """The population stability index of two distributions: 0 for equal ones.

    Half a count is added to each bucket that either has, so that an empty one does not make it infinite.

    Args:
      expected: counts by bucket.
      actual: counts by bucket.
    """
    buckets = [bucket for bucket in {**expected, **actual} if expected.get(bucket, 0) or actual.get(bucket, 0)]
    totals = [sum(counts.values()) + _SMOOTHING * len(buckets) for counts in (expected, actual)]
    index = 0.0
    for bucket in buckets:
        before, after = (
            (counts.get(bucket, 0) + _SMOOTHING) / total for counts, total in zip((expected, actual), totals, strict=True)
        )
        index += (after - before) * math.log(after / before)
    return index


def _traffic(stable: Counts, canary: Counts, min_rows: int) -> Comparison:
    fewest = min(stable.rows, canary.rows)
    outcome = Outcome.PASS if fewest >= min_rows else Outcome.UNDECIDED
    return Comparison("rows", f"{stable.rows:,}", f"{canary.rows:,}", f"{fewest:,}", f"at least {min_rows:,} each", outcome)


def _errors(stable: Counts, canary: Counts) -> Comparison:
    """Fisher's exact test, one-sided: the chance of so many errors of the canary if both versions were alike."""
    from scipy.stats import hypergeom

    failed = stable.errors + canary.errors
    chance = float(hypergeom.sf(canary.errors - 1, stable.rows + canary.rows, failed, canary.rows)) if failed else 1.0
    worse = chance < ERROR_SIGNIFICANCE and canary.error_rate - stable.error_rate > ERROR_MARGIN
    # Errors count from the first row on, without a wait for 500 rows.
    enough = stable.rows and canary.rows
    return Comparison(
        "errors",
        f"{stable.error_rate * 100:.2f} %",
        f"{canary.error_rate * 100:.2f} %",
        f"p = {chance:.2g}",
        f"p ≥ {ERROR_SIGNIFICANCE:g}, or at most {ERROR_MARGIN * 100:g} % more",
        Outcome.FAIL if worse else Outcome.PASS if enough else Outcome.UNDECIDED,
    )


def _latency(stable: Counts, canary: Counts, quantile: float, min_calls: int) -> Comparison:
    # The first calls of a server that has just started are slow.
    needed = max(round(CALLS_ABOVE_QUANTILE / (1 - quantile)), min_calls)
    limit = f"at most {LATENCY_RATIOS[quantile]:g} times, or {LATENCY_MARGIN_SECONDS * 1000:g} ms more"
    name = f"latency p{quantile * 100:g}"
    before, after = quantile_of(stable.durations, quantile), quantile_of(canary.durations, quantile)
    figures = (_milliseconds(before), _milliseconds(after))
    calls = min(max(counts.durations.values(), default=0) for counts in (stable, canary))
    if before is None or after is None or calls < needed:
        return Comparison(name, *figures, f"{calls} calls", f"{limit}; {needed} calls each", Outcome.UNDECIDED)
    measure = f"{after / before:.2f} times"
    if not _too_slow(before, after, quantile):
        return Comparison(name, *figures, measure, limit, Outcome.PASS)
    highest = _quantile_bound(stable.durations, quantile, DEVIATIONS)
    lowest = _quantile_bound(canary.durations, quantile, -DEVIATIONS)
    if _too_slow(highest, lowest, quantile):
        return Comparison(name, *figures, measure, limit, Outcome.FAIL)
    return Comparison(name, *figures, measure, f"{limit}; may be chance", Outcome.UNDECIDED)


def _too_slow(before: float, after: float, quantile: float) -> bool:
    return after > before * LATENCY_RATIOS[quantile] and after - before > LATENCY_MARGIN_SECONDS


def _quantile_bound(cumulative: Mapping[float, int], quantile: float, deviations: float) -> float:
    """A bound of a quantile: infinite where too few calls were slower to have one."""
    calls = max(cumulative.values())
    rank = quantile + deviations * math.sqrt(quantile * (1 - quantile) / calls)
    bound = quantile_of(cumulative, rank) if rank <= 1 else None
    return math.inf if bound is None else bound


def _milliseconds(seconds: float | None) -> str:
    return "none" if seconds is None else f"{seconds * 1000:.1f} ms"


def _distribution(name: str, stable: Mapping[_Bucket, int], canary: Mapping[_Bucket, int], min_rows: int) -> Comparison:
    rows = sum(stable.values()), sum(canary.values())
    index = stability_index(stable, canary)
    outcome = Outcome.FAIL if index > MAX_STABILITY_INDEX else Outcome.PASS
    return Comparison(
        name,
        f"{rows[0]:,} rows",
        f"{rows[1]:,} rows",
        f"stability index {index:.3f}",
        f"at most {MAX_STABILITY_INDEX:g}",
        outcome if min(rows) >= min_rows else Outcome.UNDECIDED,
    )


def _agreement(stable: Counts, canary: Counts, min_rows: int) -> Comparison:
    """Cohen's kappa, with its standard error (J. Cohen, Educational and Psychological Measurement 20, 1960)."""
    rows = canary.same + canary.other
    agreed = canary.same / rows
    expected = _agreement_by_chance(stable, canary)
    figures = "", f"{canary.other:,} of {rows:,} rows differ"
    limit = f"kappa at least {MIN_KAPPA:g}"
    kappa = (agreed - expected) / (1 - expected) if expected < 1 else 1.0
    measure = f"{agreed * 100:.1f} % alike, kappa {kappa:.2f}"
    if rows < min_rows:
        return Comparison("agreement", *figures, measure, limit, Outcome.UNDECIDED)
    if kappa >= MIN_KAPPA:
        return Comparison("agreement", *figures, measure, limit, Outcome.PASS)
    error = math.sqrt(agreed * (1 - agreed) / rows) / (1 - expected)
    if kappa + DEVIATIONS * error < MIN_KAPPA:
        return Comparison("agreement", *figures, measure, limit, Outcome.FAIL)
    return Comparison("agreement", *figures, measure, f"{limit}; may be chance", Outcome.UNDECIDED)


def _agreement_by_chance(stable: Counts, canary: Counts) -> float:
    """How often two versions with these answers would agree if they knew nothing of each other."""
    if stable.classes or canary.classes:
        return _product(stable.classes, canary.classes)
    return _product(_by_bucket(stable.scores), _by_bucket(canary.scores))


def _product(one: Mapping[_Bucket, int], other: Mapping[_Bucket, int]) -> float:
    total = sum(one.values()) * sum(other.values())
    return sum(count * other.get(bucket, 0) for bucket, count in one.items()) / total if total else 0.0


def _by_bucket(cumulative: Mapping[float, int]) -> dict[float, int]:
    """Counts of each bucket alone."""
    bounds = sorted(cumulative)
    alone = {after: cumulative[after] - cumulative[before] for before, after in pairwise(bounds)}
    return {**{bound: cumulative[bound] for bound in bounds[:1]}, **alone}
