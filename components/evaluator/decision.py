"""What TFMA says of a candidate's thresholds, with the judgement in the place of what it says of changes."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from tensorflow_model_analysis.metrics import metric_types
from tensorflow_model_analysis.proto import metrics_for_slice_pb2, validation_result_pb2
from tensorflow_model_analysis.slicer import slicer_lib as slicer

from components.evaluator.slices import value_in
from pipeline.contracts.judgement import Judgement
from pipeline.contracts.metrics import higher_is_better


def decide(
    validation: validation_result_pb2.ValidationResult,
    judgement: Judgement,
    model_name: str,
    small_slices: Collection[metrics_for_slice_pb2.SliceKey] = (),
) -> validation_result_pb2.ValidationResult:
    """A validation by TFMA, without changes that the judgement tolerates, and with what it refuses.

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
    kept = []
    for each in validation.metric_validations_per_slice:
        tolerated = _tolerated(each.slice_key, judgement)
        failures = [
            failure
            for failure in each.failures
            if not failure.metric_threshold.HasField("change_threshold") or failure.metric_key.name not in tolerated
        ]
        if failures and each.slice_key not in small_slices:
            kept.append(validation_result_pb2.MetricsValidationForSlice(slice_key=each.slice_key, failures=failures))
    kept += _refusals(judgement, model_name)
    del result.metric_validations_per_slice[:]
    result.metric_validations_per_slice.extend(kept)
    result.validation_ok = not kept and not result.missing_slices
    return result


def _tolerated(slice_key: metrics_for_slice_pb2.SliceKey, judgement: Judgement) -> set[str]:
    """The metrics in which the candidate is good enough on the rows of a slice, in the eyes of the judgement."""
    singles = slice_key.single_slice_keys
    if not singles:
        return {metric for metric, each in judgement.baseline.items() if each.holds}
    place = [(single.column, value_in(single)) for single in singles]
    return {each.advantage.metric for each in judgement.slices if [(each.column, each.value)] == place and each.advantage.holds}


def _refusals(judgement: Judgement, model_name: str) -> Iterator[validation_result_pb2.MetricsValidationForSlice]:
    """What the judgement refuses and TFMA knows nothing of."""
    if judgement.needs_constant and judgement.constant and not judgement.constant.holds:
        constant = judgement.constant
        failure = _failure(constant.metric, model_name, constant.candidate)
        bound = failure.metric_threshold.value_threshold
        (bound.lower_bound if higher_is_better(constant.metric) else bound.upper_bound).value = constant.opponent
        yield validation_result_pb2.MetricsValidationForSlice(slice_key=metrics_for_slice_pb2.SliceKey(), failures=[failure])
    for each in judgement.gaps:
        if not each.holds:
            failure = _failure(each.metric, model_name, each.size)
            failure.metric_threshold.value_threshold.upper_bound.value = each.allowed
            keys = metrics_for_slice_pb2.CrossSliceKey(
                baseline_slice_key=_slice_key(each.column, each.low_value),
                comparison_slice_key=_slice_key(each.column, each.high_value),
            )
            yield validation_result_pb2.MetricsValidationForSlice(cross_slice_key=keys, failures=[failure])


def _failure(metric: str, model_name: str, value: float) -> validation_result_pb2.ValidationFailure:
    key = metric_types.MetricKey(name=metric, model_name=model_name).to_proto()
    failure = validation_result_pb2.ValidationFailure(metric_key=key)
    failure.metric_value.double_value.value = value
    return failure


def _slice_key(column: str, value: str) -> metrics_for_slice_pb2.SliceKey:
    return slicer.serialize_slice_key(((column, value),))
