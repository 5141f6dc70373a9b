from __future__ import annotations

import resource
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2
from tfx.types import Channel, standard_artifacts

from components.prediction_writer import PredictionWriter, table
from components.prediction_writer.component import Executor
from components.prediction_writer.table import write_table
from pipeline.contracts.model import SCORED_OUTPUT_KEY
from pipeline.errors import DataError, StorageError

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


def written(tmp_path: Path, rows: Iterable[Mapping[str, Any]], outputs: Mapping[str, np.ndarray] = BINARY) -> dict[str, Any]:
    write_table(logs(tmp_path / "logs.gz", rows, outputs), 7, tmp_path / "out" / "scored.parquet")
    return pq.read_table(tmp_path / "out" / "scored.parquet").to_pydict()


def test_a_row_has_its_features_its_prediction_and_the_version(tmp_path: Path) -> None:
    assert written(tmp_path, [{"distance": 2.5, "stops": 2**62, "carrier": "Zürich".encode()}]) == {
        "carrier": ["Zürich"],
        "distance": [2.5],
        "stops": [2**62],
        "labels": [1],
        "probabilities": [[0.25, 0.75]],
        "score": [0.75],
        "model_version": [7],
    }


def test_regression_and_text_labels(tmp_path: Path) -> None:
    outputs = {"predictions": np.float32([[3.5]]), "labels": np.array([b"late"]), "flag": np.array([True])}
    columns = written(tmp_path, [{"x": 1}, {"x": 2}], outputs)
    assert columns["predictions"] == [3.5, 3.5]
    assert columns["labels"] == ["late", "late"]
    assert columns["flag"] == [True, True]


def test_equal_probabilities_keep_their_number(tmp_path: Path) -> None:
    outputs = {"probabilities": np.full([1, 3], 1 / 3, np.float32)}
    assert written(tmp_path, [{"x": 1}], outputs)["probabilities"] == [[pytest.approx(1 / 3)] * 3]


def test_rows_keep_their_order_and_columns_appear_when_they_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "BATCH_ROWS", 4)
    rows = [{"id": n, **({"late_comer": float(n)} if n > 8 else {})} for n in range(11)]
    columns = written(tmp_path, rows)
    assert columns["id"] == list(range(11))
    assert columns["late_comer"] == [None] * 9 + [9.0, 10.0]


def test_several_values_in_any_row_make_a_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "BATCH_ROWS", 1)
    assert written(tmp_path, [{"tag": b"a"}, {"tag": [b"b", b"c"]}, {"x": 1}])["tag"] == [["a"], ["b", "c"], None]


def test_bytes_that_are_no_text_stay_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "BATCH_ROWS", 1)
    assert written(tmp_path, [{"tag": b"text"}, {"tag": b"\xff"}])["tag"] == [b"text", b"\xff"]


def test_a_feature_with_the_name_of_an_output_keeps_it(tmp_path: Path) -> None:
    columns = written(tmp_path, [{"score": 9, "predicted_score": 8, "model_version": b"mine"}])
    assert columns["score"] == [9]
    assert columns["predicted_score"] == [8]
    assert columns["predicted_predicted_score"] == [0.75]
    assert columns["model_version"] == ["mine"]
    assert columns["predicted_model_version"] == [7]
    schema = pq.read_schema(tmp_path / "out" / "scored.parquet")
    assert {
        field.name: field.metadata[SCORED_OUTPUT_KEY]
        for field in schema
        if field.metadata and SCORED_OUTPUT_KEY in field.metadata
    } == {
        "predicted_predicted_score": b"score",
        "predicted_model_version": b"model_version",
        "labels": b"labels",
        "probabilities": b"probabilities",
    }


def test_no_row_is_a_data_error_and_no_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no row"):
        written(tmp_path, [])
    assert not (tmp_path / "out").exists()


def test_a_full_disk_leaves_the_file_that_was_there(tmp_path: Path) -> None:
    destination = tmp_path / "scored.parquet"
    destination.write_bytes(b"earlier")
    files = logs(tmp_path / "logs.gz", [{"x": n} for n in range(200)])
    before = sorted(tmp_path.iterdir())
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        with pytest.raises(StorageError) as caught:
            write_table(files, 1, destination)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.where == str(destination)
    assert destination.read_bytes() == b"earlier"
    assert sorted(tmp_path.iterdir()) == before


def test_the_executor_takes_the_version_from_the_pushed_model(tmp_path: Path) -> None:
    inference_result, pushed_model = standard_artifacts.InferenceResult(), standard_artifacts.PushedModel()
    (tmp_path / "inference").mkdir()
    logs(tmp_path / "inference" / "prediction_logs-00000-of-00001.gz", [{"x": 1}])
    inference_result.uri = str(tmp_path / "inference")
    pushed_model.set_string_custom_property("pushed_version", "12")
    node = PredictionWriter(
        Channel(standard_artifacts.InferenceResult), Channel(standard_artifacts.PushedModel), str(tmp_path / "scored.parquet")
    )
    Executor().Do({"inference_result": [inference_result], "pushed_model": [pushed_model]}, {}, node.exec_properties)
    assert pq.read_table(tmp_path / "scored.parquet")["model_version"].to_pylist() == [12]
