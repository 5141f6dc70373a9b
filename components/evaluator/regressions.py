"""By how much a candidate may be worse than the baseline, as an EvalConfig says it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from tensorflow_model_analysis.proto import config_pb2


@dataclass(frozen=True)
class Regression:
    """By how much the candidate may be worse in a metric.

    Attributes:
      metric: the metric's name.
      allowed: by how much.
      column: the column by whose slices this is; empty for all rows.
    """

    metric: str
    allowed: float
    column: str = ""


def allowed_regressions(eval_config: config_pb2.EvalConfig) -> Iterator[Regression]:
    """The thresholds of change, over all rows and by the slices of one column."""
    for spec in eval_config.metrics_specs:
        for metric in spec.metrics:
            for each in metric.per_slice_thresholds:
                change = each.threshold.change_threshold
                if not change.HasField("absolute"):
                    continue
                for slicing in each.slicing_specs:
                    if slicing == config_pb2.SlicingSpec(feature_keys=slicing.feature_keys[:1]):
                        name = json.loads(metric.config)["name"]
                        yield Regression(name, abs(change.absolute.value), "".join(slicing.feature_keys))
