"""The executor of the Evaluator: evaluation in bulk where that applies."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.metrics import metric_specs
from tensorflow_model_analysis.proto import config_pb2
from tfx.components.evaluator import constants
from tfx.components.evaluator import executor as stock
from tfx.types import Artifact, artifact_utils, standard_component_specs
from tfx.utils import io_utils, json_utils, path_utils, proto_utils

from components.evaluator.evaluation import evaluate
from components.evaluator.gate import Gate
from components.evaluator.thresholds import DEFAULT, at_thresholds, by_weighed, is_weighed, threshold_of
from components.shared.examples.splits import split_files
from components.shared.fast_executor import Artifacts, FastExecutor, UnsupportedError
from pipeline.contracts.model_description import ModelDescription
from pipeline.errors import ConfigError, NodeError
from pipeline.util.notes import note

GATE_KEY = "gate"
"""The execution property with the gate as JSON; empty where the thresholds of the EvalConfig are all."""


class Executor(FastExecutor):
    """Evaluates with predictions and metrics in bulk where models, metrics and data allow it."""

    NODE = "Evaluator"
    STOCK = stock.Executor

    def Do(self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: dict[str, Any]) -> None:
        """Executes the node as `FastExecutor` says, with the metrics of what each model decides.

        Raises:
          ConfigError: the baseline takes columns that are not read, or is not a model of Conveyor.
        """
        if exec_properties.get(GATE_KEY):
            _require_comparable(input_dict, Gate.from_json(exec_properties[GATE_KEY]).unread)
        super().Do(input_dict, output_dict, {**exec_properties, **_by_decisions(input_dict, exec_properties)})

    def run_fast(self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: dict[str, Any]) -> None:
        """Evaluates the model.

        Args:
          input_dict: examples; optionally model, baseline_model and schema.
          output_dict: evaluation, and blessing.
          exec_properties: as in TFX's executor, and optionally `gate`.

        Raises:
          DataError: no row has a label, or a label is not valid for the model or a metric.
          NodeError: gaps are to be judged, which TFX's own executor does not do.
          UnsupportedError: the config, a model or the data need TFX's own executor.
        """
        gate = Gate.from_json(exec_properties[GATE_KEY]) if exec_properties.get(GATE_KEY) else None
        try:
            eval_config = _eval_config(input_dict, exec_properties)
            validation = evaluate(
                eval_config,
                {spec.name: _model_path(spec, input_dict) for spec in eval_config.model_specs},
                _example_files(input_dict, exec_properties),
                artifact_utils.get_single_uri(output_dict[standard_component_specs.EVALUATION_KEY]),
                gate,
            )
        except UnsupportedError as reason:
            if gate and gate.max_gaps:
                raise _unjudgeable(reason) from reason
            raise
        # As in TFX: without thresholds nothing is validated, so nothing is blessed.
        if metric_specs.metric_thresholds_from_metrics_specs(eval_config.metrics_specs, eval_config=eval_config):
            _bless(validation.validation_ok, input_dict, output_dict, exec_properties)

    def run_stock(self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: dict[str, Any]) -> None:
        """Evaluates the model by TFX's own executor, which knows no gate."""
        if exec_properties.get(GATE_KEY):
            note(
                "The model is judged by its thresholds alone, without regard to chance and to how few rows a slice has, and "
                "need not be better than always saying the same: the Evaluator is TFX's own here. Its log says why."
            )
        super().run_stock(input_dict, output_dict, exec_properties)


def _require_comparable(input_dict: Artifacts, unread: Sequence[str]) -> None:
    """Sees to it that the baseline gets what it takes: without, it would say less than it knows, and anything could beat it."""
    for baseline in input_dict.get(standard_component_specs.BASELINE_MODEL_KEY) or []:
        taken = ModelDescription.of(_path_of(baseline)).features
        if not taken:
            raise ConfigError(
                "The baseline cannot be compared with: it is not a model of Conveyor.",
                where="name",
                expected="a pipeline whose blessed models are all Conveyor's",
                seen=baseline.uri,
                fix="Another pipeline of this name has blessed it, in the same metadata store. Take another: --set name=NAME",
            )
        if missing := [name for name in unread if name in taken]:
            raise ConfigError(
                "The baseline cannot be compared with: it takes columns that this run does not read.",
                where="features",
                expected=f"the columns of {baseline.uri}",
                seen=f"kind: ignore for {', '.join(missing)}",
                fix=f"Read them for the comparison: --set data.keep='{json.dumps(missing, ensure_ascii=False)}'. "
                "Once a model without them is blessed, it is the baseline.",
            )


def _unjudgeable(reason: UnsupportedError) -> NodeError:
    return NodeError(
        "Gaps between slices cannot be judged.",
        where="evaluation.max_gaps",
        expected="models and data that the evaluation in bulk takes",
        seen=str(reason),
        fix="Change the data or the model, or remove evaluation.max_gaps: TFX's own Evaluator is then used.",
    )


def _by_decisions(input_dict: Artifacts, exec_properties: dict[str, Any]) -> dict[str, Any]:
    """The EvalConfig as an execution property, with the metrics of each model's labels; nothing where all decide as usual."""
    key = standard_component_specs.EVAL_CONFIG_KEY
    if not exec_properties.get(key) or not input_dict.get(standard_component_specs.MODEL_KEY):
        return {}
    eval_config = _complete(input_dict, exec_properties)
    paths = {spec.name: _model_path(spec, input_dict) for spec in eval_config.model_specs}
    thresholds = {name: threshold_of(path) for name, path in paths.items()}
    weighed = [name for name, path in paths.items() if is_weighed(path)]
    decided = eval_config if set(thresholds.values()) == {DEFAULT} else at_thresholds(eval_config, thresholds)
    if weighed:
        decided = by_weighed(decided, weighed)
    return {} if decided is eval_config else {key: proto_utils.proto_to_json(decided)}


def _eval_config(input_dict: Artifacts, exec_properties: dict[str, Any]) -> config_pb2.EvalConfig:
    for key in (standard_component_specs.MODULE_FILE_KEY, standard_component_specs.MODULE_PATH_KEY):
        if exec_properties.get(key):
            raise UnsupportedError("a module may load models or extract features in its own way")
    if not exec_properties.get(standard_component_specs.EVAL_CONFIG_KEY):
        raise UnsupportedError("there is no EvalConfig")
    if not input_dict.get(standard_component_specs.MODEL_KEY):
        raise UnsupportedError("there is no model")
    eval_config = _complete(input_dict, exec_properties)
    tfma.utils.verify_eval_config(eval_config)
    return eval_config


def _complete(input_dict: Artifacts, exec_properties: dict[str, Any]) -> config_pb2.EvalConfig:
    eval_config = config_pb2.EvalConfig()
    proto_utils.json_to_proto(exec_properties[standard_component_specs.EVAL_CONFIG_KEY], eval_config)
    # TFX always rubber-stamps: without a baseline, change thresholds are left out.
    return tfma.utils.update_eval_config_with_defaults(
        eval_config, has_baseline=bool(input_dict.get(standard_component_specs.BASELINE_MODEL_KEY)), rubber_stamp=True
    )


def _model_path(spec: config_pb2.ModelSpec, input_dict: Artifacts) -> str:
    key = standard_component_specs.BASELINE_MODEL_KEY if spec.is_baseline else standard_component_specs.MODEL_KEY
    return str(_path_of(artifact_utils.get_single_instance(input_dict[key])))


def _path_of(model: Artifact) -> Path:
    return Path(path_utils.serving_model_path(model.uri, path_utils.is_old_model_artifact(model)))


def _example_files(input_dict: Artifacts, exec_properties: dict[str, Any]) -> list[str]:
    splits = json_utils.loads(exec_properties.get(standard_component_specs.EXAMPLE_SPLITS_KEY) or "null") or ["eval"]
    examples = input_dict[standard_component_specs.EXAMPLES_KEY]
    return [file for split in splits for artifact in examples for file in split_files(artifact, split)]


def _bless(blessed: bool, input_dict: Artifacts, output_dict: Artifacts, exec_properties: dict[str, Any]) -> None:
    blessing = artifact_utils.get_single_instance(output_dict[standard_component_specs.BLESSING_KEY])
    (model,) = input_dict[standard_component_specs.MODEL_KEY]
    blessing.set_string_custom_property(constants.ARTIFACT_PROPERTY_CURRENT_MODEL_URI_KEY, model.uri)
    blessing.set_int_custom_property(constants.ARTIFACT_PROPERTY_CURRENT_MODEL_ID_KEY, model.id)
    for baseline in input_dict.get(standard_component_specs.BASELINE_MODEL_KEY) or []:
        blessing.set_string_custom_property(constants.ARTIFACT_PROPERTY_BASELINE_MODEL_URI_KEY, baseline.uri)
        blessing.set_int_custom_property(constants.ARTIFACT_PROPERTY_BASELINE_MODEL_ID_KEY, baseline.id)
    if "current_component_id" in exec_properties:
        blessing.set_string_custom_property("component_id", exec_properties["current_component_id"])
    file_name = constants.BLESSED_FILE_NAME if blessed else constants.NOT_BLESSED_FILE_NAME
    io_utils.write_string_file(os.path.join(blessing.uri, file_name), "")
    blessing.set_int_custom_property(
        constants.ARTIFACT_PROPERTY_BLESSED_KEY, constants.BLESSED_VALUE if blessed else constants.NOT_BLESSED_VALUE
    )
