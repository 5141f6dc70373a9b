from __future__ import annotations

import datetime
import gzip
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from tensorflow.core.example import example_pb2

from components.example_gen.spans import SingleSplit
from components.example_gen.table import Table, open_table
from components.shared.examples.kinds import Kind
from pipeline.config import Data
from pipeline.errors import DataError, UsageError


def rows(table: Table) -> list[dict[str, Any]]:
    return [row for batch in table.batches() for row in batch.to_pylist()]


def test_files_are_one_table(tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_text("x,y,day\n1,a,2013-01-31\n")
    (tmp_path / "2.csv.gz").write_bytes(gzip.compress(b"y,x\nb,0.5\n,2\n"))
    table = open_table(Data(input=str(tmp_path / "*.csv*")), ignored=["absent"])
    assert table.kinds == {"x": Kind.FLOAT, "y": Kind.TEXT, "day": Kind.TIME}
    assert table.rows == 3
    assert rows(table) == [
        {"x": 1.0, "y": "a", "day": datetime.datetime(2013, 1, 31)},
        {"x": 0.5, "y": "b", "day": None},
        {"x": 2.0, "y": None, "day": None},
    ]
    assert len({batch.schema for batch in table.batches()}) == 1
    assert rows(open_table(Data(input=str(tmp_path / "1.csv")), ignored=["x", "day"])) == [{"y": "a"}]


def test_the_spans_that_are_asked_for(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        (tmp_path / f"{number}.csv").write_text(f"x\n{number}\n")
    data = Data(input=str(tmp_path / "{SPAN}.csv"))
    assert [row["x"] for row in rows(open_table(data))] == [1, 2, 3]
    assert [row["x"] for row in rows(open_table(data, split=SingleSplit()))] == [3]
    assert open_table(data.model_copy(update={"newest_span": 2})).rows == 2
    with pytest.raises(UsageError, match="No file matches"):
        open_table(Data(input=str(tmp_path / "none.csv")))


def test_parquet_types_are_one_for_each_kind(tmp_path: Path) -> None:
    tags = [["a", "b"], None, []]
    pq.write_table(
        pa.table(
            {
                "i": pa.array([1, None, 3], pa.int8()),
                "d": pa.array(["a", None, "b"]).dictionary_encode(),
                "tags": pa.array(tags, pa.large_list(pa.string())),
                "day": pa.array([datetime.date(2013, 1, 31)] * 3, pa.date32()),
                "empty": pa.nulls(3),
                "bytes": pa.array([b"a", b"\xff", None]),
            }
        ),
        tmp_path / "a.parquet",
    )
    table = open_table(Data(input=str(tmp_path / "a.parquet")))
    [batch] = table.batches()
    assert batch.schema.types == [
        pa.int64(),
        pa.string(),
        pa.list_(pa.string()),
        pa.timestamp("us"),
        pa.null(),
        pa.binary(),
    ]
    assert batch.column("tags").to_pylist() == tags
    assert table.lists == {"tags"}


def test_integers_beyond_64_bits_are_refused_and_read_as_text(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"x": pa.array([1, 2**64 - 1], pa.uint64())}), path)
    with pytest.raises(DataError) as caught:
        rows(open_table(Data(input=str(path))))
    assert "Set data.columns: {x: text}" in caught.value.fix
    assert [row["x"] for row in rows(open_table(Data(input=str(path), columns={"x": "text"})))] == ["1", str(2**64 - 1)]


def test_features_of_one_value_are_no_lists(tmp_path: Path) -> None:
    path = tmp_path / "a.tfrecord"
    with tf.io.TFRecordWriter(str(path)) as writer:
        for values in ([1], [], [3]):
            example = example_pb2.Example()
            example.features.feature["x"].int64_list.value.extend(values)
            example.features.feature["many"].bytes_list.value.extend([b"a"] * len(values) * 2)
            writer.write(example.SerializeToString())
    table = open_table(Data(input=str(path)))
    assert table.lists == {"many"}
    assert [row["x"] for row in rows(table)] == [1, None, 3]
    assert [row["many"] for row in rows(table)] == [["a", "a"], [], ["a", "a"]]
