"""The fast evaluation against TFX's own, on the same models and data that are made to be nasty."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_model_analysis as tfma
from google.protobuf import json_format, text_format
from google.protobuf.message import Message
from tensorflow_model_analysis.proto import config_pb2
from tensorflow_model_analysis.writers import metrics_plots_and_validations_writer as writer
from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor
from tfx.types import artifact_utils, standard_artifacts
from tfx.types import standard_component_specs as keys

from components.evaluator import eval_config
from components.evaluator.executor import Executor
from components.shared.fast_executor import FORCE_KEY
from pipeline.config import PipelineConfig
from pipeline.contracts.model_description import DESCRIPTION_PATH, ModelDescription

ROWS = 700
# With an image named, TFX does not package its own sources for workers elsewhere, which the in-memory runner does not have.
BEAM_ARGUMENTS = ["--runner=apache_beam.runners.portability.fn_api_runner.FnApiRunner", "--sdk_container_image=unused"]
TOLERANCE = 1e-6
RANKINGS = ("auc", "auc_precision_recall")
# Slices by text, by integers, by floats, by two columns, and by a column that no row has.
SLICES = [["city"], ["year"], ["weight"], ["city", "year"], ["absent"]]
CITIES = [b"Z\xc3\xbcrich", b"\xe6\x9d\xb1\xe4\xba\xac", b"", b"New York", b"a,b:c", None]
YEARS = [2013, -1, 2**53 + 1, None]
WEIGHTS = [0.1, -0.0, 1e30, None]


class _Model(tf.Module):
    """Predicts from `x` alone; the outputs follow the task. `shift` makes one model better or worse than another."""

    def __init__(self, outputs: Callable[[tf.Tensor], dict[str, tf.Tensor]], shift: float) -> None:
        super().__init__()
        self.shift = tf.Variable(shift, dtype=tf.float32)
        self._outputs = outputs

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def serve(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        features = tf.io.parse_example(examples, {"x": tf.io.FixedLenFeature([1], tf.float32, 0.0)})
        return self._outputs(features["x"] + self.shift)


def _binary(x: tf.Tensor) -> dict[str, tf.Tensor]:
    # Rounded, so that some scores fall on thresholds and on the borders of buckets, and some are exactly 0 and 1.
    score = tf.clip_by_value(tf.round(tf.sigmoid(x) * 64) / 64 + 0.01 * tf.nn.relu(x - 1), 0, 1)
    return {"score": score, "probabilities": tf.concat([1 - score, score], 1), "labels": tf.cast(score[:, 0] > 0.5, tf.int64)}


def _multiclass(x: tf.Tensor) -> dict[str, tf.Tensor]:
    probabilities = tf.nn.softmax(tf.concat([x, tf.sin(3 * x), -x, 0 * x], 1))
    return {"probabilities": probabilities, "labels": tf.argmax(probabilities, 1)}


def _regression(x: tf.Tensor) -> dict[str, tf.Tensor]:
    return {"predictions": 1000 * x}


OUTPUTS = {"binary_classification": _binary, "multiclass_classification": _multiclass, "regression": _regression}


def _labels(task: str, x: np.ndarray, noise: np.ndarray) -> np.ndarray:
    if task == "binary_classification":
        return (x + noise > 0).astype(np.int64)
    if task == "multiclass_classification":
        return np.digitize(x + noise, [-1, 0, 1]).astype(np.int64)
    return (1000 * (x + noise)).astype(np.float32)


# Class names, in their order.
CLASSES = ["calm", "middling", "stürmisch", "wild"]


def _save_model(
    folder: Path, outputs: Callable[[tf.Tensor], dict[str, tf.Tensor]], shift: float, has_text_labels: bool
) -> Path:
    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def class_indices(examples: tf.Tensor) -> dict[str, tf.Tensor]:
        labels = tf.io.parse_example(examples, {"y": tf.io.FixedLenFeature([1], tf.string)})["y"]
        return {"y": tf.argmax(tf.cast(labels == tf.constant(CLASSES), tf.int64), axis=1)[:, tf.newaxis]}

    model = _Model(outputs, shift)
    signatures = {"serving_default": model.serve, **({"transformed_labels": class_indices} if has_text_labels else {})}
    tf.saved_model.save(model, str(folder / "Format-Serving"), signatures=signatures)
    return folder


def _feature(value: bytes | int | float | None) -> tf.train.Feature:
    if value is None:
        return tf.train.Feature()
    if isinstance(value, bytes):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
    if isinstance(value, (int, np.integer)):
        return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))
    return tf.train.Feature(float_list=tf.train.FloatList(value=[value]))


def _write_examples(folder: Path, task: str, has_text_labels: bool) -> Path:
    random = np.random.default_rng(7)
    x, noise = random.normal(0, 1.5, ROWS), random.normal(0, 1, ROWS)
    labels = _labels(task, x, noise)
    columns: dict[str, list[Any]] = {
        "x": x.tolist(),
        "y": [CLASSES[label].encode() for label in labels] if has_text_labels else list(labels),
        "city": [CITIES[i] for i in random.integers(0, len(CITIES), ROWS)],
        "year": [YEARS[i] for i in random.integers(0, len(YEARS), ROWS)],
        "weight": [WEIGHTS[i] for i in random.integers(0, len(WEIGHTS), ROWS)],
        "times": random.choice([0.0, 0.5, 1.0, 3.0], ROWS).tolist(),
    }
    # One row in a slice of its own, and in a third shard none at all.
    columns["city"][0] = b"alone"
    split = folder / "Split-eval"
    split.mkdir(parents=True)
    shards = [range(ROWS // 2), range(ROWS // 2, ROWS), range(0)]
    for shard, rows in enumerate(shards):
        with tf.io.TFRecordWriter(str(split / f"data_tfrecord-{shard:05}-of-00003.gz"), "GZIP") as file:
            for row in rows:
                feature = {name: _feature(values[row]) for name, values in columns.items()}
                if row % 2 and columns["city"][row] is None:
                    del feature["city"]
                file.write(tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString())
    return folder


@dataclass
class Results:
    """What an executor left behind."""

    folder: Path
    blessing: standard_artifacts.ModelBlessing

    def of(self, kind: str) -> dict[str, Message]:
        load = getattr(writer, f"load_and_deserialize_{kind}")
        results = list(load(str(self.folder)))
        by_slice = {text_format.MessageToString(result.slice_key): result for result in results}
        assert len(by_slice) == len(results)
        return by_slice


@dataclass
class World:
    """The examples and models of a task."""

    folder: Path
    task: str
    has_text_labels: bool
    runs: int = 0

    def __post_init__(self) -> None:
        self.examples = _write_examples(self.folder / "examples", self.task, self.has_text_labels)
        outputs = OUTPUTS[self.task]
        self.candidate = _save_model(self.folder / "candidate", outputs, 0.0, self.has_text_labels)
        self.other = _save_model(self.folder / "other", outputs, 0.7, self.has_text_labels)
        # A model that has learnt nothing says the same of every row.
        self.constant = _save_model(self.folder / "constant", lambda x: outputs(0 * x - 0.9), 0.0, self.has_text_labels)

    def run(
        self, config: config_pb2.EvalConfig, force: str, baseline: Path | None = None, model: Path | None = None
    ) -> Results:
        self.runs += 1
        folder = self.folder / str(self.runs)
        examples = standard_artifacts.Examples()
        examples.uri = str(self.examples)
        examples.split_names = artifact_utils.encode_split_names(["eval"])
        inputs = {keys.EXAMPLES_KEY: [examples], keys.MODEL_KEY: [_model(model or self.candidate)]}
        if baseline:
            inputs[keys.BASELINE_MODEL_KEY] = [_model(baseline)]
        results = Results(folder / "evaluation", standard_artifacts.ModelBlessing())
        evaluation = standard_artifacts.ModelEvaluation()
        evaluation.uri = str(results.folder)
        results.blessing.uri = str(folder / "blessing")
        context = BaseBeamExecutor.Context(beam_pipeline_args=BEAM_ARGUMENTS, tmp_dir=str(folder / "tmp"), unique_id="1")
        Executor(context).Do(
            inputs,
            {keys.EVALUATION_KEY: [evaluation], keys.BLESSING_KEY: [results.blessing]},
            {keys.EVAL_CONFIG_KEY: json_format.MessageToJson(config), keys.EXAMPLE_SPLITS_KEY: '["eval"]', FORCE_KEY: force},
        )
        return results


def _model(folder: Path) -> standard_artifacts.Model:
    model = standard_artifacts.Model()
    model.uri = str(folder)
    return model


@pytest.fixture(
    scope="module",
    params=[(task, False) for task in OUTPUTS] + [("multiclass_classification", True)],
    ids=[*OUTPUTS, "text_labels"],
)
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> World:
    task, has_text_labels = request.param
    return World(tmp_path_factory.mktemp(task), task, has_text_labels)


def _config(task: str, **evaluation: Any) -> config_pb2.EvalConfig:
    return eval_config(
        PipelineConfig.model_validate(
            {
                "name": "cities",
                "task": task,
                "label": "y",
                "data": {"input": "cities.csv"},
                "evaluation": {"slices": SLICES, **evaluation},
            }
        )
    )


def assert_equal(fast: Any, stock: Any, path: str, scale: float = 1.0) -> None:
    """Compares parsed protobuf messages: numbers to 1e-6 of the larger, or of `scale`, all else exactly."""
    if isinstance(stock, dict):
        assert fast.keys() == stock.keys(), path
        for key in stock:
            assert_equal(fast[key], stock[key], f"{path}.{key}", scale)
    elif isinstance(stock, list):
        assert len(fast) == len(stock), path
        for i, (mine, theirs) in enumerate(zip(fast, stock, strict=True)):
            assert_equal(mine, theirs, f"{path}[{i}]", scale)
    elif isinstance(stock, float):
        assert fast == pytest.approx(stock, rel=TOLERANCE, abs=TOLERANCE * scale, nan_ok=True), path
    else:
        assert fast == stock, path


def assert_same_metrics(fast: dict[str, Any], stock: dict[str, Any], path: str) -> None:
    mine, theirs = (
        {(m["key"]["name"], m["key"]["modelName"], m["key"]["isDiff"]): m for m in metrics.pop("metricKeysAndValues")}
        for metrics in (fast, stock)
    )
    assert mine.keys() == theirs.keys(), path
    for key, metric in theirs.items():
        name, model, is_diff = key
        if name in RANKINGS and theirs["mean_label", model, False]["value"]["doubleValue"] in (0.0, 1.0):
            # TFMA integrates over an empty curve to 0 or 1; of one class there is nothing to rank.
            assert mine[key]["value"]["doubleValue"] == "NaN", f"{path}: {key}"
            continue
        # A difference is as exact as the numbers that it is the difference of.
        scale = abs(float(theirs[name, model, False]["value"].get("doubleValue", ROWS))) if is_diff else 1.0
        assert_equal(mine[key], metric, f"{path}: {key}", max(1.0, scale))
    assert_equal(fast, stock, path)


def _as_dict(message: Message) -> dict[str, Any]:
    return json_format.MessageToDict(message, always_print_fields_with_no_presence=True)


def assert_same_results(fast: Results, stock: Results) -> None:
    for kind in ("metrics", "plots", "attributions"):
        mine, theirs = fast.of(kind), stock.of(kind)
        assert mine.keys() == theirs.keys()
        for slice_key, message in theirs.items():
            compare = assert_same_metrics if kind == "metrics" else assert_equal
            compare(_as_dict(mine[slice_key]), _as_dict(message), f"{kind} of {slice_key or 'all rows'}")
    assert_equal(_validation(fast), _validation(stock), "validation")
    mine, theirs = (tfma.load_eval_result(str(results.folder), model_name=_model_name(results)) for results in (fast, stock))
    assert (mine.config, len(mine.slicing_metrics)) == (theirs.config, len(theirs.slicing_metrics))
    assert sorted(path.name for path in fast.folder.iterdir()) == sorted(path.name for path in stock.folder.iterdir())
    assert _blessing(fast) == _blessing(stock)


def _validation(results: Results) -> dict[str, Any]:
    validation = _as_dict(tfma.load_validation_result(str(results.folder)))
    # Beam merges slices in no particular order.
    validation["metricValidationsPerSlice"].sort(key=lambda failures: str(failures["sliceKey"]))
    validation["validationDetails"]["slicingDetails"].sort(key=str)
    return validation


def _model_name(results: Results) -> str | None:
    (run,) = results.folder.glob("eval_config.json")
    names = [spec.name for spec in json_format.Parse(run.read_text(), config_pb2.EvalRun()).eval_config.model_specs]
    return names[0] if len(names) > 1 else None


def _blessing(results: Results) -> tuple[Any, ...]:
    folder = Path(results.blessing.uri)
    files = sorted(path.name for path in folder.iterdir()) if folder.exists() else []
    return files, results.blessing.mlmd_artifact.custom_properties["blessed"].int_value


# By task: a metric that has thresholds, with bounds that hold.
BOUNDS = {
    "binary_classification": ("auc", {"min": 0.6}),
    "multiclass_classification": ("accuracy", {"min": 0.05}),
    "regression": ("rmse", {"max": 1e4}),
}


def test_a_first_run_has_the_same_results_and_blessing(world: World) -> None:
    metric, bound = BOUNDS[world.task]
    config = _config(world.task, thresholds={metric: {**bound, "max_regression": 0.01}})
    fast, stock = world.run(config, "fast"), world.run(config, "stock")
    assert_same_results(fast, stock)
    assert _blessing(fast) == (["BLESSED"], 1)


def test_a_model_that_says_the_same_of_every_row_has_the_same_results(world: World) -> None:
    config = _config(world.task)
    assert_same_results(world.run(config, "fast", model=world.constant), world.run(config, "stock", model=world.constant))


def test_against_a_baseline_and_with_weights_the_differences_and_the_verdict_are_the_same(world: World) -> None:
    metric, bound = BOUNDS[world.task]
    config = _config(world.task, weight="times", thresholds={metric: {**bound, "max_regression": 1e9}})
    fast, stock = (world.run(config, force, baseline=world.other) for force in ("fast", "stock"))
    assert_same_results(fast, stock)
    assert _blessing(fast) == (["BLESSED"], 1)


def test_failed_thresholds_missing_and_small_slices_are_the_same(world: World) -> None:
    config = _config(world.task)
    config.options.min_slice_size.value = 60
    metric = next(metric for metric in config.metrics_specs[0].metrics if metric.per_slice_thresholds)
    # Without a slice, a threshold is for each of them; and no row is in a slice of the column "nowhere".
    metric.threshold.CopyFrom(metric.per_slice_thresholds[0].threshold)
    metric.threshold.change_threshold.relative.value = 0.02
    metric.per_slice_thresholds[0].slicing_specs[0].feature_keys.append("nowhere")
    fast, stock = (world.run(config, force, baseline=world.other) for force in ("fast", "stock"))
    assert_same_results(fast, stock)
    validation = tfma.load_validation_result(str(fast.folder))
    assert validation.missing_slices
    assert validation.metric_validations_per_slice
    assert _blessing(fast) == (["NOT_BLESSED"], 0)


def test_a_model_is_no_worse_than_itself_and_measured_the_same_each_time(world: World) -> None:
    first, second = (world.run(_config(world.task), "fast", baseline=world.candidate) for _ in range(2))
    assert _blessing(first) == (["BLESSED"], 1)
    for file in first.folder.iterdir():
        assert file.read_bytes() == (second.folder / file.name).read_bytes()


@pytest.mark.parametrize("world", [("binary_classification", False)], indirect=True)
def test_metrics_at_the_threshold_of_each_model_are_the_same(world: World, tmp_path: Path) -> None:
    candidate = tmp_path / "candidate"
    shutil.copytree(world.candidate, candidate)
    description = candidate / "Format-Serving" / DESCRIPTION_PATH
    description.parent.mkdir(exist_ok=True)
    description.write_text(ModelDescription(threshold=0.25).to_json())
    config = _config(world.task, thresholds={"recall": {"min": 0.5, "max_regression": 0.05}})
    fast, stock = (world.run(config, force, baseline=world.candidate, model=candidate) for force in ("fast", "stock"))
    assert_same_results(fast, stock)
    (overall,) = (each for key, each in fast.of("metrics").items() if not key)
    values = {(pair.key.name, pair.key.model_name, pair.key.is_diff): pair.value for pair in overall.metric_keys_and_values}
    # The same model finds more of the positives at a lower threshold.
    assert values["recall", "candidate", True].double_value.value > 0.05
    (matrix,) = values["confusion_matrix_at_thresholds", "candidate", False].confusion_matrix_at_thresholds.matrices
    assert matrix.threshold == 0.25
    found = matrix.true_positives / (matrix.true_positives + matrix.false_negatives)
    assert values["recall", "candidate", False].double_value.value == pytest.approx(found)


@pytest.mark.parametrize("world", [("regression", False)], indirect=True)
def test_a_metric_that_needs_tfma_is_measured_by_it(world: World, caplog: pytest.LogCaptureFixture) -> None:
    config = _config(world.task)
    config.metrics_specs[0].metrics.add(class_name="SquaredPearsonCorrelation")
    results = world.run(config, "auto")
    assert "'squared_pearson_correlation' is computed row by row" in caplog.text
    names = {m.key.name for m in next(iter(results.of("metrics").values())).metric_keys_and_values}
    assert "squared_pearson_correlation" in names
