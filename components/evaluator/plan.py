"""The models, slices and metrics of an EvalConfig that the fast evaluation supports."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from tensorflow_model_analysis import constants
from tensorflow_model_analysis.metrics import confusion_matrix_metrics, metric_specs, metric_types
from tensorflow_model_analysis.proto import config_pb2

from components.evaluator.rows import Comparison
from components.shared.fast_executor import UnsupportedError

# Fields of ModelSpec and MetricsSpec that change the results and that the fast evaluation does not support.
_MODEL_FIELDS = (
    "label_keys",
    "prediction_keys",
    "example_weight_keys",
    "preprocessing_function_names",
    "padding_options",
)
_METRICS_FIELDS = ("output_names", "output_weights", "binarize", "aggregate", "query_key")

# Metrics that rank positives before negatives, with TFMA's default names.
_RANKINGS = {
    "AUC": confusion_matrix_metrics.AUC_NAME,
    "AUCPrecisionRecall": confusion_matrix_metrics.AUC_PRECISION_RECALL_NAME,
}


@dataclass(frozen=True)
class Plan:
    """The models, slices and metrics of an evaluation.

    Attributes:
      comparisons: by model name, the output and the column to compare. A single model is named "".
      slices: the columns of each slicing spec; none for all rows together.
      computations: the sums over the rows of a slice.
      derived: the metrics that are derived from them, in the order in which they can be computed.
      baseline: the baseline's name, if there is one.
      min_slice_size: the number of rows below which a slice is reported as an error.
      weight: the column that says how much each row counts in metrics; empty where each counts once.
      rankings: the names of the metrics that are defined only where there are both positives and negatives.
    """

    comparisons: Mapping[str, Comparison]
    slices: tuple[tuple[str, ...], ...]
    computations: tuple[metric_types.MetricComputation, ...]
    derived: tuple[metric_types.DerivedMetricComputation, ...]
    baseline: str | None
    min_slice_size: int
    weight: str
    rankings: frozenset[str]

    @property
    def candidate(self) -> str:
        """The candidate's name."""
        return next(name for name in self.comparisons if name != self.baseline)

    @classmethod
    def of(cls, eval_config: config_pb2.EvalConfig, model_paths: Mapping[str, str]) -> Plan:
        """The plan of an evaluation.

        Args:
          eval_config: complete, as `tfma.utils.update_eval_config_with_defaults` returns it.
          model_paths: the folder of each SavedModel, by model name.

        Raises:
          UnsupportedError: the config needs TFMA's own evaluation.
        """
        _check(eval_config)
        # Metrics share computations, and TFMA counts the first of those that are equal.
        computations = dict.fromkeys(metric_specs.to_computations(list(eval_config.metrics_specs), eval_config=eval_config))
        sums = tuple(c for c in computations if type(c) is metric_types.MetricComputation)
        derived = tuple(c for c in computations if type(c) is metric_types.DerivedMetricComputation)
        if len(sums) + len(derived) < len(computations):
            raise UnsupportedError("a metric compares slices or needs confidence intervals")
        return cls(
            comparisons={
                spec.name: Comparison(model_paths[spec.name], spec.signature_name, spec.prediction_key, spec.label_key)
                for spec in eval_config.model_specs
            },
            slices=tuple(tuple(spec.feature_keys) for spec in eval_config.slicing_specs) or ((),),
            computations=sums,
            derived=derived,
            baseline=next((spec.name for spec in eval_config.model_specs if spec.is_baseline), None),
            min_slice_size=eval_config.options.min_slice_size.value,
            weight=eval_config.model_specs[0].example_weight_key,
            rankings=frozenset(
                json.loads(metric.config or "{}").get("name", _RANKINGS[metric.class_name])
                for spec in eval_config.metrics_specs
                for metric in spec.metrics
                if metric.class_name in _RANKINGS
            ),
        )


def _check(eval_config: config_pb2.EvalConfig) -> None:
    options = eval_config.options
    for spec in eval_config.model_specs:
        _refuse_fields(spec, _MODEL_FIELDS)
        if spec.model_type not in ("", constants.TF_GENERIC) or not spec.signature_name or not spec.label_key:
            raise UnsupportedError("a model in the EvalConfig has a type of its own, or no signature_name or label_key")
    if len({spec.example_weight_key for spec in eval_config.model_specs}) > 1:
        raise UnsupportedError("models have different weights")
    for spec in eval_config.metrics_specs:
        _refuse_fields(spec, _METRICS_FIELDS)
    if any(spec.feature_values or spec.slice_keys_sql for spec in eval_config.slicing_specs):
        raise UnsupportedError("slices are not by feature keys alone")
    if eval_config.cross_slicing_specs:
        raise UnsupportedError("slices are compared with each other")
    if options.compute_confidence_intervals.value:
        raise UnsupportedError("confidence intervals are asked for")
    if options.disabled_outputs.values:
        raise UnsupportedError("outputs are disabled")
    # TFMA's default is to include them.
    if not options.HasField("include_default_metrics") or options.include_default_metrics.value:
        raise UnsupportedError("the metrics that the model was compiled with are included")


def _refuse_fields(spec: config_pb2.ModelSpec | config_pb2.MetricsSpec, names: tuple[str, ...]) -> None:
    for field, _ in spec.ListFields():
        if field.name in names:
            raise UnsupportedError(f"the EvalConfig sets {type(spec).__name__}.{field.name}")
