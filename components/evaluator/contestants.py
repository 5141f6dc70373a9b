"""The models of an evaluation, and how they compare on all rows or some."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tensorflow_model_analysis.metrics import metric_types

from components.evaluator.membership import Membership
from components.evaluator.sample import Sample
from components.evaluator.significance import gain_interval
from components.evaluator.slices import SliceKey
from components.evaluator.sums import IntArray
from pipeline.contracts.judgement import Advantage
from pipeline.contracts.metrics import higher_is_better

# Two trainings on the same inputs agree to this much, also where a metric does not vary from row to row.
_EQUAL = 1e-6


@dataclass(frozen=True)
class Contestants:
    """The models of an evaluation, with all of its rows.

    Attributes:
      metrics: the metrics of each slice, of both models.
      samples: the rows, by model name.
      candidate: the candidate's name.
      baseline: the baseline's name; None without one.
      membership: the rows of the slices that are judged.
    """

    metrics: Mapping[SliceKey, Mapping[Any, Any]]
    samples: Mapping[str, Sample]
    candidate: str
    baseline: str | None
    membership: Membership

    def value(self, metric: str, model_name: str, key: SliceKey = ()) -> float:
        """A metric of a model in a slice; NaN where it was not measured."""
        keys = (metric_types.MetricKey(metric, model_name, example_weighted=weighted) for weighted in (False, True))
        return next((float(self.metrics[key][each]) for each in keys if each in self.metrics[key]), math.nan)

    def advantage(
        self, metric: str, allowed: float, confidence: float, key: SliceKey = (), rows: IntArray | None = None
    ) -> Advantage | None:
        """How much better than the baseline the candidate is.

        Args:
          metric: the metric to compare.
          allowed: by how much the candidate may be worse.
          confidence: that of the interval, from 0 to 1.
          key: the slice to compare on, all rows by default.
          rows: the numbers of the rows in the slice.

        Returns:
          None without a baseline, and where a metric has no value.
        """
        if self.baseline is None:
            return None
        ours, theirs = (self.value(metric, name, key) for name in (self.candidate, self.baseline))
        gain = gain_of(metric, ours, theirs)
        if not math.isfinite(gain):
            return None
        candidate, baseline = (self.samples[name] for name in (self.candidate, self.baseline))
        if rows is not None:
            candidate, baseline = candidate.of(rows), baseline.of(rows)
        lower, upper = gain_interval(metric, gain, candidate, baseline, confidence)
        holds = max(gain, upper) >= -max(allowed, _EQUAL)
        return Advantage(metric, ours, theirs, gain, lower, upper, holds, allowed)


def gain_of(metric: str, ours: float, theirs: float) -> float:
    """By how much one value of a metric is better than another, negative where it is worse."""
    return ours - theirs if higher_is_better(metric) else theirs - ours
