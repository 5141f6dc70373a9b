from __future__ import annotations

import bz2
import gzip
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tensorflow.core.example import example_pb2

from components.example_gen.formats import format_of, require_format
from components.example_gen.table import open_table
from components.shared.examples import tfrecord
from pipeline.config import Csv, Data
from pipeline.errors import ConfigError, DataError


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.csv", "csv"),
        ("A.CSV", "csv"),
        ("a.tsv", "csv"),
        ("a.tab.gz", "csv"),
        ("a.b.csv.zst", "csv"),
        ("a.txt", "csv"),
        ("part-00000.csv.gz", "csv"),
        ("part-00000-of-00003.csv", "csv"),
        ("a.csv-00000-of-00003", "csv"),
        ("a.parquet", "parquet"),
        ("a.pq", "parquet"),
        ("a.tfrecord", "tfrecord"),
        ("a.tfrecords.gz", "tfrecord"),
        ("data_tfrecord-00000-of-00002.gz", "tfrecord"),
        ("a.tfrecord-00000-of-00010", "tfrecord"),
    ],
)
def test_the_format_by_a_name(name: str, expected: str) -> None:
    assert format_of(f"/nowhere/{name}") == expected


def test_the_format_by_content(tmp_path: Path) -> None:
    pq.write_table(pa.table({"x": [1]}), tmp_path / "one")
    assert format_of(str(tmp_path / "one")) == "parquet"
    (tmp_path / "two.gz").write_bytes(gzip.compress(tfrecord.frame(pa.array([b"\x0a\x00"], pa.large_binary())).to_pybytes()))
    assert format_of(str(tmp_path / "two.gz")) == "tfrecord"
    (tmp_path / "csv").write_text("x,y\n1,2\n")
    with pytest.raises(ConfigError, match=r"cannot be derived"):
        format_of(str(tmp_path / "csv"))


def zstd(content: bytes) -> bytes:
    return bytes(pa.Codec("zstd").compress(content, asbytes=True))


def tf_example(number: int) -> bytes:
    made = example_pb2.Example()
    made.features.feature["x"].int64_list.value.append(number)
    return bytes(made.SerializeToString())


PARTS: dict[str, Callable[[Sequence[int]], bytes]] = {
    "csv": lambda numbers: "".join(f"{number}\n" for number in numbers).encode(),
    "jsonl": lambda numbers: "".join(f'{{"x": {number}}}\n' for number in numbers).encode(),
    "tfrecord": lambda numbers: tfrecord.frame(pa.array(map(tf_example, numbers), pa.large_binary())).to_pybytes(),
}


@pytest.mark.parametrize("ending", PARTS)
@pytest.mark.parametrize(("name", "compress"), [("gzip", gzip.compress), ("bz2", bz2.compress), ("zstd", zstd)])
def test_files_of_several_compressed_parts_are_read_to_their_end(
    tmp_path: Path, name: str, compress: Callable[[bytes], bytes], ending: str
) -> None:
    path = tmp_path / f"a.{ending}"
    data = Data(input=str(path), csv=Csv(header=["x"]))
    path.write_bytes(compress(PARTS[ending]([1, 2])) + compress(PARTS[ending]([3])))
    assert [row["x"] for batch in open_table(data).batches() for row in batch.to_pylist()] == [1, 2, 3]

    whole = compress(PARTS[ending]([number**4 for number in range(9_000)]))
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="damaged") as caught:
        open_table(data)
    assert caught.value.expected == f"a whole {name} file"


@pytest.mark.parametrize(
    ("content", "seen"),
    [
        (b"PK\x03\x04rest", "ZIP"),
        (b"\xd0\xcf\x11\xe0rest", "Excel"),
        (b"\n <!DOCTYPE html><html>", "web page"),
        (b"<?xml version='1.0'?>", "XML"),
        (b"SQLite format 3\0rest", "SQLite"),
        (b"ARROW1\0\0rest", "Arrow"),
        (b"\xfd7zXZ\0", "xz"),
        (b"%PDF-1.7", "PDF"),
    ],
)
def test_a_file_of_another_kind_is_named(tmp_path: Path, content: bytes, seen: str) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        require_format(str(path), "csv")
    assert seen in caught.value.seen
    assert caught.value.fix


def test_a_file_that_is_not_what_its_name_says(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    pq.write_table(pa.table({"x": [1]}), path)
    with pytest.raises(DataError) as caught:
        require_format(str(path), format_of(str(path)))
    assert caught.value.fix == "Set data.format to parquet."
    require_format(str(path), "parquet")
