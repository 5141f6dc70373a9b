"""Evaluates models on TFRecord files in bulk, and writes the results as TFMA does."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from numbers import Number
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow_model_analysis.api.types import StructuredMetricValue
from tensorflow_model_analysis.evaluators import metrics_validator
from tensorflow_model_analysis.metrics import metric_types
from tensorflow_model_analysis.post_export_metrics import metric_keys
from tensorflow_model_analysis.proto import config_pb2, validation_result_pb2
from tensorflow_model_analysis.slicer import slicer_lib as slicer
from tensorflow_model_analysis.writers import metrics_plots_and_validations_writer as writer

from components.evaluator import importance
from components.evaluator.accumulators import accumulator_for, is_weighted
from components.evaluator.contestants import Contestants
from components.evaluator.decision import decide
from components.evaluator.gate import Gate
from components.evaluator.judge import judge
from components.evaluator.kept_rows import KeptRows
from components.evaluator.matrices import result_function
from components.evaluator.plan import Plan
from components.evaluator.raw_model import RawModel
from components.evaluator.reservoir import Reservoir
from components.evaluator.results import Metrics, select, write_results, write_text
from components.evaluator.rows import Models, read_batches
from components.evaluator.slices import SliceIndex, SliceKey
from components.evaluator.sums import SliceSums
from components.shared.fast_executor import UnsupportedError
from pipeline.contracts import importance as importance_contract
from pipeline.contracts import judgement as judgement_contract
from pipeline.contracts import wrong_rows as wrong_rows_contract
from pipeline.contracts.importance import Importance
from pipeline.util.progress import say

# TFMA's own wording, which its viewers know.
_TOO_SMALL = (
    "Example count for this slice key is lower than the minimum required value: %d. No data is aggregated for this slice."
)


def evaluate(
    eval_config: config_pb2.EvalConfig,
    model_paths: Mapping[str, str],
    files: Sequence[str],
    output_path: str,
    gate: Gate | None = None,
) -> validation_result_pb2.ValidationResult:
    """Evaluates models and writes what `tfma.ExtractEvaluateAndWriteResults` writes: metrics, plots, validations, config.

    Args:
      eval_config: complete, as `tfma.utils.update_eval_config_with_defaults` returns it.
      model_paths: the folder of each SavedModel, by model name.
      files: TFRecords of tf.Examples.
      output_path: the folder to write to.
      gate: what the candidate has to show besides thresholds; the judgement is written to `judgement.json`. Of a model that
        takes raw columns, the rows that it is most wrong about are written to `wrong_rows.json`, and what it leans on to
        `importance.json` if they are not too many.

    Returns:
      Whether all thresholds are met, and the gate passed, and which are not.

    Raises:
      DataError: no row has a label, or a label is not valid for the model or a metric.
      UnsupportedError: the config, a model or the data need TFMA itself. Nothing has been written.
    """
    plan = Plan.of(eval_config, model_paths)
    say("loading the models")
    models = Models(plan.comparisons.values())
    slices = SliceIndex(plan.slices)
    kept = KeptRows(plan, models, slices, gate.metric) if gate else None
    metrics = _measure(plan, models, files, slices, kept)
    validation = _validate(eval_config, metrics)
    judgement = None
    if gate and kept and () in metrics:
        contestants = Contestants(metrics, kept.samples, plan.candidate, plan.baseline, kept.membership)
        judgement = judge(gate, eval_config, contestants)
        count = metric_types.MetricKey(name="example_count", model_name=plan.candidate)
        small = [slicer.serialize_slice_key(key) for key in metrics if key and metrics[key].get(count, 0) < gate.min_slice_rows]
        validation = decide(validation, judgement, plan.candidate, small)
    write_results(output_path, eval_config, model_paths, metrics, validation)
    if judgement:
        write_text(output_path, judgement_contract.FILE_NAME, judgement.to_json())
    model = models.raw(plan.comparisons[plan.candidate])
    if gate and kept and model and () in metrics:
        write_text(output_path, wrong_rows_contract.FILE_NAME, kept.worst.rows(model.columns).to_json())
        if found := _importance(model, kept.asked, gate):
            write_text(output_path, importance_contract.FILE_NAME, found.to_json())
    return validation


def _importance(model: RawModel, asked: Reservoir | None, gate: Gate) -> Importance | None:
    if asked is None or not len(asked.labels):
        return None
    say(f"asking the model with each of {len(model.columns)} columns shuffled")
    return importance.measure(model, tf.constant(asked.examples), asked.labels, asked.weights, gate.metric)


def _measure(
    plan: Plan, models: Models, files: Sequence[str], slices: SliceIndex, kept: KeptRows | None
) -> dict[SliceKey, Metrics]:
    if not slices.columns.isdisjoint(models.transformed):
        raise UnsupportedError("a model transforms a column that rows are sliced by")
    sizes = SliceSums(width=1)
    classes = {comparison: SliceSums(width=2) for comparison in plan.comparisons.values() if plan.rankings}
    accumulators = [
        (plan.comparisons[computation.keys[0].model_name], is_weighted(computation), accumulator_for(computation))
        for computation in plan.computations
    ]
    for batch in read_batches(files, slices.columns, models, plan.weight):
        numbers = slices.number(batch.columns, batch.num_rows)
        ones = np.ones(batch.num_rows)
        sizes.add(numbers, ones[:, np.newaxis])
        for comparison, sums in classes.items():
            labels = batch.rows[comparison].labels.astype(np.float64)
            sums.add(numbers, batch.rows[comparison].weighed(labels, 1 - labels))
        if kept:
            kept.add(batch, numbers)
        counted = {comparison: replace(rows, weights=ones) for comparison, rows in batch.rows.items()}
        for comparison, weighted, accumulator in accumulators:
            accumulator.add(numbers, batch.rows[comparison] if weighted else counted[comparison])
    derivations = [result_function(derived) for derived in plan.derived]
    metrics = {}
    for key, number in sorted(slices.slices.items(), key=str):
        if key and sizes.of(number)[0] < plan.min_slice_size:
            metrics[key] = {metric_keys.ERROR_METRIC: _TOO_SMALL % plan.min_slice_size}
        else:
            values: Metrics = {}
            for _, _, accumulator in accumulators:
                values.update(accumulator.output(number))
            for derive in derivations:
                values.update(derive(values))
            for name, comparison in plan.comparisons.items():
                if plan.rankings and not classes[comparison].of(number).all():
                    values.update(_undefined(values, name, plan.rankings))
            metrics[key] = _with_differences(_public(values), plan.baseline)
    return metrics


def _undefined(metrics: Metrics, model_name: str, names: Collection[str]) -> Metrics:
    """Rankings where there is nothing to rank: NaN, where TFMA integrates over an empty curve to 0 or 1."""
    return {key: math.nan for key in metrics if key.model_name == model_name and key.name in names}


def _public(metrics: Metrics) -> Metrics:
    # TFMA's names of what only other metrics use begin with one underscore.
    return {key: value for key, value in metrics.items() if not key.name.startswith("_") or key.name.startswith("__")}


def _with_differences(metrics: Metrics, baseline: str | None) -> Metrics:
    """Adds how much the candidate's metrics differ from those of the model named `baseline`."""
    if baseline is None:
        return metrics
    differences = {}
    for key, value in metrics.items():
        baseline_value = metrics.get(key.make_baseline_key(baseline))
        if key.model_name != baseline and baseline_value is not None and _is_diffable(value):
            differences[key.make_diff_key()] = value - baseline_value
    return {**metrics, **differences}


def _is_diffable(value: Any) -> bool:
    if isinstance(value, np.ndarray):
        return bool(np.issubdtype(value.dtype, np.number))
    return isinstance(value, (Number, StructuredMetricValue))


def _validate(
    eval_config: config_pb2.EvalConfig, metrics: Mapping[SliceKey, Metrics]
) -> validation_result_pb2.ValidationResult:
    validations = writer.CombineValidations(eval_config)
    result = validations.create_accumulator()
    thresholds = _with_thresholds(eval_config)
    for key, values in metrics.items():
        validation = metrics_validator.validate_metrics((key, select(values, plots=False)), thresholds)
        result = validations.add_input(result, validation)
    return validations.extract_output(result)


def _with_thresholds(eval_config: config_pb2.EvalConfig) -> config_pb2.EvalConfig:
    """The config with only those metrics that have thresholds: TFMA's validator makes every metric anew for each slice."""
    result = config_pb2.EvalConfig()
    result.CopyFrom(eval_config)
    for spec in result.metrics_specs:
        decisive = [m for m in spec.metrics if m.HasField("threshold") or m.per_slice_thresholds or m.cross_slice_thresholds]
        del spec.metrics[:]
        spec.metrics.extend(decisive)
    return result
