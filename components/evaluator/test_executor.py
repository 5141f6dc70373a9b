"""The evaluation in bulk: when it is used, how it treats labels, and its errors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
import tensorflow_model_analysis as tfma
from google.protobuf import json_format
from tensorflow_model_analysis.proto import config_pb2
from tfx.dsl.components.base.base_executor import BaseExecutor
from tfx.types import artifact_utils, channel_utils, standard_artifacts
from tfx.types import standard_component_specs as keys

from components.evaluator import FastEvaluator, eval_config, gate_of
from components.evaluator.executor import GATE_KEY, Executor
from components.evaluator.gate import Gate
from components.evaluator.rows import Comparison, Models
from components.shared.fast_executor import FORCE_KEY
from pipeline.config import PipelineConfig
from pipeline.contracts.judgement import FILE_NAME, Judgement
from pipeline.contracts.model_description import DESCRIPTION_PATH, ModelDescription
from pipeline.errors import ConfigError, DataError, NodeError
from pipeline.util.notes import take_notes


class _Model(tf.Module):
    """Scores a row by its column `x`; knows the labels "no" and "yes" if they are text."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def serve(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"score": tf.io.parse_example(examples, {"x": tf.io.FixedLenFeature([1], tf.float32)})["x"]}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def indices(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        labels = tf.io.parse_example(examples, {"y": tf.io.FixedLenFeature([1], tf.string, "")})["y"]
        return {"y": tf.cast(labels == "yes", tf.int64) - tf.cast((labels != "yes") & (labels != "no"), tf.int64)}


def _run(
    folder: Path,
    labels: Sequence[int | bytes | None],
    config: config_pb2.EvalConfig | None = None,
    gate: Gate | None = None,
    values: int | None = None,
) -> Path:
    """Evaluates rows whose score grows with their number, in so many steps, and returns the folder of the results."""
    values = values or len(labels)
    split = folder / "examples" / "Split-eval"
    split.mkdir(parents=True)
    with tf.io.TFRecordWriter(str(split / "rows")) as file:
        for i, label in enumerate(labels):
            file.write(_example(x=i * values // len(labels) / values, y=label).SerializeToString())
    model = _Model()
    signatures = {"serving_default": model.serve}
    if any(isinstance(label, bytes) for label in labels):
        signatures["transformed_labels"] = model.indices
    tf.saved_model.save(model, str(folder / "model" / "Format-Serving"), signatures=signatures)
    inputs = {keys.EXAMPLES_KEY: _artifact(standard_artifacts.Examples, folder / "examples")}
    inputs[keys.MODEL_KEY] = _artifact(standard_artifacts.Model, folder / "model")
    inputs[keys.EXAMPLES_KEY][0].split_names = artifact_utils.encode_split_names(["eval"])
    outputs = {
        keys.EVALUATION_KEY: _artifact(standard_artifacts.ModelEvaluation, folder / "evaluation"),
        keys.BLESSING_KEY: _artifact(standard_artifacts.ModelBlessing, folder / "blessing"),
    }
    properties = {keys.EVAL_CONFIG_KEY: json_format.MessageToJson(config or _config()), FORCE_KEY: "fast"}
    properties[GATE_KEY] = gate.to_json() if gate else ""
    Executor().Do(inputs, outputs, properties)
    return folder / "evaluation"


def _artifact(kind: type, folder: Path) -> list[Any]:
    artifact = kind()
    artifact.uri = str(folder)
    return [artifact]


def _example(**values: float | bytes | None) -> tf.train.Example:
    example = tf.train.Example()
    for name, value in values.items():
        if isinstance(value, bytes):
            example.features.feature[name].bytes_list.value.append(value)
        elif isinstance(value, int):
            example.features.feature[name].int64_list.value.append(value)
        elif value is not None:
            example.features.feature[name].float_list.value.append(value)
    return example


def _config() -> config_pb2.EvalConfig:
    return eval_config(PipelineConfig.model_validate({"name": "rows", "label": "y", "data": {"input": "rows.csv"}}))


def _metrics(folder: Path) -> dict[str, float]:
    (_, metrics), *_ = tfma.load_eval_result(str(folder)).slicing_metrics
    # NaN is the text "NaN" here.
    return {name: float(value["doubleValue"]) for name, value in metrics[""][""].items() if "doubleValue" in value}


def test_rows_without_a_label_are_left_out(tmp_path: Path) -> None:
    metrics = _metrics(_run(tmp_path, [0, None, 0, 1, None, 1]))
    assert (metrics["example_count"], metrics["mean_label"], metrics["auc"]) == (4, 0.5, 1)


def test_text_labels_are_the_indices_that_the_model_gives_them(tmp_path: Path) -> None:
    metrics = _metrics(_run(tmp_path, [b"no", None, b"yes", b"yes", b"no", b"yes"]))
    assert (metrics["example_count"], metrics["mean_label"]) == (5, 0.6)


@pytest.mark.parametrize("label", [0, 1])
def test_where_all_rows_are_of_one_class_a_ranking_is_not_a_number_and_blesses_nothing(tmp_path: Path, label: int) -> None:
    folder = _run(tmp_path, [label] * 20)
    metrics = _metrics(folder)
    assert math.isnan(metrics["auc"])
    assert math.isnan(metrics["auc_precision_recall"])
    assert math.isnan(metrics["recall"]) == (label == 0)
    assert not math.isnan(metrics["accuracy"])
    assert not tfma.load_validation_result(str(folder)).validation_ok
    assert (tmp_path / "blessing" / "NOT_BLESSED").exists()


@pytest.mark.parametrize(("labels", "is_better"), [([0] * 20 + [1] * 20, True), ([0, 1] * 20, False)])
def test_only_a_model_that_is_better_than_always_saying_the_same_passes_the_gate(
    tmp_path: Path, labels: list[int], is_better: bool
) -> None:
    gate = Gate("auc", needs_constant=True, allows_standard_error=True, min_slice_rows=1, confidence=0.95)
    folder = _run(tmp_path, labels, gate=gate)
    constant = Judgement.from_json((folder / FILE_NAME).read_text()).constant

    assert constant is not None
    assert constant.candidate == _metrics(folder)["auc"]
    assert constant.holds == is_better
    validation = tfma.load_validation_result(str(folder))
    assert validation.validation_ok == is_better
    failures = [each for overall in validation.metric_validations_per_slice for each in overall.failures]
    assert [each.metric_threshold.value_threshold.lower_bound.value for each in failures] == ([] if is_better else [0.5])
    assert (tmp_path / "blessing" / ("BLESSED" if is_better else "NOT_BLESSED")).exists()


@pytest.mark.parametrize("min_rows", [10, 11])
def test_a_threshold_by_slice_is_for_slices_with_enough_rows(tmp_path: Path, min_rows: int) -> None:
    # Ten rows each have the score 0, 0.25, 0.5 and 0.75; those with 0.5 are positive, and not called so.
    thresholds = {"x": {"accuracy": {"min": 0.9}}}
    config = eval_config(
        PipelineConfig.model_validate(
            {"name": "rows", "label": "y", "data": {"input": "rows.csv"}, "evaluation": {"slice_thresholds": thresholds}}
        )
    )
    gate = Gate("auc", needs_constant=False, allows_standard_error=True, min_slice_rows=min_rows, confidence=0.95)
    validation = tfma.load_validation_result(str(_run(tmp_path, [0] * 20 + [1] * 20, config, gate, values=4)))
    slices = [each.slice_key.single_slice_keys[0].float_value for each in validation.metric_validations_per_slice]
    assert slices == ([0.5] if min_rows == 10 else [])
    assert (tmp_path / "blessing" / ("NOT_BLESSED" if slices else "BLESSED")).exists()


def test_rows_count_as_much_as_their_weight_says_but_their_number_is_that_of_rows(tmp_path: Path) -> None:
    config = eval_config(
        PipelineConfig.model_validate(
            {"name": "rows", "label": "y", "data": {"input": "rows.csv"}, "evaluation": {"weight": "x"}}
        )
    )
    # The weights are 0, 0.25, 0.5 and 0.75, and so are the scores.
    gate = Gate("auc", needs_constant=False, allows_standard_error=True, min_slice_rows=1, confidence=0.95)
    metrics = _metrics(_run(tmp_path, [1, 0, 0, 1], config, gate))
    assert metrics["example_count"] == 4
    assert metrics["mean_label"] == 0.5
    assert metrics["mean_prediction"] == pytest.approx((0.25**2 + 0.5**2 + 0.75**2) / 1.5)
    assert metrics["accuracy"] == 1.0
    constant = Judgement.from_json((tmp_path / "evaluation" / FILE_NAME).read_text()).constant
    assert constant is not None
    assert constant.candidate == metrics["auc"]


def test_a_column_that_some_rows_lack_cannot_weigh_them(tmp_path: Path) -> None:
    config = _config()
    config.model_specs[0].example_weight_key = "z"
    with pytest.raises(DataError, match="cannot weigh rows") as caught:
        _run(tmp_path, [0, 1], config)
    assert caught.value.seen == "2 of 2 rows without a weight"


def test_a_column_that_is_0_in_every_row_cannot_weigh_them(tmp_path: Path) -> None:
    config = _config()
    config.model_specs[0].example_weight_key = "x"
    with pytest.raises(DataError, match="cannot weigh rows") as caught:
        _run(tmp_path, [0, 1], config, values=1)
    assert caught.value.seen == "0 in every row with a label"


def test_a_model_that_tfx_judges_without_the_gate_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    class Judging(BaseExecutor):
        """Stands for TFX's own executor."""

        def Do(self, input_dict: Any, output_dict: Any, exec_properties: dict[str, Any]) -> None:
            pass

    monkeypatch.setattr(Executor, "STOCK", Judging)
    gate = Gate("auc", needs_constant=True, allows_standard_error=True, min_slice_rows=1, confidence=0.95)
    for text in ("", gate.to_json()):
        take_notes()
        Executor().Do({}, {}, {GATE_KEY: text})
        notes = take_notes()
    assert len(notes) == 1
    assert "by its thresholds alone" in notes[0]


def test_gaps_are_not_left_to_tfx_which_does_not_judge_them(tmp_path: Path) -> None:
    config = _config()
    config.model_specs[0].prediction_key = "other"
    limits = {"x": {"recall": 0.1}}
    gate = Gate("auc", needs_constant=False, allows_standard_error=True, min_slice_rows=1, confidence=0.95, max_gaps=limits)
    with pytest.raises(NodeError, match="Gaps between slices cannot be judged") as caught:
        _run(tmp_path, [0, 1], config, gate)
    assert "no output 'other'" in caught.value.seen


def test_a_gap_between_slices_that_is_too_large_refuses(tmp_path: Path) -> None:
    # Rows with a score above 0.5 are called positive, others are not: as different as two slices can be.
    evaluation = {"max_gaps": {"x": {"selection_rate": 0.1}}, "min_slice_rows": 10}
    config = PipelineConfig.model_validate(
        {"name": "rows", "label": "y", "data": {"input": "rows.csv"}, "evaluation": evaluation}
    )
    folder = _run(tmp_path, [0] * 20 + [1] * 20, eval_config(config), gate_of(config), values=4)
    (gap,) = Judgement.from_json((folder / FILE_NAME).read_text()).gaps
    assert (gap.low, gap.high, gap.high_value) == (0, 1, "0.75")
    assert (tmp_path / "blessing" / "NOT_BLESSED").exists()


@pytest.mark.parametrize("unread", [["x"], ["z", "x"]])
def test_a_baseline_that_takes_what_is_not_read_is_no_opponent(tmp_path: Path, unread: list[str]) -> None:
    description = tmp_path / "baseline" / "Format-Serving" / DESCRIPTION_PATH
    description.parent.mkdir(parents=True)
    description.write_text(ModelDescription(features={"x": "float", "y": "int"}).to_json())
    inputs = {keys.BASELINE_MODEL_KEY: _artifact(standard_artifacts.Model, tmp_path / "baseline")}
    gate = Gate("auc", needs_constant=True, allows_standard_error=True, min_slice_rows=1, confidence=0.95, unread=unread)
    with pytest.raises(ConfigError, match="takes columns that this run does not read") as caught:
        Executor().Do(inputs, {}, {GATE_KEY: gate.to_json()})
    assert caught.value.seen == "kind: ignore for x"
    assert "--set data.keep='[\"x\"]'" in caught.value.fix


def test_a_baseline_of_another_trainer_is_no_opponent(tmp_path: Path) -> None:
    inputs = {keys.BASELINE_MODEL_KEY: _artifact(standard_artifacts.Model, tmp_path)}
    gate = Gate("auc", needs_constant=True, allows_standard_error=True, min_slice_rows=1, confidence=0.95)
    with pytest.raises(ConfigError, match="is not a model of Conveyor") as caught:
        Executor().Do(inputs, {}, {GATE_KEY: gate.to_json()})
    assert caught.value.seen == str(tmp_path)
    assert "--set name=NAME" in caught.value.fix


def test_without_any_label_there_is_nothing_to_evaluate(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No row has a label") as caught:
        _run(tmp_path, [None, None])
    assert caught.value.seen == "none in 2 rows"


def test_a_label_that_the_model_does_not_know_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not know") as caught:
        _run(tmp_path, [b"no", b"perhaps"])
    assert caught.value.seen == "'perhaps'"


def test_a_model_that_was_trained_on_another_type_of_a_column_is_named(tmp_path: Path) -> None:
    tf.saved_model.save(_Model(), str(tmp_path), signatures={"serving_default": _Model().serve})
    models = Models([Comparison(str(tmp_path), "serving_default", "score", "y")])
    with pytest.raises(DataError, match="another type") as caught:
        models.predict(tf.constant([_example(x=b"far").SerializeToString()]))
    assert caught.value.seen == "x is string, and was float in the model's training"
    assert caught.value.where == str(tmp_path)


def test_without_rows_no_model_is_blessed(tmp_path: Path) -> None:
    validation = tfma.load_validation_result(str(_run(tmp_path, [])))
    assert not validation.validation_ok
    assert (tmp_path / "blessing" / "NOT_BLESSED").exists()


def test_without_thresholds_no_model_is_blessed(tmp_path: Path) -> None:
    config = _config()
    for metric in config.metrics_specs[0].metrics:
        del metric.per_slice_thresholds[:]
    _run(tmp_path, [0, 1], config)
    assert not (tmp_path / "blessing").exists()


def _with_confidence_intervals(config: config_pb2.EvalConfig) -> None:
    config.options.compute_confidence_intervals.value = True


def _with_one_value_of_a_slice(config: config_pb2.EvalConfig) -> None:
    config.slicing_specs.add(feature_values={"x": "1"})


def _with_compared_slices(config: config_pb2.EvalConfig) -> None:
    config.cross_slicing_specs.add(baseline_spec=config_pb2.SlicingSpec())


def _with_default_metrics(config: config_pb2.EvalConfig) -> None:
    config.options.ClearField("include_default_metrics")


def _with_classes_apart(config: config_pb2.EvalConfig) -> None:
    config.metrics_specs[0].binarize.class_ids.values.append(1)


def _with_another_signature(config: config_pb2.EvalConfig) -> None:
    config.model_specs[0].signature_name = "other"


def _with_another_output(config: config_pb2.EvalConfig) -> None:
    config.model_specs[0].prediction_key = "other"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_with_confidence_intervals, "confidence intervals"),
        (_with_one_value_of_a_slice, "feature keys alone"),
        (_with_compared_slices, "compared with each other"),
        (_with_default_metrics, "compiled with"),
        (_with_classes_apart, "binarize"),
        (_with_another_signature, "no signature 'other'"),
        (_with_another_output, "no output 'other'"),
    ],
)
def test_what_needs_tfma_is_named_when_it_is_forced_to_be_fast(tmp_path: Path, change: Any, reason: str) -> None:
    config = _config()
    change(config)
    with pytest.raises(NodeError) as caught:
        _run(tmp_path, [0, 1], config)
    assert reason in caught.value.seen
    assert not (tmp_path / "evaluation").exists()


def test_the_component_is_tfxs_with_one_more_property() -> None:
    component = FastEvaluator(
        examples=channel_utils.as_channel([standard_artifacts.Examples()]),
        model=channel_utils.as_channel([standard_artifacts.Model()]),
        eval_config=_config(),
        force="stock",
    )
    assert component.exec_properties[FORCE_KEY] == "stock"
    assert component.executor_spec.executor_class is Executor
    assert set(component.outputs) == {"evaluation", "blessing"}
