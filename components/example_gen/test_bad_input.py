from __future__ import annotations

import gzip
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tfx.types import standard_artifacts

from components.example_gen import properties
from components.example_gen.executor import Executor
from components.example_gen.inputs import resolve
from components.example_gen.spans import SingleSplit
from components.shared.examples import tfrecord
from components.shared.examples.writer import SplitWriter
from pipeline.config import Split
from pipeline.errors import ConfigError, ConveyorError, DataError, StorageError

_SINGLE = SingleSplit(spans=None)


def _ingest(
    pattern: Path, *, split: Split | SingleSplit = _SINGLE, label: str | None = None, file_format: str = "auto"
) -> None:
    settings: dict[str, Any] = {
        properties.INPUT_PATTERN: str(pattern),
        properties.FILE_FORMAT: file_format,
        properties.CSV: "{}",
        properties.COLUMNS: "{}",
        properties.SPLIT: properties.split_to_json(split),
        properties.COMPRESSION: "gzip",
        properties.LABEL: label,
        properties.UNLABELLED: "refuse",
    }
    artifact = standard_artifacts.Examples()
    artifact.uri = str(pattern.parent / "out")
    Executor().Do({}, {properties.EXAMPLES: [artifact]}, {**settings, **resolve(settings)})


def _error(pattern: Path, **arguments: Any) -> ConveyorError:
    with pytest.raises(ConveyorError) as caught:
        _ingest(pattern, **arguments)
    assert caught.value.what
    assert caught.value.where
    assert caught.value.expected
    assert caught.value.seen
    assert caught.value.fix
    return caught.value


def _frame(*records: bytes) -> bytes:
    return tfrecord.frame(pa.array(records, pa.large_binary())).to_pybytes()


@pytest.mark.parametrize("name", ["a.csv", "a.parquet", "a.tfrecord"])
def test_zero_bytes(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    error = _error(tmp_path / name)
    assert isinstance(error, DataError)
    assert error.seen == "0 bytes"


@pytest.mark.parametrize("header", ["x,y\n", "x,y", "x,y\n\n", "\n"])
def test_a_header_without_rows(tmp_path: Path, header: str) -> None:
    (tmp_path / "a.csv").write_text("x,y\n1,2\n")
    (tmp_path / "b.csv").write_text(header)
    assert _error(tmp_path / "*.csv").where.endswith("b.csv")


def test_parquet_without_rows(tmp_path: Path) -> None:
    pq.write_table(pa.table({"x": pa.array([], pa.int64())}), tmp_path / "a.parquet")
    assert _error(tmp_path / "a.parquet").seen == "1 columns, 0 rows"


@pytest.mark.parametrize(
    ("rows", "line"), [(b"1,2\n3\n", 3), (b"1,2\n3,4,5\n", 3), (b'"a\nb",2\n\n3\n', 5), (b"1,2\n" * 50_000 + b"1\n", 50_002)]
)
def test_a_ragged_row_is_named_by_its_line(tmp_path: Path, rows: bytes, line: int) -> None:
    (tmp_path / "a.csv").write_bytes(b"x,y\n" + rows)
    error = _error(tmp_path / "a.csv")
    assert error.where.endswith(f"a.csv, line {line}")
    assert error.expected == "2 fields"


@pytest.mark.parametrize(
    ("content", "line", "offset"),
    [(b"x,y\n" + (b"1," + b"a" * 1_021 + b"\n") * 4_097 + b"2,M\xfcnchen\n", 4_099, 4_195_335)],
)
def test_text_that_is_not_utf_8(tmp_path: Path, content: bytes, line: int, offset: int) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    error = _error(tmp_path / "a.csv")
    assert error.where.endswith(f"line {line}")
    assert f"offset {offset}:" in error.seen


def test_a_quote_that_is_never_closed(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b'x,y\n1,2\n3,"4\n' + b"5,6\n" * 5_000_000)
    error = _error(tmp_path / "a.csv")
    assert "line 3" in error.where


def test_a_truncated_gzip(tmp_path: Path) -> None:
    whole = gzip.compress(b"x,y\n" + b"1,2\n" * 100_000)
    (tmp_path / "a.csv.gz").write_bytes(whole[: len(whole) // 2])
    assert "gzip" in _error(tmp_path / "a.csv.gz").expected
    (tmp_path / "a.tfrecord").write_bytes(gzip.compress(_frame(b""))[:-9])
    assert "gzip" in _error(tmp_path / "a.tfrecord").expected


def test_columns_that_cannot_be_told_apart(tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_arrays([pa.array([1])] * 3, names=["x", "y", "x"]), tmp_path / "a.parquet")
    assert _error(tmp_path / "a.parquet").seen == "x (2 times)"


def test_broken_parquet(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"x": list(range(10_000)), "t": [str(n) for n in range(10_000)]}), path, row_group_size=1_000)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert "Parquet" in _error(path).expected
    path.write_bytes(whole[:4] + b"\xff" * 2_000 + whole[2_004:])
    assert "row group 1" in _error(path).where
    path.write_bytes(b"x,y\n1,2\n")
    assert "Parquet" in _error(path).expected


def test_parquet_text_that_is_not_utf_8(tmp_path: Path) -> None:
    column = pa.array([b"ok", b"\xff"], pa.binary()).view(pa.string())
    pq.write_table(pa.table({"t": column}), tmp_path / "a.parquet")
    assert "UTF8" in _error(tmp_path / "a.parquet").seen


@pytest.mark.parametrize("arrow_type", [pa.struct({"a": pa.int64()}), pa.list_(pa.list_(pa.int64())), pa.time64("us")])
def test_a_type_that_examples_cannot_hold(tmp_path: Path, arrow_type: pa.DataType) -> None:
    pq.write_table(pa.table({"x": pa.array([None], arrow_type)}), tmp_path / "a.parquet")
    error = _error(tmp_path / "a.parquet")
    assert "'x'" in error.what
    assert error.where.endswith("a.parquet")


def test_an_integer_that_is_too_long(tmp_path: Path) -> None:
    pq.write_table(pa.table({"x": pa.array([2**63], pa.uint64())}), tmp_path / "a.parquet")
    error = _error(tmp_path / "a.parquet")
    assert "'x'" in error.what
    assert "9223372036854775808" in error.seen


@pytest.mark.parametrize(
    ("damage", "part"),
    [
        (lambda content: content[:-3], "record 2, offset"),
        (lambda content: content[:5], "record 1, offset 0"),
        (lambda content: content[:14] + b"?" + content[15:], "record 1, offset 0"),
        (lambda content: b"x,y\n1,2\n" * 10, "record 1, offset 0"),
    ],
)
def test_broken_tfrecord(tmp_path: Path, damage: Callable[[bytes], bytes], part: str) -> None:
    (tmp_path / "a.tfrecord").write_bytes(damage(_frame(b"\x0a\x00", b"\x0a\x00")))
    assert part in _error(tmp_path / "a.tfrecord").where


def test_records_that_are_no_examples(tmp_path: Path) -> None:
    (tmp_path / "a.tfrecord").write_bytes(_frame(b"\x0a\x00", b"no example"))
    assert "tf.Examples" in _error(tmp_path / "a.tfrecord").expected


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "a.csv").symlink_to(tmp_path / "gone.csv")
    error = _error(tmp_path / "*.csv")
    assert error.where.endswith("a.csv")
    assert error.seen == "No such file or directory"


def test_a_type_that_differs_from_file_to_file(tmp_path: Path) -> None:
    for number, values in enumerate([[1.5], [2.5], ["x"]]):
        pq.write_table(pa.table({"id": [1], "delay": values}), tmp_path / f"{number}.parquet")
    error = _error(tmp_path / "*.parquet")
    assert "'delay'" in error.what
    assert error.where.endswith("2.parquet")
    assert "text in 2.parquet" in error.seen


def test_a_label_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("late,empty\n1,\n")
    error = _error(tmp_path / "a.csv", label="latte")
    assert "Did you mean 'late'?" in error.what
    assert "no values" in _error(tmp_path / "a.csv", label="empty").what


def test_a_split_without_rows(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x\n1\n")
    error = _error(tmp_path / "a.csv", split=Split())
    assert isinstance(error, DataError)
    assert error.seen == "1 row, 1 different"
    (tmp_path / "a.csv").write_text("x\n1\n2\n")
    _ingest(tmp_path / "a.csv", split=Split())


def test_formats_that_cannot_be_told(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x\n1\n")
    (tmp_path / "b.parquet").touch()
    assert isinstance(_error(tmp_path / "*.*"), ConfigError)
    (tmp_path / "data").write_text("x\n1\n")
    assert "data.format" in _error(tmp_path / "data").fix
    _ingest(tmp_path / "data", file_format="csv")


def test_a_disk_that_is_full(tmp_path: Path) -> None:
    with ThreadPoolExecutor(1) as pool:
        writer = SplitWriter(str(tmp_path / "split"), "gzip", pool)
        writer.write(pa.array([b"example"], pa.large_binary()))
        (tmp_path / "split" / "00000.unnamed").symlink_to("/dev/full")
        with pytest.raises(StorageError, match="disk is full"):
            writer.close()


def test_a_dialect_that_is_not_plain_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = "Preise 2013\n\nOrt;Preis\nKöln;1.234,50\nMünchen;NA\n".encode("cp1252")
    (tmp_path / "a.csv").write_bytes(content)
    _ingest(tmp_path / "a.csv")
    assert (
        "note: The table is read with fields separated by ;, the encoding cp1252, decimal commas, thousands separated by .. "
        "The settings under data.csv change that.\n"
    ) in capsys.readouterr().out
    (tmp_path / "a.csv").write_text("x\n1\n")
    _ingest(tmp_path / "a.csv")
    assert "data.csv" not in capsys.readouterr().out


def test_nothing_is_lost_where_columns_come_and_go(tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_text("x\n1\n")
    (tmp_path / "2.csv").write_text("x,y\n1,2\n")
    _ingest(tmp_path / "*.csv")
