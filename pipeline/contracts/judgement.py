"""How a candidate compares with its opponents: a file beside an evaluation, which the Evaluator writes and pages read."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

FILE_NAME = "judgement.json"
"""The file's name in the folder of an evaluation."""


@dataclass(frozen=True)
class Advantage:
    """How much better than an opponent the candidate is in a metric, and how sure that is.

    Attributes:
      metric: the metric's name.
      candidate: the candidate's value.
      opponent: the opponent's value.
      gain: by how much the candidate is better, negative where it is worse, whether high or low values are the good ones.
      lower: the lower end of the interval that the true gain is in with the judgement's confidence; -inf where the rows do not
        tell.
      upper: its upper end; inf where the rows do not tell.
      holds: whether that is good enough for a blessing.
      allowed: by how much it may be worse; inf where that does not matter.
    """

    metric: str
    candidate: float
    opponent: float
    gain: float
    lower: float
    upper: float
    holds: bool
    allowed: float = 0.0


@dataclass(frozen=True)
class SliceAdvantage:
    """How much better than the baseline the candidate is on the rows of a slice.

    Attributes:
      column: the column that the slices are by.
      value: its value that the rows have in common.
      advantage: the comparison.
    """

    column: str
    value: str
    advantage: Advantage


@dataclass(frozen=True)
class Gap:
    """The largest difference of a metric between the slices by a column.

    Attributes:
      column: the column that the slices are by.
      metric: the metric's name.
      low: the smaller value of the metric.
      low_value: the column's value in the rows that have it.
      high: the larger value of the metric.
      high_value: the column's value in the rows that have it.
      lower: the lower end of the interval that the true difference is in with the judgement's confidence.
      upper: its upper end.
      allowed: the largest difference that is allowed.
      holds: whether the difference is not sure to be larger than that.
    """

    column: str
    metric: str
    low: float
    low_value: str
    high: float
    high_value: str
    lower: float
    upper: float
    allowed: float
    holds: bool

    @property
    def size(self) -> float:
        """The difference."""
        return self.high - self.low


@dataclass(frozen=True)
class Judgement:
    """What an evaluation says beyond the bounds of metrics.

    Attributes:
      confidence: that of the intervals, from 0 to 1.
      constant: against the best that says the same of every row, in the primary metric; None where that has no value.
      needs_constant: whether a model that is no better than that is refused.
      baseline: against the baseline, by metric; empty where there is none.
      slices: against the baseline, on the rows of slices.
      gaps: between slices of the candidate.
    """

    confidence: float
    constant: Advantage | None = None
    needs_constant: bool = False
    baseline: Mapping[str, Advantage] = field(default_factory=dict)
    slices: tuple[SliceAdvantage, ...] = ()
    gaps: tuple[Gap, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether nothing of it stands in the way of a blessing."""
        advantages = (*self.deciding, *(each.advantage for each in self.slices))
        return all(each.holds for each in advantages) and all(each.holds for each in self.gaps)

    @property
    def deciding(self) -> tuple[Advantage, ...]:
        """The comparisons over all rows that a blessing depends on."""
        constant = (self.constant,) if self.constant and self.needs_constant else ()
        return (*constant, *self.baseline.values())

    def to_json(self) -> str:
        """The judgement as JSON, with null for what is not finite."""
        return json.dumps(
            {
                "confidence": self.confidence,
                "constant": _finite(self.constant) if self.constant else None,
                "needs_constant": self.needs_constant,
                "baseline": {metric: _finite(each) for metric, each in self.baseline.items()},
                "slices": [{**asdict(each), "advantage": _finite(each.advantage)} for each in self.slices],
                "gaps": [asdict(each) for each in self.gaps],
            },
            indent=2,
            allow_nan=False,
        )

    @classmethod
    def from_json(cls, text: str) -> Judgement:
        """Reads what `to_json` writes, and what earlier releases wrote, which knew no slices and gaps."""
        document = json.loads(text)
        return cls(
            document["confidence"],
            _advantage(document["constant"]) if document["constant"] else None,
            document["needs_constant"],
            {metric: _advantage(each) for metric, each in document["baseline"].items()},
            tuple(
                SliceAdvantage(each["column"], each["value"], _advantage(each["advantage"]))
                for each in document.get("slices", ())
            ),
            tuple(Gap(**each) for each in document.get("gaps", ())),
        )


# What null stands for.
_UNKNOWN = {"lower": -math.inf, "upper": math.inf, "allowed": math.inf}


def _finite(advantage: Advantage) -> dict[str, Any]:
    values = asdict(advantage).items()
    return {name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in values}


def _advantage(document: Mapping[str, Any]) -> Advantage:
    values: dict[str, Any] = {name: _UNKNOWN[name] if value is None else value for name, value in document.items()}
    return Advantage(**values)
