"""What a candidate has to show besides the bounds of its metrics."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field


@dataclass(frozen=True)
class Gate:
    """What a candidate has to show besides the bounds of its metrics.

    Attributes:
      metric: the metric in which it is compared with the best that says the same of every row: auc, accuracy or rmse.
      needs_constant: whether it must be better than that.
      allows_standard_error: whether it may be worse than the baseline by one standard error of the baseline's metric.
      min_slice_rows: thresholds by slice are for slices with at least so many rows.
      confidence: that of the intervals, from 0 to 1: the whole interval must say that it is better, and the whole interval that
        it is worse than the baseline, or a gap larger, by more than is allowed.
      max_gaps: by column and metric, the largest difference between the slices by that column.
      unread: the columns of the data that are not read. A baseline that takes one of them cannot be compared with.
    """

    metric: str
    needs_constant: bool
    allows_standard_error: bool
    min_slice_rows: int
    confidence: float
    max_gaps: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    unread: Sequence[str] = ()

    def to_json(self) -> str:
        """The gate as JSON, for an execution property."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Gate:
        """Reads what `to_json` writes."""
        return cls(**json.loads(text))
