"""The score above which a row is positive, chosen for an aim."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.config import Decision

DEFAULT = 0.5
"""Where nothing else is said, a row is of the more probable class."""

_Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Threshold:
    """The score above which a row is positive.

    Attributes:
      value: the score, a number that 32 bits hold, so that all who compare with it agree.
      reason: why it is this one, in words that follow a comma; empty for the default.
      unmet: what had been wanted and is not there, as a sentence for the person; empty otherwise.
    """

    value: float = DEFAULT
    reason: str = ""
    unmet: str = ""


@dataclass(frozen=True)
class _Cuts:
    """All ways to divide rows by their score: between each two neighbouring scores, below all and above all.

    Attributes:
      low: the score below each cut, [cuts], which is a threshold for it.
      high: the score above each cut, [cuts], which is too high for it.
      tp: the positive rows above each cut, [cuts], by how much they count.
      fp: the negative rows above it.
      fn: the positive rows below it.
    """

    low: _Floats
    high: _Floats
    tp: _Floats
    fp: _Floats
    fn: _Floats

    @classmethod
    def of(cls, scores: npt.NDArray[np.float32], labels: npt.NDArray[np.floating], counts: npt.NDArray[np.floating]) -> _Cuts:
        unique, inverse = np.unique(scores, return_inverse=True)
        positives = np.bincount(inverse, counts * labels, len(unique))
        negatives = np.bincount(inverse, counts * (1 - labels), len(unique))
        # Summed from either end, so that nothing is left of a sum where no row is.
        tp, fp = (np.append(np.cumsum(each[::-1])[::-1], 0.0) for each in (positives, negatives))
        fn = np.append(0.0, np.cumsum(positives))
        bounds = np.concatenate([[0.0], unique.astype(np.float64), [np.nextafter(np.float32(1), np.float32(2))]])
        cuts = cls(bounds[:-1], bounds[1:], tp, fp, fn)
        # Scores of exactly 0 are not above any threshold.
        return cls(*(each[cuts.high > cuts.low] for each in (cuts.low, cuts.high, tp, fp, fn)))

    @property
    def precision(self) -> _Floats:
        return _ratio(self.tp, self.tp + self.fp)

    @property
    def recall(self) -> _Floats:
        return _ratio(self.tp, self.tp + self.fn)

    @property
    def f1(self) -> _Floats:
        return _ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn)

    @property
    def at_default(self) -> int:
        """The cut that the default makes."""
        return int(np.flatnonzero(self.low <= DEFAULT)[-1])

    def threshold(self, cut: int) -> float:
        """A threshold that makes a cut: the default, the number in the middle with the fewest digits, or the score below."""
        low, high = self.low[cut], self.high[cut]
        if low <= DEFAULT < high:
            return DEFAULT
        for digits in range(1, 8):
            value = float(np.float32(round((low + high) / 2, digits)))
            if low < value < min(high, 1):
                return value
        return float(low)


def choose_threshold(
    decision: Decision,
    scores: npt.NDArray[np.float32],
    labels: npt.NDArray[np.floating],
    counts: npt.NDArray[np.floating],
    default: Threshold,
) -> Threshold:
    """The threshold that is configured, or that serves the aim best. Of several that are as good, it is the one nearest to 0.5.

    Args:
      decision: what is configured.
      scores: those of rows that the model has not learnt from, [N].
      labels: 1 for the positive ones of these rows and 0 for others, [N].
      counts: how much each of them counts, [N].
      default: the threshold where nothing is configured, or nothing can be chosen.
    """
    if not decision.stated:
        return default
    if decision.threshold is not None:
        return Threshold(float(np.float32(decision.threshold)), "as decision.threshold says")
    wanted = f"decision.{decision.stated[0]}"
    lacking = "no validation rows" if not len(labels) else "no positive validation rows" if not labels.any() else ""
    if not lacking and labels.all():
        lacking = "no negative validation rows"
    if lacking:
        kept = Threshold(default.value, f"as there are {lacking} to choose it for {wanted} by")
        unmet = (
            f"The threshold stays at {default.value:.4g}, as there are {lacking} to choose it for {wanted} by: set "
            "training.validation_fraction above 0, train on more rows, or write decision.threshold yourself."
        )
        return Threshold(kept.value, kept.reason, unmet)
    cuts = _Cuts.of(scores, labels, counts)
    # Rounded, as sums of weights that are equal may differ in their last bits.
    ranks = [np.round(each, 12) for each in _ranks(decision, cuts)]
    nearness = -np.maximum(np.maximum(cuts.low - DEFAULT, DEFAULT - cuts.high), 0)
    best = int(np.lexsort((nearness, *reversed(ranks)))[-1])
    return Threshold(cuts.threshold(best), *_in_words(decision, cuts, best, len(labels), float(counts.sum())))


def _ranks(decision: Decision, cuts: _Cuts) -> tuple[_Floats, ...]:
    """How good cuts are, the larger the better; what counts most first."""
    if decision.aim == "f1":
        return (cuts.f1,)
    if decision.aim == "cost":
        return (-_cost(decision, cuts),)
    if decision.precision is not None:
        # Above what is wanted, more of it does not count; where no cut has it, the nearest to it.
        return np.minimum(cuts.precision, decision.precision), cuts.recall, cuts.precision
    return np.minimum(cuts.recall, decision.recall or 0), cuts.precision, cuts.recall


def _in_words(decision: Decision, cuts: _Cuts, best: int, num_rows: int, total: float) -> tuple[str, str]:
    """Why a cut is the best one, and what is missing."""
    rows = f"{num_rows:,} validation rows"
    precision, recall = cuts.precision[best], cuts.recall[best]
    before = cuts.at_default
    if decision.aim == "f1":
        return f"for the largest F1 on {rows}: {cuts.f1[best]:.4f}, at 0.5 {cuts.f1[before]:.4f}", ""
    if decision.aim == "cost":
        cost = _cost(decision, cuts) / total
        return f"for the smallest cost of errors on {rows}: {cost[best]:.4g} a row, at 0.5 {cost[before]:.4g}", ""
    if decision.precision is not None:
        reason = f"for a precision of at least {decision.precision:g} on {rows}: precision {precision:.4f}, recall {recall:.4f}"
        if precision < decision.precision:
            return reason, (
                f"No threshold has a precision of {decision.precision:g} on the validation rows; the largest is "
                f"{precision:.4f}. Ask for less by decision.precision, or train a better model."
            )
        return reason, ""
    return f"for a recall of at least {decision.recall:g} on {rows}: recall {recall:.4f}, precision {precision:.4f}", ""


def _cost(decision: Decision, cuts: _Cuts) -> _Floats:
    return (decision.false_positive or 1) * cuts.fp + (decision.false_negative or 1) * cuts.fn


def _ratio(part: _Floats, whole: _Floats) -> _Floats:
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)
