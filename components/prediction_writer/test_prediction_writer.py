from __future__ import annotations

import resource
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2
from tfx.types import Channel, standard_artifacts

from components.example_gen import properties
from components.example_gen.component import ArrowExampleGen
from components.example_gen.inputs import resolve
from components.example_gen.spans import SingleSplit
from components.prediction_writer import PredictionWriter
from components.prediction_writer.answers import answers_in_order
from components.prediction_writer.component import Executor
from components.prediction_writer.predictions import PredictionColumns
from components.prediction_writer.table import schema_of, write_table
from components.shared.examples.tfrecord import compression_of
from pipeline.config import Data
from pipeline.contracts.model_description import ModelDescription
from pipeline.errors import DataError, NodeError, StorageError

BINARY = {"probabilities": np.float32([[0.25, 0.75]]), "labels": np.int64([1]), "score": np.float32([[0.75]])}


def example(features: Mapping[str, Any]) -> bytes:
    made = tf.train.Example()
    for name, values in features.items():
        values = values if isinstance(values, list) else [values]
        feature = made.features.feature[name]
        kinds = {int: feature.int64_list, float: feature.float_list, bytes: feature.bytes_list}
        kinds[type(values[0])].value.extend(values)
    return made.SerializeToString()


def logs(path: Path, rows: Iterable[Mapping[str, Any]], outputs: Mapping[str, np.ndarray] = BINARY) -> list[str]:
    """A file as BulkInferrer writes it, with the same answer to every row."""
    with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
        for row in rows:
            log = prediction_log_pb2.PredictionLog()
            log.predict_log.request.inputs["examples"].CopyFrom(tf.make_tensor_proto([example(row)]))
            for name, values in outputs.items():
                log.predict_log.response.outputs[name].CopyFrom(tf.make_tensor_proto(values))
            writer.write(log.SerializeToString())
    return [str(path)]


def examples(path: Path, rows: Iterable[Mapping[str, Any]]) -> list[str]:
    with tf.io.TFRecordWriter(str(path), compression_of(str(path))) as writer:
        for row in rows:
            writer.write(example(row))
    return [str(path)]


def columns_of(outputs: Mapping[str, np.ndarray], classes: list[str | int], taken: Iterable[str] = ()) -> dict[str, Any]:
    """The columns of the prediction for a row with these outputs, by name."""
    log = prediction_log_pb2.PredictLog()
    for name, values in outputs.items():
        log.response.outputs[name].CopyFrom(tf.make_tensor_proto(values))
    made = PredictionColumns(7, classes, list(taken)).of([log, log])
    assert all(len(values) == 2 for values in made.values())
    return {field.name: values[1].as_py() for field, values in made.items()}


def test_two_classes() -> None:
    assert columns_of(BINARY, [0, 1]) == {
        "prediction": 1,
        "probability": 0.75,
        "score": 0.75,
        "probabilities": {"0": 0.25, "1": 0.75},
        "model_version": 7,
    }


def test_the_probability_is_that_of_the_label_which_may_be_the_less_probable_one() -> None:
    outputs = {
        "probabilities": np.float32([[0.75, 0.25]]),
        "labels": np.int64([1]),
        "score": np.float32([[0.25]]),
        "probability": np.float32([[0.25]]),
    }
    made = columns_of(outputs, [0, 1])
    assert (made["prediction"], made["probability"], made["score"]) == (1, 0.25, 0.25)
    assert list(made) == ["prediction", "probability", "score", "probabilities", "model_version"]


def test_classes_of_text_and_equal_probabilities() -> None:
    outputs = {"probabilities": np.full([1, 3], 0.25, np.float32), "labels": np.array([["nö".encode()]])}
    assert columns_of(outputs, ["a", "nö", "z.z"]) == {
        "prediction": "nö",
        "probability": 0.25,
        "probabilities": {"a": 0.25, "nö": 0.25, "z.z": 0.25},
        "model_version": 7,
    }


def test_a_number() -> None:
    assert columns_of({"predictions": np.float32([[3.5]])}, []) == {"prediction": 3.5, "model_version": 7}


def test_a_column_of_the_table_keeps_its_name() -> None:
    taken = ["prediction", "predicted_prediction", "score", "model_version"]
    assert list(columns_of(BINARY, [0, 1], taken)) == [
        "predicted_predicted_prediction",
        "probability",
        "predicted_score",
        "probabilities",
        "predicted_model_version",
    ]


def test_answers_come_in_the_order_of_the_rows(tmp_path: Path) -> None:
    """Beam promises no order, rows may be equal, and the features of an example may be in any order."""
    rows = [{"x": n % 5, "name": b"abc"} for n in range(20)]
    asked = examples(tmp_path / "examples.gz", rows)
    shuffled = [dict(reversed(rows[n].items())) for n in np.random.default_rng(0).permutation(20)]
    answers = list(answers_in_order(logs(tmp_path / "logs.gz", shuffled), asked))
    assert [tf.train.Example.FromString(answer.request.inputs["examples"].string_val[0]) for answer in answers] == [
        tf.train.Example.FromString(example(row)) for row in rows
    ]


def test_a_row_without_an_answer_is_an_error(tmp_path: Path) -> None:
    asked = examples(tmp_path / "examples.gz", [{"x": 1}, {"x": 2}])
    with pytest.raises(NodeError, match="no prediction") as error:
        list(answers_in_order(logs(tmp_path / "logs.gz", [{"x": 1}]), asked))
    assert error.value.where == "row 2"


def score(tmp_path: Path, tables: list[pa.Table], num_answers: int | None = None) -> pa.Table:
    """Writes a table in as many batches, with an answer for each row."""
    num_rows = sum(table.num_rows for table in tables)
    answers = answers_in_order(
        logs(tmp_path / "logs.gz", [{"x": 1}] * (num_answers or num_rows)),
        examples(tmp_path / "examples.gz", [{"x": 1}] * (num_answers or num_rows)),
    )

    def batches() -> Iterator[pa.RecordBatch]:
        return (batch for table in tables for batch in table.to_batches())

    schema = schema_of(batches)
    write_table(batches, schema, answers, PredictionColumns(7, [0, 1], schema.names), tmp_path / "scored.parquet")
    return pq.read_table(tmp_path / "scored.parquet")


def test_the_table_stays_as_it_came(tmp_path: Path) -> None:
    table = pa.table(
        {
            "z": pa.array([1, None], pa.int8()),
            "a.b": pa.array(["x", "y"]).dictionary_encode(),
            "when": pa.array([0, 1], pa.timestamp("us", "Europe/Berlin")),
            "tags": pa.array([["p"], []], pa.list_(pa.string())),
            "parts": pa.array([{"x": 1}, None]),
            "nothing": pa.nulls(2),
        }
    )
    scored = score(tmp_path, [table])
    assert scored.select(table.column_names).equals(table)
    assert scored.column_names[6:] == ["prediction", "probability", "score", "probabilities", "model_version"]
    assert scored["score"].to_pylist() == [0.75, 0.75]


def test_columns_of_files_that_differ_are_all_there(tmp_path: Path) -> None:
    first = pa.table({"x": pa.array([1], pa.int32()), "bytes": ["text"]})
    second = pa.table({"bytes": [b"\xff"], "x": pa.array([2.5]), "late comer": ["here"]})
    assert score(tmp_path, [first, second]).select(["x", "bytes", "late comer"]).to_pydict() == {
        "x": [1.0, 2.5],
        "bytes": [b"text", b"\xff"],
        "late comer": [None, "here"],
    }


def test_columns_that_no_type_holds_are_refused_and_score_one_by_one(tmp_path: Path) -> None:
    first, second = pa.table({"x": [1]}), pa.table({"x": ["a"]})
    with pytest.raises(DataError, match="different types") as error:
        score(tmp_path, [first, second])
    assert "one by one" in error.value.fix
    assert [score(tmp_path, [table])["x"].to_pylist() for table in (first, second)] == [[1], ["a"]]


@pytest.mark.parametrize("num_answers", [1, 3])
def test_a_table_that_has_changed_is_not_written(tmp_path: Path, num_answers: int) -> None:
    with pytest.raises(DataError, match="has changed"):
        score(tmp_path, [pa.table({"x": [1, 1]})], num_answers)
    assert not (tmp_path / "scored.parquet").exists()


def test_a_full_disk_leaves_the_file_that_was_there(tmp_path: Path) -> None:
    destination = tmp_path / "scored.parquet"
    destination.write_bytes(b"earlier")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    table = pa.table({"x": np.random.default_rng(0).random(20_000)})
    schema, columns = table.schema, PredictionColumns(1, [0, 1], table.column_names)
    (answer,) = answers_in_order(logs(tmp_path / "logs.gz", [{"x": 1}]), examples(tmp_path / "examples.gz", [{"x": 1}]))
    before = sorted(tmp_path.iterdir())
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.raises(StorageError) as caught:
            write_table(lambda: iter(table.to_batches()), schema, repeat(answer, table.num_rows), columns, destination)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.where == str(destination)
    assert destination.read_bytes() == b"earlier"
    assert sorted(tmp_path.iterdir()) == before


def write_predictions(
    folder: Path, pattern: str, num_rows: int, meanwhile: Callable[[], object] = lambda: None, ending: str = ".gz"
) -> pa.Table:
    """What the executor writes where something else happens between ExampleGen's reading of the table and it."""
    found = resolve(
        {
            name: value
            for name, value in ArrowExampleGen(pattern, split=SingleSplit()).exec_properties.items()
            if value is not None
        }
    )
    rows = [{"x": number} for number in range(num_rows)]
    artifacts = {
        "inference_result": standard_artifacts.InferenceResult(),
        "examples": standard_artifacts.Examples(),
        "model": standard_artifacts.Model(),
        "pushed_model": standard_artifacts.PushedModel(),
    }
    for key, artifact in artifacts.items():
        artifact.uri = str(folder / key)
    artifacts["pushed_model"].set_string_custom_property("pushed_version", "12")
    artifacts["examples"].split_names = '["all"]'
    artifacts["examples"].set_string_custom_property("payload_format", "FORMAT_TF_EXAMPLE")
    artifacts["examples"].set_string_custom_property(properties.FINGERPRINT, found[properties.FINGERPRINT])
    artifacts["examples"].set_int_custom_property(properties.SPAN, found[properties.SPAN])
    for name in ("inference_result", "examples/Split-all", "model/Format-Serving/assets.extra"):
        (folder / name).mkdir(parents=True)
    logs(folder / "inference_result" / "prediction_logs-00000-of-00001.gz", rows)
    examples(folder / "examples" / "Split-all" / f"data_tfrecord-00000-of-00001{ending}", rows)
    description = ModelDescription(classes=["early", "late"])
    (folder / "model" / "Format-Serving" / "assets.extra" / "conveyor.json").write_text(description.to_json())
    meanwhile()
    channels = {key: Channel(type(artifact)) for key, artifact in artifacts.items()}
    node = PredictionWriter(**channels, data=Data(input=pattern), destination=str(folder / "scored.parquet"))
    Executor().Do({key: [artifact] for key, artifact in artifacts.items()}, {}, node.exec_properties)
    return pq.read_table(folder / "scored.parquet")


@pytest.mark.parametrize("ending", [".gz", ""])
def test_the_executor_reads_the_table_and_the_classes(tmp_path: Path, ending: str) -> None:
    (tmp_path / "new.csv").write_text("id,x\n007,1\n008,2\n")
    scored = write_predictions(tmp_path, str(tmp_path / "new.csv"), 2, ending=ending)
    assert scored["id"].to_pylist() == ["007", "008"]
    assert scored["probabilities"].to_pylist() == [{"early": 0.25, "late": 0.75}] * 2
    assert scored["model_version"].to_pylist() == [12, 12]


def test_a_span_that_comes_meanwhile_is_not_what_was_scored(tmp_path: Path) -> None:
    (tmp_path / "span-1.csv").write_text("x\n1\n2\n")
    scored = write_predictions(
        tmp_path,
        str(tmp_path / "span-{SPAN}.csv"),
        2,
        meanwhile=lambda: (tmp_path / "span-2.csv").write_text("x\n3\n4\n"),
    )
    assert scored["x"].to_pylist() == ["1", "2"]


@pytest.mark.parametrize("name", ["1-v1.csv", "1-v2.csv"])
def test_other_rows_as_many_as_were_scored_get_no_predictions(tmp_path: Path, name: str) -> None:
    """The file is written again in its place, or in a newer version."""
    (tmp_path / "1-v1.csv").write_text("x\n1\n2\n")
    with pytest.raises(DataError, match="has changed"):
        write_predictions(
            tmp_path,
            str(tmp_path / "{SPAN}-v{VERSION}.csv"),
            2,
            meanwhile=lambda: (tmp_path / name).write_text("x\n3\n4\n"),
        )
    assert not (tmp_path / "scored.parquet").exists()
