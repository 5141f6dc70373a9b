"""FastTransform against TFX's Transform, on data made to be nasty."""

from __future__ import annotations

import json
import math
import random
import shutil
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_transform as tft
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor
from tfx.types import artifact_utils, standard_artifacts

from components.shared.examples.stored_spans import StoredPart, StoredSpan, StoredSpans
from components.transform.executor import Executor
from components.transform.materialization import Materializer
from components.transform.reader import Reader
from pipeline.errors import NodeError
from pipeline.training import raw
from pipeline.training.features import Categorical
from pipeline.training.preprocessing import _Analyzers
from pipeline.training.vocabularies import read_vocabularies

RUNNER = "--runner=apache_beam.runners.portability.fn_api_runner.FnApiRunner"
SCHEMA = """
feature { name: "dense" type: FLOAT shape {} presence { min_fraction: 1 min_count: 1 } }
feature { name: "float" type: FLOAT }
feature { name: "constant" type: INT shape {} presence { min_fraction: 1 min_count: 1 } }
feature { name: "big" type: INT }
feature { name: "text" type: BYTES }
feature { name: "many" type: BYTES }
feature { name: "list" type: INT }
feature { name: "never" type: BYTES }
feature { name: "unused" type: FLOAT shape {} presence { min_fraction: 1 min_count: 1 } }
"""
TEXTS = ["", "a", "ä", "日本語", "with space", "🛫", "\x00", "a" * 1000]

Columns = Mapping[str, Any]


def transform_everything(inputs: Columns, custom_config: Mapping[str, Any]) -> dict[str, Any]:
    """Analyzers of all kinds, in several phases, with dense, sparse and text outputs."""
    number = tf.where(tf.math.is_finite(_dense(inputs["float"], 0.0)), _dense(inputs["float"], 0.0), 0.0)
    scaled = tft.scale_to_0_1(number) - 0.5
    return {
        "scaled_twice": tft.scale_to_z_score(tf.square(scaled)),
        "z_score": tft.scale_to_z_score(tf.stack([inputs["dense"], number], axis=1), elementwise=True),
        "bucket": tft.bucketize(inputs["dense"], custom_config["buckets"]),
        "constant": tft.scale_to_z_score(inputs["constant"]),
        "largest": tf.fill(tf.shape(number), tft.max(_dense(inputs["big"], 0))),
        "text": tft.compute_and_apply_vocabulary(_dense(inputs["text"], ""), top_k=5, num_oov_buckets=2),
        "frequent": tft.compute_and_apply_vocabulary(_dense(inputs["many"], ""), frequency_threshold=3),
        "numbers": tft.compute_and_apply_vocabulary(inputs["list"], vocab_filename="numbers"),
        "never": tft.compute_and_apply_vocabulary(inputs["never"], vocab_filename="never"),
        "together": _Analyzers().look_up("categorical", *zip(*_categorical(inputs), strict=True)),
        "largest_code": tf.fill(tf.shape(number), tft.max(_codes().lookup(_dense(inputs["text"], "")))),
        "list": inputs["list"],
        "raw_text": inputs["text"],
    }


def _codes() -> tf.lookup.StaticHashTable:
    """A table that the function makes itself, before any analyzer."""
    initializer = tf.lookup.KeyValueTensorInitializer(["a", "ä"], tf.constant([7, 9], tf.int64))
    return tf.lookup.StaticHashTable(initializer, -1)


def _categorical(inputs: Columns) -> list[tuple[tf.Tensor, Categorical]]:
    """Columns of texts and integers, some of as many values, of which one has none."""
    names = [("text", 5, 2), ("big", 2, 1), ("never", 2, 1), ("many", 5, 1)]
    return [(raw.to_dense(inputs[name]), Categorical(f"{name} (of all)", most, buckets, None)) for name, most, buckets in names]


def transform_by_key(inputs: Columns) -> dict[str, Any]:
    """An analyzer that only Beam runs."""
    return {"by_key": tft.scale_to_z_score_per_key(inputs["dense"], _dense(inputs["text"], ""))}


def _dense(column: tf.SparseTensor, default: Any) -> tf.Tensor:
    dense = tf.sparse.to_dense(tf.sparse.reset_shape(column, [column.dense_shape[0], 1]), default)
    return tf.reshape(dense, [-1])


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Any]]:
    folder = tmp_path_factory.mktemp("inputs")
    (folder / "schema").mkdir()
    (folder / "schema" / "schema.pbtxt").write_text(SCHEMA)
    generator = random.Random(0)
    for split, shards in {"train": [2500, 1, 1500], "eval": [1], "other": [300]}.items():
        (folder / f"Split-{split}").mkdir()
        for number, rows in enumerate(shards):
            path = folder / f"Split-{split}" / f"data_tfrecord-{number:05d}-of-{len(shards):05d}.gz"
            with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
                for _ in range(rows):
                    writer.write(_example(generator).SerializeToString())
    examples = standard_artifacts.Examples()
    examples.uri = str(folder)
    examples.split_names = artifact_utils.encode_split_names(["train", "eval", "other"])
    schema = standard_artifacts.Schema()
    schema.uri = str(folder / "schema")
    return {"examples": [examples], "schema": [schema]}


def _example(generator: random.Random) -> tf.train.Example:
    columns: dict[str, list[Any]] = {
        "dense": [generator.gauss(0, 1e4)],
        "constant": [7],
        "unused": [math.nan],
        "list": [generator.randrange(5) for _ in range(generator.randrange(4))],
        "float": [generator.choice([math.nan, math.inf, -math.inf, -0.0, 1e-38, 3e8, generator.random()])],
        "big": [generator.choice([2**63 - 1, -(2**63), 0, 2**53 + 1])],
        "text": [generator.choice(TEXTS).encode()],
        "many": [b"%d" % int(10_000 * generator.random() ** 3)],
    }
    optional = ("float", "big", "text")
    example = tf.train.Example()
    for name, values in columns.items():
        if name in optional and generator.random() < 0.2:
            continue
        kind = {bytes: "bytes_list", float: "float_list"}.get(type(values[0]) if values else int, "int64_list")
        getattr(example.features.feature[name], kind).value.extend(values)
    return example


def _run(inputs: dict[str, list[Any]], folder: Path, function: Any = transform_everything, force: str = "fast") -> Path:
    outputs: dict[str, list[Any]] = {
        "transform_graph": [standard_artifacts.TransformGraph()],
        "transformed_examples": [standard_artifacts.Examples()],
    }
    for name, (artifact,) in outputs.items():
        artifact.uri = str(folder / name)
        (folder / name).mkdir(parents=True)
    context = BaseBeamExecutor.Context(beam_pipeline_args=[RUNNER], tmp_dir=str(folder), unique_id="1")
    properties = {
        "preprocessing_fn": f"{function.__module__}.{function.__name__}",
        "custom_config": json.dumps({"buckets": 4}),
        "disable_statistics": 1,
        "force": force,
    }
    Executor(context).Do(inputs, outputs, properties)
    return folder


@pytest.fixture(scope="module")
def stock(inputs: dict[str, list[Any]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _run(inputs, tmp_path_factory.mktemp("stock"), force="stock")


@pytest.fixture(scope="module")
def fast(inputs: dict[str, list[Any]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _run(inputs, tmp_path_factory.mktemp("fast"))


def _rows(folder: Path, split: str, graph: Path) -> dict[str, np.ndarray]:
    spec = tft.TFTransformOutput(str(graph / "transform_graph")).transformed_feature_spec()
    files = sorted(str(path) for path in (folder / f"Split-{split}").iterdir())
    batch = next(iter(tf.data.TFRecordDataset(files, "GZIP").batch(100_000)))
    rows = {}
    for name, value in tf.io.parse_example(batch, spec).items():
        if isinstance(value, tf.SparseTensor):
            rows[f"{name}/rows"] = value.indices.numpy()
            value = value.values
        rows[name] = value.numpy()
    return rows


@pytest.mark.parametrize("split", ["train", "eval", "other"])
def test_rows_equal(stock: Path, fast: Path, split: str) -> None:
    expected = _rows(stock / "transformed_examples", split, stock)
    actual = _rows(fast / "transformed_examples", split, fast)

    assert actual.keys() == expected.keys()
    for name, values in expected.items():
        if values.dtype.kind == "f":
            # TFT adds up batches in 32 bits: by this much its results differ with the size of the batches.
            np.testing.assert_allclose(actual[name], values, rtol=1e-4, atol=1e-6, err_msg=name)
        else:
            np.testing.assert_array_equal(actual[name], values, err_msg=name)


def test_graphs_have_the_same_contract(stock: Path, fast: Path) -> None:
    expected, actual = (tft.TFTransformOutput(str(folder / "transform_graph")) for folder in (stock, fast))

    assert _files(fast / "transform_graph") == _files(stock / "transform_graph")
    assert actual.raw_metadata.schema == expected.raw_metadata.schema
    assert actual.transformed_metadata.schema == expected.transformed_metadata.schema
    for name in ("numbers", "never"):
        assert actual.vocabulary_by_name(name) == expected.vocabulary_by_name(name)
    found, others = (read_vocabularies(Path(each.transform_savedmodel_dir)) for each in (actual, expected))
    assert found == others
    assert sorted(map(len, found.values())) == [2, 5, 5]


def test_one_graph_transforms_rows_alike(inputs: dict[str, list[Any]], stock: Path, tmp_path: Path) -> None:
    schema = text_format.Parse(SCHEMA, schema_pb2.Schema())
    columns = set(Reader(schema).type_specs) - {"unused"}
    (examples,) = inputs["examples"]
    files = sorted(str(path) for path in Path(examples.uri, "Split-train").iterdir())
    with ThreadPoolExecutor(2) as pool:
        rows = Materializer(str(stock / "transform_graph"), columns).write(files, str(tmp_path / "Split-train"), pool)

    assert rows == 4001
    expected = _rows(stock / "transformed_examples", "train", stock)
    for name, values in _rows(tmp_path, "train", stock).items():
        np.testing.assert_array_equal(values, expected[name], err_msg=name)


def test_repeated_runs_write_the_same_examples(inputs: dict[str, list[Any]], fast: Path, tmp_path: Path) -> None:
    again = _run(inputs, tmp_path)

    names = _files(fast / "transformed_examples")
    assert _files(again / "transformed_examples") == names
    for name in names:
        assert (again / "transformed_examples" / name).read_bytes() == (fast / "transformed_examples" / name).read_bytes()


def test_a_span_that_was_analysed_before_is_not_read(
    inputs: dict[str, list[Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    batches = Reader.batches

    def spy(self: Reader, files: Sequence[str], columns: Collection[str]) -> tf.data.Dataset:
        read.extend(Path(file).name for file in files)
        return batches(self, files, columns)

    monkeypatch.setattr(Reader, "batches", spy)
    folder = tmp_path / "examples"
    shutil.copytree(inputs["examples"][0].uri, folder)
    names = _files(folder / "Split-train")

    def analyse(run: str, *spans: list[str]) -> Path:
        """The transform graph of a train split that holds these spans."""
        stored = [
            StoredSpan(
                number=number,
                content="".join(files),
                columns=[],
                stored={},
                day_first={},
                splitter="",
                parts={"all": StoredPart(split="train", files=files, rows=0)},
            )
            for number, files in enumerate(spans)
        ]
        StoredSpans(settings="", spans=stored).save(str(folder))
        for name in names:
            shutil.copy(Path(inputs["examples"][0].uri, "Split-train", name), folder / "Split-train" / name)
        for name in set(names) - {file for files in spans for file in files}:
            (folder / "Split-train" / name).unlink()
        examples = standard_artifacts.Examples()
        examples.uri = str(folder)
        examples.split_names = artifact_utils.encode_split_names(["train"])
        graph = standard_artifacts.TransformGraph()
        graph.uri = str(tmp_path / run)
        context = BaseBeamExecutor.Context(beam_pipeline_args=[RUNNER], tmp_dir=str(tmp_path / "temporary"), unique_id="1")
        function = f"{transform_everything.__module__}.{transform_everything.__name__}"
        properties = {"preprocessing_fn": function, "custom_config": json.dumps({"buckets": 4}), "force": "fast"}
        read.clear()
        Executor(context).Do({**inputs, "examples": [examples]}, {"transform_graph": [graph]}, properties)
        return Path(graph.uri)

    analyse("graphs/1", names[:2])
    first_phase = [name for name in read if name == names[0]]
    moved = analyse("graphs/2", names[:2], names[2:])
    # Later phases depend on what the first has found, so they read everything.
    assert read.count(names[2]) == len(first_phase)
    assert read.count(names[0]) == len(first_phase) - 1

    fresh = analyse("elsewhere/1", names[:2], names[2:])
    assert read.count(names[0]) == len(first_phase)
    example = tf.constant([_example(random.Random(1)).SerializeToString()])
    for name, values in _transformed(moved, example).items():
        np.testing.assert_array_equal(values, _transformed(fresh, example)[name], err_msg=name)


def _transformed(graph: Path, examples: tf.Tensor) -> dict[str, np.ndarray]:
    output = tft.TFTransformOutput(str(graph))
    rows = output.transform_features_layer()(tf.io.parse_example(examples, output.raw_feature_spec()))
    return {name: (value.values if isinstance(value, tf.SparseTensor) else value).numpy() for name, value in rows.items()}


def test_what_only_beam_runs_is_left_to_tfx(inputs: dict[str, list[Any]], tmp_path: Path) -> None:
    with pytest.raises(NodeError, match="does not apply") as error:
        _run(inputs, tmp_path / "fast", transform_by_key)
    assert "PerKey" in error.value.seen

    folder = _run(inputs, tmp_path / "auto", transform_by_key, force="auto")
    assert len(_rows(folder / "transformed_examples", "train", folder)["by_key"]) == 4001


def _files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
