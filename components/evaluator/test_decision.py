"""What of a judgement is a failure of the validation, and that it is kept as it was."""

from __future__ import annotations

import math

import pytest
from tensorflow_model_analysis.proto import validation_result_pb2

from components.evaluator.decision import decide
from pipeline.contracts.judgement import Advantage, Gap, Judgement, SliceAdvantage


def _advantage(metric: str, *, holds: bool) -> Advantage:
    return Advantage(metric, 0.6, 0.7, -0.1, -0.2, -0.05, holds)


def test_the_judgement_goes_before_a_change_that_tfma_refuses_and_not_before_a_bound() -> None:
    validation = validation_result_pb2.ValidationResult(validation_ok=False)
    overall, sliced = validation.metric_validations_per_slice.add(), validation.metric_validations_per_slice.add()
    change, bound = overall.failures.add(), sliced.failures.add()
    change.metric_key.name, bound.metric_key.name = "auc", "auc"
    change.metric_threshold.change_threshold.absolute.value = -0.01
    bound.metric_threshold.value_threshold.lower_bound.value = 0.9
    sliced.slice_key.single_slice_keys.add(column="origin", bytes_value=b"JFK")

    tolerated = Judgement(0.95, baseline={"auc": _advantage("auc", holds=True)})
    assert [list(each.failures) for each in decide(validation, tolerated, "candidate").metric_validations_per_slice] == [
        [bound]
    ]
    del validation.metric_validations_per_slice[1:]
    assert decide(validation, tolerated, "candidate").validation_ok
    refused = decide(validation, Judgement(0.95, baseline={"auc": _advantage("auc", holds=False)}), "candidate")
    assert not refused.validation_ok


@pytest.mark.parametrize("holds", [True, False])
def test_a_change_in_a_slice_that_the_judgement_tolerates_is_no_failure(holds: bool) -> None:
    validation = validation_result_pb2.ValidationResult(validation_ok=False)
    sliced = validation.metric_validations_per_slice.add()
    sliced.failures.add().metric_key.name = "auc"
    sliced.failures[0].metric_threshold.change_threshold.absolute.value = -0.01
    sliced.slice_key.single_slice_keys.add(column="origin", bytes_value=b"JFK")
    judgement = Judgement(0.95, slices=(SliceAdvantage("origin", "JFK", _advantage("auc", holds=holds)),))
    assert decide(validation, judgement, "candidate").validation_ok == holds


def test_a_gap_that_is_too_large_is_a_failure_between_slices() -> None:
    gap = Gap("sex", "recall", 0.1, "F", 0.4, "M", 0.2, 0.4, 0.05, holds=False)
    decided = decide(validation_result_pb2.ValidationResult(validation_ok=True), Judgement(0.95, gaps=(gap,)), "candidate")
    assert not decided.validation_ok
    (between,) = decided.metric_validations_per_slice
    assert between.cross_slice_key.baseline_slice_key.single_slice_keys[0].bytes_value == b"F"
    assert between.failures[0].metric_value.double_value.value == pytest.approx(0.3)


def test_a_judgement_is_read_as_it_was_written() -> None:
    unknown = Advantage("auc", 1.0, 0.5, 0.5, -math.inf, math.inf, holds=False)
    of_slice = SliceAdvantage("carrier", "AA", unknown)
    gap = Gap("carrier", "recall", 0.1, "AA", 0.4, "UA", 0.2, 0.4, 0.05, holds=False)
    judgement = Judgement(0.9, unknown, True, {"mse": _advantage("mse", holds=True)}, (of_slice,), (gap,))
    assert Judgement.from_json(judgement.to_json()) == judgement
    assert Judgement.from_json(Judgement(0.9).to_json()) == Judgement(0.9)
