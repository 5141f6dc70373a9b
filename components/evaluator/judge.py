"""Whether a candidate is better than no model, and no worse than the baseline, by more than chance."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tensorflow_model_analysis.metrics import metric_types
from tensorflow_model_analysis.proto import config_pb2, metrics_for_slice_pb2, validation_result_pb2

from components.evaluator.gate import Gate
from components.evaluator.sample import Sample
from components.evaluator.significance import best_constant, constant_interval, gain_interval, standard_error
from pipeline.contracts.judgement import Advantage, Judgement
from pipeline.contracts.metrics import higher_is_better

# Two trainings on the same inputs agree to this much, also where a metric does not vary from row to row.
_EQUAL = 1e-6


@dataclass(frozen=True)
class Contestants:
    """The models of an evaluation, with all of its rows.

    Attributes:
      metrics: the metrics of all rows, of both models.
      samples: the rows, by model name.
      candidate: the candidate's name.
      baseline: the baseline's name; None without one.
    """

    metrics: Mapping[Any, Any]
    samples: Mapping[str, Sample]
    candidate: str
    baseline: str | None

    def value(self, metric: str, model_name: str) -> float:
        """A metric of a model; NaN where it was not measured."""
        return float(self.metrics.get(metric_types.MetricKey(name=metric, model_name=model_name), math.nan))


def judge(gate: Gate, eval_config: config_pb2.EvalConfig, contestants: Contestants) -> Judgement:
    """Compares the candidate with its opponents. A metric that has no value is compared with none.

    Args:
      gate: what to compare.
      eval_config: its thresholds of change for all rows say in which metrics the baseline is an opponent, and by how much the
        candidate may be worse.
      contestants: the models.
    """
    candidate = contestants.samples[contestants.candidate]
    constant = None
    says, theirs = best_constant(gate.metric, candidate)
    ours = contestants.value(gate.metric, contestants.candidate)
    gain = _gain(gate.metric, ours, theirs)
    if math.isfinite(gain):
        lower, upper = constant_interval(gate.metric, gain, candidate, says, gate.confidence)
        constant = Advantage(gate.metric, ours, theirs, gain, lower, upper, holds=lower > 0)
    baseline = {}
    if contestants.baseline is not None:
        # The primary metric is compared in any case, for people to know.
        for metric, allowed in {gate.metric: math.inf, **dict(_allowed_regressions(eval_config))}.items():
            ours, theirs = (contestants.value(metric, name) for name in (contestants.candidate, contestants.baseline))
            gain = _gain(metric, ours, theirs)
            if math.isfinite(gain):
                other = contestants.samples[contestants.baseline]
                lower, upper = gain_interval(metric, gain, candidate, other, gate.confidence)
                if metric == gate.metric and gate.allows_standard_error:
                    allowed = standard_error(metric, other)
                holds = max(gain, upper) >= -max(allowed, _EQUAL)
                baseline[metric] = Advantage(metric, ours, theirs, gain, lower, upper, holds, allowed)
    return Judgement(gate.confidence, constant, gate.needs_constant, baseline)


def decide(
    validation: validation_result_pb2.ValidationResult,
    judgement: Judgement,
    model_name: str,
    small_slices: Collection[metrics_for_slice_pb2.SliceKey] = (),
) -> validation_result_pb2.ValidationResult:
    """A validation by TFMA, with the judgement in the place of its thresholds of change for all rows.

    Args:
      validation: what TFMA says of the bounds and the changes.
      judgement: what goes before that.
      model_name: the candidate's name.
      small_slices: the slices with too few rows for thresholds.

    Returns:
      A validation that is passed if and only if all bounds hold and the judgement does.
    """
    result = validation_result_pb2.ValidationResult()
    result.CopyFrom(validation)
    overall = [each for each in result.metric_validations_per_slice if not each.slice_key.single_slice_keys]
    failed = overall[0] if overall else result.metric_validations_per_slice.add()
    bounds = [
        each
        for each in failed.failures
        if each.metric_key.name not in judgement.baseline or not each.metric_threshold.HasField("change_threshold")
    ]
    del failed.failures[:]
    failed.failures.extend([*bounds, *_failures(judgement, model_name)])
    kept = [each for each in result.metric_validations_per_slice if each.failures and each.slice_key not in small_slices]
    del result.metric_validations_per_slice[:]
    result.metric_validations_per_slice.extend(kept)
    result.validation_ok = not kept and not result.missing_slices
    return result


def _failures(judgement: Judgement, model_name: str) -> Iterator[validation_result_pb2.ValidationFailure]:
    for each in judgement.deciding:
        if not each.holds:
            failure = validation_result_pb2.ValidationFailure(
                metric_key=metric_types.MetricKey(name=each.metric, model_name=model_name).to_proto()
            )
            failure.metric_value.double_value.value = each.candidate
            rises = bool(higher_is_better(each.metric))
            if each is not judgement.constant:
                change = failure.metric_threshold.change_threshold
                change.direction = config_pb2.HIGHER_IS_BETTER if rises else config_pb2.LOWER_IS_BETTER
                change.absolute.value = 0.0
            else:
                bound = failure.metric_threshold.value_threshold
                (bound.lower_bound if rises else bound.upper_bound).value = each.opponent
            yield failure


def _gain(metric: str, ours: float, theirs: float) -> float:
    return ours - theirs if higher_is_better(metric) else theirs - ours


def _allowed_regressions(eval_config: config_pb2.EvalConfig) -> Iterator[tuple[str, float]]:
    """The metrics that must not fall behind the baseline over all rows, and by how much they may."""
    for spec in eval_config.metrics_specs:
        for metric in spec.metrics:
            for each in metric.per_slice_thresholds:
                change = each.threshold.change_threshold
                if list(each.slicing_specs) == [config_pb2.SlicingSpec()] and change.HasField("absolute"):
                    yield json.loads(metric.config)["name"], abs(change.absolute.value)
