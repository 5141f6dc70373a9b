"""By what a model decides between classes, a threshold or weighed probabilities, and the metrics of its decisions."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

import tensorflow as tf
from tensorflow_model_analysis.metrics import confusion_matrix_metrics, metric_types
from tensorflow_model_analysis.proto import config_pb2

from pipeline.contracts.model import WEIGHED
from pipeline.contracts.model_description import DESCRIPTION_PATH, ModelDescription

DEFAULT = 0.5
"""TFMA's, and that of a model that does not say by which threshold it decides."""


def threshold_of(model_path: str) -> float:
    """The score above which a model calls a row positive.

    Args:
      model_path: the folder of its SavedModel.
    """
    threshold = _description(model_path).threshold
    return DEFAULT if threshold is None else threshold


def is_weighed(model_path: str) -> bool:
    """Whether a model of several classes labels rows by weighed probabilities. The argument is that of `threshold_of`."""
    return bool(_description(model_path).class_weights)


def by_weighed(eval_config: config_pb2.EvalConfig, weighed: Collection[str]) -> config_pb2.EvalConfig:
    """An EvalConfig that compares the label with the probabilities that some models label rows by.

    Args:
      eval_config: complete, as `tfma.utils.update_eval_config_with_defaults` returns it.
      weighed: the names of these models.
    """
    result = config_pb2.EvalConfig()
    result.CopyFrom(eval_config)
    for spec in result.model_specs:
        if spec.name in weighed:
            spec.prediction_key = WEIGHED
    return result


def _description(model_path: str) -> ModelDescription:
    path = str(PurePosixPath(model_path) / DESCRIPTION_PATH)
    if not tf.io.gfile.exists(path):
        return ModelDescription()
    with tf.io.gfile.GFile(path) as file:
        return ModelDescription.from_json(file.read())


def at_thresholds(eval_config: config_pb2.EvalConfig, thresholds: Mapping[str, float]) -> config_pb2.EvalConfig:
    """An EvalConfig whose metrics of decisions, such as precision, are those at the threshold of each model.

    Beside them goes the confusion matrix there. A metric that names thresholds itself stays as it is.

    Args:
      eval_config: complete, as `tfma.utils.update_eval_config_with_defaults` returns it.
      thresholds: the score above which a model calls a row positive, by model name.
    """
    result = config_pb2.EvalConfig()
    result.CopyFrom(eval_config)
    del result.metrics_specs[:]
    baselines = {spec.name for spec in eval_config.model_specs if spec.is_baseline}
    for spec in eval_config.metrics_specs:
        decided = [metric for metric in spec.metrics if _option(metric)]
        result.metrics_specs.append(_with(spec, spec.model_names, [metric for metric in spec.metrics if not _option(metric)]))
        for name in spec.model_names if decided else ():
            metrics = [_at(metric, thresholds[name], is_judged=name not in baselines) for metric in decided]
            result.metrics_specs.append(_with(spec, [name], [*metrics, _matrix(thresholds[name])]))
    return result


def _with(
    spec: config_pb2.MetricsSpec, model_names: Sequence[str], metrics: Sequence[config_pb2.MetricConfig]
) -> config_pb2.MetricsSpec:
    result = config_pb2.MetricsSpec()
    result.CopyFrom(spec)
    result.model_names[:] = model_names
    del result.metrics[:]
    result.metrics.extend(metrics)
    return result


def _at(metric: config_pb2.MetricConfig, threshold: float, *, is_judged: bool) -> config_pb2.MetricConfig:
    """A metric at a threshold. What it has to keep to is about the candidate alone."""
    result = config_pb2.MetricConfig()
    result.CopyFrom(metric)
    result.config = json.dumps({**_options(metric), _option(metric): threshold})
    if not is_judged:
        for field in ("threshold", "per_slice_thresholds", "cross_slice_thresholds"):
            result.ClearField(field)
    return result


def _matrix(threshold: float) -> config_pb2.MetricConfig:
    options = {"name": confusion_matrix_metrics.CONFUSION_MATRIX_AT_THRESHOLDS_NAME, "thresholds": [threshold]}
    return config_pb2.MetricConfig(class_name="ConfusionMatrixAtThresholds", config=json.dumps(options))


def _option(metric: config_pb2.MetricConfig) -> str:
    """The option by which a metric takes a threshold; empty where it has none, or the config says another."""
    kind = metric_types.registered_metrics().get(metric.class_name, object)
    is_told = {"threshold", "thresholds", "num_thresholds", "top_k"} & _options(metric).keys()
    if metric.module or is_told or not issubclass(kind, confusion_matrix_metrics.ConfusionMatrixMetric):
        return ""
    return "threshold" if issubclass(kind, confusion_matrix_metrics.BinaryAccuracy) else "thresholds"


def _options(metric: config_pb2.MetricConfig) -> dict[str, Any]:
    return dict(json.loads(metric.config or "{}"))
