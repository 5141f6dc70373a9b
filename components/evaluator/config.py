"""From the pipeline's configuration to the EvalConfig that TFX's Evaluator understands."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from components.evaluator.gate import Gate
from pipeline.config import PipelineConfig, Task, Threshold
from pipeline.config.consistency import METRICS
from pipeline.config.evaluation import Bounds
from pipeline.contracts.metrics import BELOW_ZERO, higher_is_better
from pipeline.contracts.model import EXAMPLES_SIGNATURE, PREDICTIONS, PROBABILITIES, SCORE

if TYPE_CHECKING:
    from tensorflow_model_analysis.proto import config_pb2

_OWN = "components.evaluator.metrics"

# For TFMA's own validation: two trainings on the same inputs agree to this much.
_NOISE = 1e-6


@dataclass(frozen=True)
class _Metric:
    """A metric class of TFMA or Keras, or of the module that is named."""

    class_name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    module: str = ""


# The metrics that thresholds can name, which pipeline.config.consistency lists.
_METRICS: dict[Task, dict[str, _Metric]] = {
    Task.BINARY: {
        "auc": _Metric("AUC"),
        "accuracy": _Metric("BinaryAccuracy"),
        "precision": _Metric("Precision"),
        "recall": _Metric("Recall"),
        "selection_rate": _Metric("PredictedPositiveRate"),
        "false_positive_rate": _Metric("FPR"),
        "calibration": _Metric("Calibration"),
        # Keras' class, not TFMA's BinaryCrossEntropy, which is infinite for one certain and wrong prediction.
        "loss": _Metric("BinaryCrossentropy"),
    },
    Task.MULTICLASS: {
        "accuracy": _Metric("SparseCategoricalAccuracy"),
        "macro_f1": _Metric("MacroF1", module=_OWN),
        "auc_ovr": _Metric("OneVersusRestAuc", module=_OWN),
        "top_3_accuracy": _Metric("SparseTopKCategoricalAccuracy", options={"k": 3}),
        "top_5_accuracy": _Metric("SparseTopKCategoricalAccuracy", options={"k": 5}),
        "loss": _Metric("SparseCategoricalCrossentropy"),
    },
    Task.REGRESSION: {
        "rmse": _Metric("RootMeanSquaredError"),
        "mse": _Metric("MeanSquaredError"),
        "mae": _Metric("MeanAbsoluteError"),
        "mape": _Metric("MeanAbsolutePercentageError"),
        "median_absolute_error": _Metric("AbsoluteErrorQuantile", options={"quantile": 0.5}, module=_OWN),
        "p90_absolute_error": _Metric("AbsoluteErrorQuantile", options={"quantile": 0.9}, module=_OWN),
        "r2": _Metric("CoefficientOfDetermination", module=_OWN),
    },
}

# By task, further metrics for the report.
_FURTHER: dict[Task, dict[str, _Metric]] = {
    Task.BINARY: {
        "example_count": _Metric("ExampleCount"),
        "auc_precision_recall": _Metric("AUCPrecisionRecall"),
        "mean_label": _Metric("MeanLabel"),
        "mean_prediction": _Metric("MeanPrediction"),
        "confusion_matrix_plot": _Metric("ConfusionMatrixPlot", options={"num_thresholds": 200}),
        "calibration_plot": _Metric("CalibrationPlot", options={"num_buckets": 20}),
    },
    Task.MULTICLASS: {
        "example_count": _Metric("ExampleCount"),
        "multi_class_confusion_matrix_plot": _Metric("MultiClassConfusionMatrixPlot"),
    },
    Task.REGRESSION: {
        "example_count": _Metric("ExampleCount"),
        "mean_label": _Metric("MeanLabel"),
        "mean_prediction": _Metric("MeanPrediction"),
    },
}

# By task, the output of the model that is compared with the label.
_PREDICTION_KEYS = {Task.BINARY: SCORE, Task.MULTICLASS: PROBABILITIES, Task.REGRESSION: PREDICTIONS}


def eval_config(config: PipelineConfig) -> config_pb2.EvalConfig:
    """The Evaluator's metrics and slices, and the thresholds that bless a model.

    Thresholds apply to all rows together, or to each slice by a column; other slices are measured but do not decide. Where rows
    have weights, all metrics but the number of rows are weighed. Without
    any for all rows, the candidate must be no worse than the baseline in the primary metric (auc, accuracy or rmse). For TFMA,
    whose own validation knows no chance: a first run, which has no baseline, must only reach the thresholds with `min` or
    `max`; where there are none, the metric must be a number. `gate_of` adds what the evaluation in bulk asks for.

    Args:
      config: the pipeline's configuration, of which task, label and evaluation are used.

    Returns:
      The EvalConfig. A metric has the same name in the results as in the configuration.
    """
    # Not `tfma.EvalConfig`, which exists only once all of TFX has been imported.
    from google.protobuf import wrappers_pb2
    from tensorflow_model_analysis.proto import config_pb2

    thresholds = config.evaluation.thresholds or {METRICS[config.task][0]: Threshold(max_regression=_NOISE)}
    metrics: list[config_pb2.MetricConfig] = []
    counts: list[config_pb2.MetricConfig] = []
    for name, metric in {**_FURTHER[config.task], **_METRICS[config.task]}.items():
        spec = config_pb2.MetricConfig(
            class_name=metric.class_name, module=metric.module, config=json.dumps({"name": name, **metric.options})
        )
        if name in thresholds:
            spec.per_slice_thresholds.append(
                config_pb2.PerSliceMetricThreshold(
                    slicing_specs=[config_pb2.SlicingSpec()], threshold=_metric_threshold(name, thresholds[name])
                )
            )
        for column, by_metric in config.evaluation.slice_thresholds.items():
            if name in by_metric:
                spec.per_slice_thresholds.append(
                    config_pb2.PerSliceMetricThreshold(
                        slicing_specs=[config_pb2.SlicingSpec(feature_keys=[column])],
                        threshold=_metric_threshold(name, by_metric[name]),
                    )
                )
        (counts if config.evaluation.weight and name == "example_count" else metrics).append(spec)
    specs = [config_pb2.MetricsSpec(metrics=metrics)]
    if counts:
        unweighted = config_pb2.ExampleWeightOptions(unweighted=True)
        specs.append(config_pb2.MetricsSpec(metrics=counts, example_weights=unweighted))
    return config_pb2.EvalConfig(
        model_specs=[
            config_pb2.ModelSpec(
                signature_name=EXAMPLES_SIGNATURE,
                prediction_key=_PREDICTION_KEYS[config.task],
                label_key=config.label,
                example_weight_key=config.evaluation.weight,
            )
        ],
        slicing_specs=[
            config_pb2.SlicingSpec(),
            *(config_pb2.SlicingSpec(feature_keys=columns) for columns in config.evaluation.sliced_by),
        ],
        metrics_specs=specs,
        # Options.min_slice_size stays unset: TFMA reports "metric not found" as a failed threshold for every small slice.
        options=config_pb2.Options(include_default_metrics=wrappers_pb2.BoolValue(value=False)),
    )


def gate_of(config: PipelineConfig) -> Gate:
    """What a candidate has to show besides its thresholds.

    Where no threshold has a `min` or a `max`, no one has said what a good model is: then it must be better, in the task's
    primary metric, than the best that says the same of every row. Without any threshold no one has said either how much two
    trainings may differ by: then one standard error of the metric, as in the rule of Breiman, Friedman, Olshen and Stone
    (Classification and Regression Trees, 1984, section 3.4.3), by which a model that close is as good.
    """
    bounded = any(each.min is not None or each.max is not None for each in config.evaluation.thresholds.values())
    return Gate(
        METRICS[config.task][0],
        needs_constant=not bounded,
        allows_standard_error=not config.evaluation.thresholds,
        min_slice_rows=config.evaluation.min_slice_rows,
        confidence=config.evaluation.confidence,
        max_gaps=config.evaluation.max_gaps,
        unread=sorted(config.unread),
    )


def _metric_threshold(metric: str, threshold: Threshold) -> config_pb2.MetricThreshold:
    from google.protobuf import wrappers_pb2
    from tensorflow_model_analysis.proto import config_pb2

    result = config_pb2.MetricThreshold()
    if threshold.max_regression is not None:
        better = config_pb2.HIGHER_IS_BETTER if higher_is_better(metric) else config_pb2.LOWER_IS_BETTER
        change = -threshold.max_regression if higher_is_better(metric) else threshold.max_regression
        result.change_threshold.CopyFrom(
            config_pb2.GenericChangeThreshold(direction=better, absolute=wrappers_pb2.DoubleValue(value=change))
        )
    # Without a baseline TFX drops change thresholds, and with no threshold left it blesses nothing, not even a first model.
    # This bound refuses only NaN.
    any_number = Bounds(min=-sys.float_info.max if metric in BELOW_ZERO else 0.0)
    bounds = any_number if threshold.min is None and threshold.max is None else threshold
    result.value_threshold.CopyFrom(_value_threshold(bounds))
    return result


def _value_threshold(bounds: Bounds) -> config_pb2.GenericValueThreshold:
    from tensorflow_model_analysis.proto import config_pb2

    value = config_pb2.GenericValueThreshold()
    if bounds.min is not None:
        value.lower_bound.value = bounds.min
    if bounds.max is not None:
        value.upper_bound.value = bounds.max
    return value
