"""The Evaluator's metrics by slice, beside the baseline's."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.contracts.metrics import higher_is_better
from pipeline.report.read.undefined import RANKINGS, Undefined, undefined

Key = tuple[tuple[str, str], ...]
"""Column and value of what the rows of a slice have in common; empty for all rows."""

CANDIDATE, BASELINE = "candidate", "baseline"
OVERALL = ""
EXAMPLE_COUNT, MEAN_LABEL = "example_count", "mean_label"
_NOISE = 1e-9


@dataclass(frozen=True)
class Comparison:
    """A metric of the candidate beside the baseline's, where there is one."""

    metric: str
    candidate: float | None = None
    baseline: float | None = None

    @property
    def difference(self) -> float | None:
        """Candidate minus baseline."""
        if self.candidate is None or self.baseline is None or not math.isfinite(self.candidate - self.baseline):
            return None
        return self.candidate - self.baseline

    @property
    def gain(self) -> float | None:
        """How much better than the baseline the candidate is, negative for worse; None where better has no meaning."""
        if self.difference is None or self.candidate is None or self.baseline is None:
            return None
        direction = higher_is_better(self.metric)
        if direction is not None:
            return self.difference if direction else -self.difference
        return abs(self.baseline - 1) - abs(self.candidate - 1) if self.metric == "calibration" else None

    @property
    def trend(self) -> str:
        """`better`, `worse` or nothing, for how it is shown."""
        if self.gain is None or abs(self.gain) < _NOISE:
            return ""
        return "better" if self.gain > 0 else "worse"


@dataclass(frozen=True)
class Slice:
    """Metrics of some of the rows.

    Attributes:
      key: column and value of what the rows have in common; empty for all rows.
      metrics: the metrics by name.
    """

    key: Key
    metrics: Mapping[str, Comparison]

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that divide the rows."""
        return tuple(column for column, _ in self.key)

    @property
    def label(self) -> str:
        """The slice as text, such as `carrier = AA`."""
        return ", ".join(f"{column} = {value}" for column, value in self.key) or "all rows"

    @property
    def rows(self) -> int | None:
        """How many rows of the evaluation split are in it."""
        count = self.metric(EXAMPLE_COUNT).candidate
        return None if count is None else round(count)

    def metric(self, name: str) -> Comparison:
        """The metric of that name, without values when it was not measured."""
        return self.metrics.get(name, Comparison(name))

    def undefined(self, name: str) -> Undefined | None:
        """Why the candidate's metric has no value; None where it has one, or was not measured."""
        value = self.metric(name).candidate
        return undefined(name, self.metric(MEAN_LABEL).candidate) if value is not None and math.isnan(value) else None


def slice_key(message: Any) -> Key:
    """What the rows of a slice have in common.

    Args:
      message: TFMA's SliceKey.
    """

    def text(single: Any) -> str:
        value = getattr(single, single.WhichOneof("kind") or "bytes_value")
        return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)

    return tuple((single.column, text(single)) for single in message.single_slice_keys)


def slice_of(message: Any) -> Slice:
    """A slice with its metrics.

    Args:
      message: TFMA's MetricsForSlice.
    """
    values: dict[str, dict[str, float]] = {}
    for pair in message.metric_keys_and_values:
        if pair.key.is_diff or pair.value.WhichOneof("type") != "double_value" or pair.key.HasField("sub_key"):
            continue
        values.setdefault(pair.key.name, {})[pair.key.model_name or CANDIDATE] = pair.value.double_value.value
    if set(values.get(MEAN_LABEL, {}).values()) & {0.0, 1.0}:
        # TFX's own Evaluator writes 0 or 1 where rows have a single class.
        values |= {name: dict.fromkeys(values[name], math.nan) for name in RANKINGS & values.keys()}
    comparisons = {name: Comparison(name, pair.get(CANDIDATE), pair.get(BASELINE)) for name, pair in values.items()}
    return Slice(slice_key(message.slice_key), comparisons)
