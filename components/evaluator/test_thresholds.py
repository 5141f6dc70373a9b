"""Metrics at the threshold by which a model decides."""

from __future__ import annotations

import json
from pathlib import Path

import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.proto import config_pb2

from components.evaluator import eval_config
from components.evaluator.thresholds import at_thresholds, by_weighed, is_weighed, threshold_of
from pipeline.config import PipelineConfig
from pipeline.contracts.model_description import DESCRIPTION_PATH, ModelDescription

CONFIG = {
    "name": "rows",
    "label": "y",
    "data": {"input": "rows.csv"},
    "evaluation": {"thresholds": {"recall": {"min": 0.5, "max_regression": 0.1}}},
}


def complete(has_baseline: bool) -> config_pb2.EvalConfig:
    config = eval_config(PipelineConfig.model_validate(CONFIG))
    return tfma.utils.update_eval_config_with_defaults(config, has_baseline=has_baseline, rubber_stamp=True)


def measured(config: config_pb2.EvalConfig) -> dict[tuple[str, str], dict[str, object]]:
    """The options of each metric, by model and name."""
    return {
        (model, json.loads(metric.config)["name"]): json.loads(metric.config)
        for spec in config.metrics_specs
        for metric in spec.metrics
        for model in spec.model_names
    }


def test_a_model_says_its_threshold(tmp_path: Path) -> None:
    assert threshold_of(str(tmp_path)) == 0.5
    path = tmp_path / DESCRIPTION_PATH
    path.parent.mkdir()
    for description, threshold in ((ModelDescription(), 0.5), (ModelDescription(threshold=0.25), 0.25)):
        path.write_text(description.to_json())
        assert threshold_of(str(tmp_path)) == threshold


def test_a_model_of_several_classes_is_measured_by_what_its_labels_follow(tmp_path: Path) -> None:
    path = tmp_path / DESCRIPTION_PATH
    assert not is_weighed(str(tmp_path))
    path.parent.mkdir()
    path.write_text(ModelDescription(class_weights=[1.0, 2.0, 3.0]).to_json())
    assert is_weighed(str(tmp_path))
    config = PipelineConfig.model_validate(
        {"name": "rows", "label": "y", "task": "multiclass_classification", "data": {"input": "rows.csv"}}
    )
    complete = tfma.utils.update_eval_config_with_defaults(eval_config(config), has_baseline=True, rubber_stamp=True)
    keys = {spec.name: spec.prediction_key for spec in by_weighed(complete, ["candidate"]).model_specs}
    assert keys == {"candidate": "weighed_probabilities", "baseline": "probabilities"}


def test_each_model_is_measured_at_its_own_threshold() -> None:
    before = measured(complete(has_baseline=True))
    after = measured(at_thresholds(complete(has_baseline=True), {"candidate": 0.25, "baseline": 0.75}))
    for model, threshold in (("candidate", 0.25), ("baseline", 0.75)):
        assert after[model, "accuracy"]["threshold"] == threshold
        assert after[model, "precision"]["thresholds"] == threshold
        assert after[model, "recall"]["thresholds"] == threshold
        assert after.pop((model, "confusion_matrix_at_thresholds"))["thresholds"] == [threshold]
        assert after[model, "auc"] == before[model, "auc"]
    assert after.keys() == before.keys()


def test_what_a_metric_must_keep_to_is_about_the_candidate() -> None:
    config = at_thresholds(complete(has_baseline=True), {"candidate": 0.25, "baseline": 0.75})
    judged = [
        (json.loads(metric.config)["name"], list(spec.model_names), metric.per_slice_thresholds[0].threshold)
        for spec in config.metrics_specs
        for metric in spec.metrics
        if metric.per_slice_thresholds
    ]
    ((name, models, threshold),) = judged
    assert (name, models, threshold.value_threshold.lower_bound.value) == ("recall", ["candidate"], 0.5)
    assert threshold.HasField("change_threshold")


def test_a_metric_that_names_thresholds_itself_keeps_them() -> None:
    config = complete(has_baseline=False)
    config.metrics_specs[0].metrics.add(class_name="Precision", config='{"name": "sure", "thresholds": [0.9]}')
    after = measured(at_thresholds(config, {"": 0.25}))
    assert after["", "sure"]["thresholds"] == [0.9]
    assert after["", "recall"]["thresholds"] == 0.25
