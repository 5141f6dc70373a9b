"""The rows of a table as its files have them."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.example_gen.as_read import RowsAsRead
from components.example_gen.readers import json_lines
from components.example_gen.spans import SingleSplit
from components.shared.examples.encoder import encode
from components.shared.examples.kinds import Kind
from components.shared.examples.tfrecord import frame
from pipeline.config import Data


def read(pattern: Path) -> pa.Table:
    rows = RowsAsRead.open(Data(input=str(pattern)), SingleSplit())
    return pa.Table.from_batches(rows.batches())


def test_parquet_keeps_its_types_also_those_that_cannot_be_learnt_from(tmp_path: Path) -> None:
    table = pa.table(
        {
            "small": pa.array([1, None], pa.int8()),
            "parts": pa.array([{"x": 1}, None]),
            "when": pa.array([0, 1], pa.timestamp("us", "Europe/Berlin")),
            "kind": pa.array(["a", "b"]).dictionary_encode(),
        }
    )
    pq.write_table(table, tmp_path / "rows.parquet")
    assert read(tmp_path / "rows.parquet").equals(table)


def test_text_stays_text(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("code;price;note\n007;1,50;NA\n+49151;;\n")
    assert read(tmp_path / "rows.csv").to_pydict() == {
        "code": ["007", "+49151"],
        "price": ["1,50", None],
        "note": ["NA", None],
    }


def test_a_tfrecord_file_has_lists_where_rows_have_several_values(tmp_path: Path) -> None:
    columns = {"n": pa.array([1, None]), "word": pa.array(["Köln", "b"]), "tags": pa.array([["a", "b"], ["c"]])}
    kinds = {"n": Kind.INTEGER, "word": Kind.TEXT, "tags": Kind.TEXT}
    path = tmp_path / "rows.tfrecord"
    path.write_bytes(frame(encode(pa.record_batch(columns), kinds)))
    rows = read(path)
    assert rows.select(["n", "word"]).to_pydict() == {"n": [1, None], "word": ["Köln", "b"]}
    assert rows["tags"].to_pylist() == [[b"a", b"b"], [b"c"]]


def test_of_spans_the_newest_is_read(tmp_path: Path) -> None:
    for span in (9, 10):
        (tmp_path / f"span-{span}.csv").write_text(f"x,y\n{span},1\n")
    assert read(tmp_path / "span-{SPAN}.csv").to_pydict() == {"x": ["10"], "y": ["1"]}


def test_a_column_of_json_has_one_type_whatever_its_batches_have(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_lines, "BATCH_ROWS", 1)
    rows = '{"n": 1, "t": 1.5, "l": [], "d": "2013-01-31"}\n{"n": true, "t": "a", "l": ["b"], "d": null}\n'
    (tmp_path / "rows.jsonl").write_text(rows)
    assert read(tmp_path / "rows.jsonl").to_pydict() == {
        "n": [1, 1],
        "t": ["1.5", "a"],
        "l": [[], ["b"]],
        "d": ["2013-01-31", None],
    }
