"""The EvalConfig for a configuration."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tensorflow_model_analysis.proto import config_pb2

from components.evaluator.config import eval_config, gate_of
from pipeline.config import PipelineConfig, Task
from pipeline.config.consistency import METRICS


def _config(task: str = "binary_classification", **evaluation: Any) -> PipelineConfig:
    return PipelineConfig.model_validate(
        {"name": "trips", "task": task, "label": "tip", "data": {"input": "trips.csv"}, "evaluation": evaluation}
    )


def _metrics(config: PipelineConfig) -> dict[str, config_pb2.MetricConfig]:
    (spec,) = eval_config(config).metrics_specs
    return {json.loads(metric.config)["name"]: metric for metric in spec.metrics}


def _threshold(config: PipelineConfig, name: str) -> config_pb2.MetricThreshold:
    (per_slice,) = _metrics(config)[name].per_slice_thresholds
    # The empty SlicingSpec: all rows together, and no other slice.
    assert list(per_slice.slicing_specs) == [config_pb2.SlicingSpec()]
    return per_slice.threshold


@pytest.mark.parametrize(
    ("task", "prediction_key"),
    [("binary_classification", "score"), ("multiclass_classification", "probabilities"), ("regression", "predictions")],
)
def test_the_label_is_compared_with_the_output_of_the_task(task: str, prediction_key: str) -> None:
    (model,) = eval_config(_config(task)).model_specs
    assert (model.signature_name, model.label_key, model.prediction_key) == ("serving_default", "tip", prediction_key)


def test_slices_come_after_all_rows_together() -> None:
    slices = eval_config(_config(slices=[["origin"], ["origin", "carrier"]])).slicing_specs
    assert [list(spec.feature_keys) for spec in slices] == [[], ["origin"], ["origin", "carrier"]]


def test_min_and_max_are_value_thresholds() -> None:
    threshold = _threshold(_config(thresholds={"calibration": {"min": 0.9, "max": 1.1}}), "calibration")
    assert threshold.value_threshold.lower_bound.value == 0.9
    assert threshold.value_threshold.upper_bound.value == 1.1
    assert not threshold.HasField("change_threshold")


def test_max_alone_leaves_the_metric_unbounded_below() -> None:
    threshold = _threshold(_config(thresholds={"loss": {"max": 0.5}}), "loss")
    assert not threshold.value_threshold.HasField("lower_bound")


@pytest.mark.parametrize(
    ("metric", "direction", "change"),
    [("recall", config_pb2.HIGHER_IS_BETTER, -0.01), ("loss", config_pb2.LOWER_IS_BETTER, 0.01)],
)
def test_max_regression_is_a_change_in_the_worse_direction(metric: str, direction: int, change: float) -> None:
    threshold = _threshold(_config(thresholds={metric: {"max_regression": 0.01}}), metric)
    assert threshold.change_threshold.direction == direction
    assert threshold.change_threshold.absolute.value == change


def test_max_regression_keeps_a_bound_for_the_run_without_a_baseline() -> None:
    threshold = _threshold(_config(thresholds={"auc": {"max_regression": 0.01}}), "auc")
    assert threshold.value_threshold.lower_bound.value == 0
    # R² may be below 0, and still be a number.
    threshold = _threshold(_config("regression", thresholds={"r2": {"max_regression": 0.01}}), "r2")
    assert threshold.value_threshold.lower_bound.value < -1e300
    threshold = _threshold(_config(thresholds={"auc": {"max_regression": 0.01, "min": 0.7}}), "auc")
    assert threshold.value_threshold.lower_bound.value == 0.7


@pytest.mark.parametrize(
    ("task", "primary", "change"),
    [("binary_classification", "auc", -1e-6), ("multiclass_classification", "accuracy", -1e-6), ("regression", "rmse", 1e-6)],
)
def test_without_thresholds_the_primary_metric_must_not_regress(task: str, primary: str, change: float) -> None:
    config = _config(task)
    assert _threshold(config, primary).change_threshold.absolute.value == change
    assert [name for name, metric in _metrics(config).items() if metric.per_slice_thresholds] == [primary]


def test_thresholds_by_slice_are_for_each_value_of_a_column_which_need_not_be_among_the_slices() -> None:
    config = _config(slices=["origin"], slice_thresholds={"carrier": {"auc": {"min": 0.6}, "loss": {"max": 1.0}}})
    assert [list(spec.feature_keys) for spec in eval_config(config).slicing_specs] == [[], ["origin"], ["carrier"]]
    (loss,) = _metrics(config)["loss"].per_slice_thresholds
    assert list(loss.slicing_specs) == [config_pb2.SlicingSpec(feature_keys=["carrier"])]
    assert loss.threshold.value_threshold.upper_bound.value == 1.0
    # The default for all rows is beside it.
    assert len(_metrics(config)["auc"].per_slice_thresholds) == 2
    assert gate_of(config).needs_constant


@pytest.mark.parametrize("task", Task)
def test_thresholds_may_name_every_metric_of_the_task(task: Task) -> None:
    thresholds = {name: {"max": 1.0} for name in METRICS[task]}
    metrics = _metrics(_config(task.value, thresholds=thresholds))
    assert {name for name, metric in metrics.items() if metric.per_slice_thresholds} == set(METRICS[task])
