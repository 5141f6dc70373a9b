"""How much better than another a model is, in words."""

from __future__ import annotations

import math

from pipeline.contracts.judgement import Advantage, Gap
from pipeline.report import formats

CONSTANTS = {
    "auc": "always saying the same",
    "accuracy": "always saying the most frequent class",
    "rmse": "always saying the mean",
    "mse": "always saying the mean",
}
"""The best that says the same of every row, by the metric that it is best in; mse in evaluations by earlier releases."""


def in_words(advantage: Advantage, opponent: str) -> str:
    """The difference with its interval, such as `0.0012 better than version 3 (between 0.0001 and 0.0023)`.

    A difference that is nothing, as it is shown, and not more than chance is `as good as version 3`.

    Args:
      advantage: the comparison.
      opponent: the other's name.
    """
    if _shows_nothing(advantage.gain) and advantage.lower <= 0 <= advantage.upper:
        return f"as good as {opponent}{_chance(advantage)}"
    than = f"{formats.metric(abs(advantage.gain))} {_side(advantage.gain)} than {opponent}"
    if not math.isfinite(advantage.lower) or not math.isfinite(advantage.upper):
        return f"{than}, on too few rows to tell"
    if advantage.lower > 0 or advantage.upper < 0:
        ends = sorted((abs(advantage.lower), abs(advantage.upper)))
        return f"{than} (between {formats.metric(ends[0])} and {formats.metric(ends[1])})"
    return f"{than}, which may be chance (between {_signed(advantage.lower)} and {_signed(advantage.upper)})"


def gap_in_words(gap: Gap) -> str:
    """The difference between two slices, such as `selection_rate differs by 0.1000: 0.2000 for sex = F, 0.3000 for sex = M`."""
    ends = f"{formats.metric(gap.low)} for {gap.column} = {gap.low_value}, {formats.metric(gap.high)} for {gap.high_value}"
    interval = f"between {formats.metric(gap.lower)} and {formats.metric(gap.upper)}"
    return f"{gap.metric} differs by {formats.metric(gap.size)} ({interval}): {ends}"


def _chance(advantage: Advantage) -> str:
    """What the difference may be by chance; empty where that is nothing, as for the same model."""
    if not math.isfinite(advantage.lower) or not math.isfinite(advantage.upper):
        return ", on too few rows to tell"
    if _shows_nothing(advantage.lower) and _shows_nothing(advantage.upper):
        return ""
    return f" (between {_signed(advantage.lower)} and {_signed(advantage.upper)})"


def _shows_nothing(gain: float) -> bool:
    return round(gain, 4) == 0


def _side(gain: float) -> str:
    return "worse" if gain < 0 else "better"


def _signed(gain: float) -> str:
    return f"{formats.metric(abs(gain))} {_side(gain)}"
