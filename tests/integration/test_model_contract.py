"""From rows to a SavedModel as it is served: tf.Transform, training and export on a small synthetic table, for every task."""

from __future__ import annotations

import functools
import json
import math
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_transform as tft
import tensorflow_transform.beam as tft_beam
from tensorflow_transform.tf_metadata import dataset_metadata, metadata_io, schema_utils
from tfx.components.trainer.fn_args_utils import FnArgs

from pipeline.config import PipelineConfig
from pipeline.config.loading import load_config
from pipeline.contracts.model import digest_of
from pipeline.contracts.model_description import DESCRIPTION_PATH, ModelDescription
from pipeline.training import settings
from pipeline.training.preprocessing import preprocessing_fn
from pipeline.training.trainer import run_fn
from serving.modelserver.flags import Flags
from serving.modelserver.inference.servable import Servable, SessionOptions
from serving.modelserver.models.warmup import warm_up

NUM_ROWS = 2000
# Columns are called whatever a person called them.
LABEL = "is it late?"
SPECS = {
    # Missing in a fifth of the rows.
    "distance": tf.io.VarLenFeature(tf.float32),
    "size": tf.io.VarLenFeature(tf.float32),
    "seats": tf.io.VarLenFeature(tf.int64),
    "carrier": tf.io.VarLenFeature(tf.string),
    "plane model (%)": tf.io.VarLenFeature(tf.string),
    "departure": tf.io.VarLenFeature(tf.int64),
    "flight": tf.io.VarLenFeature(tf.int64),
}
FEATURES = {
    "departure": {"kind": "time", "parts": ["hour_of_day", "day_of_month", "day_of_year", "elapsed"]},
    "size": {"buckets": 5},
    "seats": {"kind": "categorical", "vocabulary": 3, "oov_buckets": 2},
    "flight": {"kind": "ignore"},
}
TASKS = {
    "numbers": "binary_classification",
    "words": "binary_classification",
    "classes": "multiclass_classification",
    "amounts": "regression",
}
DOCUMENT = Path(__file__).parents[2] / "docs" / "your-own-code.md"

LOAD_AS_TF_SERVING = """
import json, sys
import numpy as np
import tensorflow as tf
path, requests = sys.argv[1], json.load(open(sys.argv[2]))
assert not any(name.split(".")[0] in ("pipeline", "tensorflow_transform") for name in sys.modules)
answers = {}
with tf.compat.v1.Session(graph=tf.Graph()) as session:
    signatures = tf.compat.v1.saved_model.load(session, ["serve"], path).signature_def
    for name, inputs in requests.items():
        outputs = {key: tensor.name for key, tensor in signatures[name].outputs.items()}
        feeds = {signatures[name].inputs[key].name: values for key, values in inputs.items()}
        if name == "serving_default":
            feeds = {key: [bytes.fromhex(value) for value in values] for key, values in feeds.items()}
        answers[name] = {key: value.tolist() for key, value in session.run(outputs, feeds).items()}
json.dump(answers, sys.stdout, default=lambda value: value.decode())
"""

Row = Mapping[str, Any]


def _rows(label: str) -> list[dict[str, Any]]:
    random = np.random.default_rng(0)
    rows = []
    for _ in range(NUM_ROWS):
        row = {
            "distance": float(random.normal(1000, 200)),
            "size": float(random.exponential(5)),
            "seats": int(random.integers(1, 8)),
            "carrier": str(random.choice(["UA", "DL", "B6"])),
            "plane model (%)": f"model {random.integers(200)}",
            "departure": int(random.integers(1_300_000_000, 1_400_000_000)),
            "flight": int(random.integers(9999)),
        }
        strength = (row["distance"] - 1000) / 200 + (row["carrier"] == "UA") + random.normal(0, 0.5)
        row[LABEL] = {
            "numbers": int(strength > 0),
            "words": "yes" if strength > 0 else "no",
            "classes": "low" if strength < -0.5 else "mid" if strength < 0.5 else "top",
            "amounts": 1e6 + 1e5 * strength,
        }[label]
        rows.append({name: value for name, value in row.items() if name != "distance" or random.random() > 0.2})
    return rows


def _example(row: Row) -> tf.train.Example:
    example = tf.train.Example()
    for name, value in row.items():
        feature = example.features.feature[name]
        if isinstance(value, str):
            feature.bytes_list.value.append(value.encode())
        else:
            (feature.float_list if isinstance(value, float) else feature.int64_list).value.append(value)
    return example


def _config(label: str, **sections: Any) -> PipelineConfig:
    sections = {"features": FEATURES, "model": {"kind": "network"}, "training": {"epochs": 3, "batch_size": 128}, **sections}
    return PipelineConfig.model_validate(
        {"name": "flights", "task": TASKS[label], "label": LABEL, "data": {"input": "flights.csv"}, **sections}
    )


def _transform(config: PipelineConfig, rows: list[Row], folder: Path, specs: Mapping[str, Any] = SPECS) -> str:
    """What TFX's Transform does: analyses the rows and writes the graph."""
    label_type = {int: tf.int64, float: tf.float32, str: tf.string}[type(rows[0][LABEL])]
    schema = schema_utils.schema_from_feature_spec({**specs, LABEL: tf.io.VarLenFeature(label_type)})
    instances = [{name: [row[name]] if name in row else [] for name in (*specs, LABEL)} for row in rows]
    fn = functools.partial(preprocessing_fn, custom_config=settings.for_transform(config).to_custom_config())
    raw_metadata = dataset_metadata.DatasetMetadata(schema)
    with tft_beam.Context(temp_dir=str(folder / "temporary")):
        dataset = (instances, raw_metadata)
        transform_fn = dataset | tft_beam.AnalyzeDataset(fn)
        transform_fn | tft_beam.WriteTransformFn(str(folder / "graph"))
    metadata_io.write_metadata(raw_metadata, str(folder / "graph" / tft.TFTransformOutput.RAW_METADATA_DIR))
    return str(folder / "graph")


@dataclass(frozen=True)
class Trained:
    """A model and what it was made of."""

    rows: list[Row]
    graph: str
    model: str
    model_run: Path

    def signature(self, name: str) -> Any:
        return tf.saved_model.load(self.model).signatures[name]

    def predict(self, rows: Sequence[Row]) -> dict[str, Any]:
        examples = tf.constant([_example(row).SerializeToString() for row in rows])
        outputs = self.signature("serving_default")(examples=examples)
        return {name: values.numpy() for name, values in outputs.items()}


def _train(config: PipelineConfig, rows: list[Row], graph: str, folder: Path) -> Trained:
    """What TFX's Trainer does, on rows in two files, one of them compressed."""
    (folder / "model_run").mkdir(parents=True)
    half = len(rows) // 2
    for name, part in {"examples-0": rows[:half], "examples-1.gz": rows[half:]}.items():
        with tf.io.TFRecordWriter(str(folder / name), "GZIP" if name.endswith(".gz") else "") as writer:
            for row in part:
                writer.write(_example(row).SerializeToString())
    run_fn(
        FnArgs(
            train_files=[str(folder / "examples-*")],
            transform_graph_path=graph,
            transform_output=graph,
            serving_model_dir=str(folder / "model"),
            model_run_dir=str(folder / "model_run"),
            custom_config=settings.for_trainer(config).to_custom_config(),
        )
    )
    return Trained(rows, graph, str(folder / "model"), folder / "model_run")


@pytest.fixture(scope="module", params=sorted(TASKS))
def label(request: pytest.FixtureRequest) -> str:
    """A kind of label."""
    return str(request.param)


@pytest.fixture(scope="module")
def trained(label: str, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp(label)
    config, rows = _config(label), _rows(label)
    graph = _transform(config, rows, folder)
    return _train(config, rows, graph, folder)


def _missing(name: str) -> Any:
    return {tf.float32: math.nan, tf.int64: np.iinfo(np.int64).min, tf.string: ""}[SPECS[name].dtype]


def _raw_inputs(rows: Sequence[Row]) -> dict[str, list[Any]]:
    """The inputs of predict_raw: a list for each column that the model sees."""
    return {name: [row.get(name, _missing(name)) for row in rows] for name in SPECS if name != "flight"}


def _as_float32(row: Row) -> dict[str, Any]:
    return {name: np.float32(value) if isinstance(value, float) else value for name, value in row.items()}


def test_the_model_has_learnt(trained: Trained, label: str) -> None:
    outputs = trained.predict(trained.rows)
    labels = np.array([row[LABEL] for row in trained.rows])
    if label == "amounts":
        assert outputs["predictions"].shape == (NUM_ROWS, 1)
        assert np.corrcoef(outputs["predictions"][:, 0], labels)[0, 1] > 0.6
        assert outputs["predictions"].mean() == pytest.approx(labels.mean(), rel=0.1)
        return
    classes = sorted(set(labels.tolist()))
    predicted = [value.decode() if isinstance(value, bytes) else value for value in outputs["labels"][:, 0].tolist()]
    assert outputs["probabilities"].shape == (NUM_ROWS, len(classes))
    assert outputs["probabilities"].sum(axis=1) == pytest.approx(1)
    assert predicted == [classes[index] for index in outputs["probabilities"].argmax(axis=1)]
    assert np.mean(np.array(predicted) == labels) > 0.5 + 0.2 * (len(classes) == 2)
    if len(classes) == 2:
        assert np.array_equal(outputs["score"], outputs["probabilities"][:, 1:])


def test_a_loader_like_tf_servings_gives_the_same_answers(trained: Trained, tmp_path: Path) -> None:
    rows = [*trained.rows[:50], {}]
    requests = {
        "serving_default": {"examples": [_example(row).SerializeToString().hex() for row in rows]},
        "predict_raw": _raw_inputs(rows),
        "reference_rows": {"numbers": [*range(32), 32]},
    }
    (tmp_path / "requests.json").write_text(json.dumps(requests))
    command = [sys.executable, "-I", "-c", LOAD_AS_TF_SERVING, trained.model, str(tmp_path / "requests.json")]
    finished = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    answers = json.loads(finished.stdout)
    assert answers["serving_default"] == answers["predict_raw"]
    *carried, again = map(json.loads, answers["reference_rows"]["rows"])
    assert again == carried[0]
    seen = [{name: value for name, value in row.items() if name not in (LABEL, "flight")} for row in trained.rows]
    assert all(_as_float32(row) in map(_as_float32, seen) for row in carried)
    assert len({json.dumps(row) for row in carried}) == 32
    for name, values in trained.predict(rows).items():
        if values.dtype.kind == "f":
            np.testing.assert_allclose(answers["serving_default"][name], values, rtol=1e-5)
        else:
            assert answers["serving_default"][name] == [[getattr(v, "decode", lambda v=v: v)()] for v in values[:, 0].tolist()]


def test_missing_and_unknown_values_are_answered(trained: Trained) -> None:
    unknown = {"carrier": "never seen", "plane model (%)": "ü" * 1000, "seats": -7, "departure": 10**15, "distance": math.inf}
    for values in trained.predict([{}, unknown, {"distance": 1e30}]).values():
        assert len(values) == 3
        assert values.dtype.kind != "f" or np.isfinite(values).all()


def test_a_model_server_replays_its_warm_up_requests(trained: Trained) -> None:
    servable = Servable("model", 1, Path(trained.model), SessionOptions.from_flags(Flags()))
    try:
        # A row and several, of each signature; a request that cannot be answered would be an error.
        assert warm_up(servable, Path(trained.model)) == 4
    finally:
        servable.close()


def test_a_client_finds_out_what_to_send(trained: Trained, label: str) -> None:
    contract = json.loads((Path(trained.model) / "assets.extra" / "conveyor.json").read_text())
    classes = {"numbers": [0, 1], "words": ["no", "yes"], "classes": ["low", "mid", "top"], "amounts": []}
    assert contract.pop("parameters") > 0
    assert contract.pop("threshold") == (0.5 if TASKS[label] == "binary_classification" else None)
    assert contract.pop("threshold_reason") == ""
    assert contract.pop("class_weights") == []
    assert isinstance(contract.pop("calibration"), str)
    assert re.fullmatch("[0-9a-f]{32}", contract.pop("digest"))
    assert contract == {
        "task": TASKS[label],
        "label": LABEL,
        "classes": classes[label],
        "features": {
            "carrier": "string",
            "departure": "int",
            "distance": "float",
            "plane model (%)": "string",
            "seats": "int",
            "size": "float",
        },
    }


def test_tfma_gets_class_indices_of_labels_that_are_none(trained: Trained, label: str) -> None:
    signatures = tf.saved_model.load(trained.model).signatures
    assert ("transformed_labels" in signatures) is (label in ("words", "classes"))
    if "transformed_labels" in signatures:
        rows = [*trained.rows[:20], {LABEL: "never seen"}]
        outputs = signatures["transformed_labels"](examples=tf.constant([_example(row).SerializeToString() for row in rows]))
        classes = sorted({row[LABEL] for row in trained.rows})
        assert outputs[LABEL][:, 0].numpy().tolist() == [classes.index(row[LABEL]) for row in rows[:-1]] + [-1]


def test_the_curves_are_kept(trained: Trained, label: str) -> None:
    history = json.loads((trained.model_run / "history.json").read_text())
    metric = {"classes": "accuracy", "amounts": "mae"}.get(label, "auc")
    assert [epoch["epoch"] for epoch in history] == [1, 2, 3]
    assert all({"seconds", "loss", "val_loss", metric, f"val_{metric}"} <= epoch.keys() for epoch in history)
    assert history[-1]["loss"] < history[0]["loss"]
    assert list(trained.model_run.rglob("events.out.tfevents.*"))


KINDS = {"numbers": ["network", "trees", "linear"], "classes": ["trees", "linear"], "words": ["trees"], "amounts": ["linear"]}


def test_other_kinds_of_models_answer_as_one(trained: Trained, label: str, tmp_path: Path) -> None:
    training = {"epochs": 3, "batch_size": 128, "explainable": label != "amounts"}
    config = _config(label, model={"kind": KINDS[label]}, training=training)
    model = _train(config, trained.rows, trained.graph, tmp_path / "trainer")
    *members, whole = json.loads((model.model_run / "members.json").read_text())
    assert [member["kind"] for member in members] == KINDS[label]
    assert sum(member["weight"] for member in members) == pytest.approx(1)
    assert whole["metrics"]["loss"] <= min(member["metrics"]["loss"] for member in members) + 0.02
    assert (model.model_run / "history.json").exists() is ("network" in KINDS[label])
    asked = [*trained.rows[:50], {}, {"carrier": "never seen", "distance": math.inf, "seats": -7}]
    answers = model.predict(asked)
    (tmp_path / "requests.json").write_text(json.dumps({"predict_raw": _raw_inputs(asked)}))
    command = [sys.executable, "-I", "-c", LOAD_AS_TF_SERVING, model.model, str(tmp_path / "requests.json")]
    finished = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    for name, values in json.loads(finished.stdout)["predict_raw"].items():
        if answers[name].dtype.kind == "f":
            np.testing.assert_allclose(values, answers[name], rtol=1e-5)
    servable = Servable("model", 1, Path(model.model), SessionOptions.from_flags(Flags()))
    try:
        assert warm_up(servable, Path(model.model)) == 4
        assert ("reference_rows" in servable.signatures) is (label != "amounts")
        digests = [
            ModelDescription.from_json(Path(each.model, DESCRIPTION_PATH).read_text()).digest for each in (model, trained)
        ]
        assert re.fullmatch("[0-9a-f]{32}", digests[0])
        assert digest_of(servable.signatures) == digests[0] != digests[1]
        # Model servers prepare each signature: this one is not another to them.
        assert servable.signatures[f"digest_{digests[0]}"] == servable.signatures["serving_default"]
    finally:
        servable.close()


def test_the_same_rows_give_the_same_model(tmp_path: Path) -> None:
    config, rows = _config("numbers"), _rows("numbers")
    models = []
    for folder in (tmp_path / "first", tmp_path / "second"):
        folder.mkdir()
        graph = _transform(config, rows, folder)
        models.append(_train(config, rows, graph, folder))
    first, second = (model.predict(rows) for model in models)
    assert np.array_equal(first["score"], second["score"])


def test_the_code_of_the_documentation_works(tmp_path: Path) -> None:
    (tmp_path / "my_code.py").write_text("\n".join(re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)))
    document = {
        "name": "flights",
        "label": LABEL,
        "data": {"input": "flights.csv"},
        "training": {"epochs": 2},
        "preprocessing": {"preprocessing_fn": "my_code.py:preprocessing_fn"},
        "model": {"build_model": "my_code.py:build_model"},
    }
    (tmp_path / "pipeline.yaml").write_text(json.dumps(document))
    config = load_config(tmp_path / "pipeline.yaml", ())
    rows = [{**row, "distance": int(row.get("distance", 0))} for row in _rows("numbers")]
    specs = {**SPECS, "distance": tf.io.VarLenFeature(tf.int64)}
    graph = _transform(config, rows, tmp_path, specs)
    outputs = _train(config, rows, graph, tmp_path / "trainer").predict([*rows[:9], {}])
    assert np.isfinite(outputs["score"]).all()
