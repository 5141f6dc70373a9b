from __future__ import annotations

import datetime
import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.example_gen.readers import json_lines
from components.example_gen.table import Table, open_table
from components.shared.examples.kinds import Kind
from pipeline.config import Data
from pipeline.errors import DataError


def table(path: Path, text: str, **data: Any) -> Table:
    path.write_text(text)
    return open_table(Data(input=str(path), **data))


def rows(of: Table) -> list[dict[str, Any]]:
    return [row for batch in of.batches() for row in batch.to_pylist()]


def test_values_have_the_types_of_json(tmp_path: Path) -> None:
    found = table(
        tmp_path / "a.jsonl",
        '{"i": 1, "f": 1.5, "b": true, "t": "007", "n": null, "d": "2013-01-31"}\n'
        '\n{"d": "2013-02-01T05:30:00", "i": 2, "f": 2, "b": false, "t": "12", "l": [1, 2]}\n',
    )
    assert found.kinds == {
        "i": Kind.INTEGER,
        "f": Kind.FLOAT,
        "b": Kind.BOOLEAN,
        "t": Kind.TEXT,
        "n": Kind.EMPTY,
        "d": Kind.TIME,
        "l": Kind.INTEGER,
    }
    assert rows(found) == [
        {"i": 1, "f": 1.5, "b": True, "t": "007", "n": None, "d": datetime.datetime(2013, 1, 31), "l": None},
        {"i": 2, "f": 2.0, "b": False, "t": "12", "n": None, "d": datetime.datetime(2013, 2, 1, 5, 30), "l": [1, 2]},
    ]


@pytest.mark.parametrize(
    "text",
    [
        '{"x": 1}\n{"x": 2}',
        '{"x": 1}{"x": 2}',
        '[{"x": 1}, {"x": 2}]\n',
        '\n[\n  {\n    "x": 1\n  },\n  {"x": 2}\n]',
        '{\n "x": 1}\r\n{"x"\n:\n2}\n',
        '\ufeff{"x": 1}\n{"x": 2}\n',
    ],
)
@pytest.mark.parametrize("chunk", [5, 1 << 20])
def test_rows_stand_in_any_layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, chunk: int) -> None:
    monkeypatch.setattr(json_lines, "_CHUNK_CHARS", chunk)
    assert rows(table(tmp_path / "a.json", text)) == [{"x": 1}, {"x": 2}]


@given(
    st.lists(
        st.dictionaries(st.sampled_from("abc"), st.integers() | st.booleans() | st.lists(st.text()), min_size=1), min_size=1
    ),
    st.integers(1, 3),
)
def test_no_rows_make_it_crash(tmp_path_factory: pytest.TempPathFactory, values: list[dict[str, Any]], cut: int) -> None:
    path = tmp_path_factory.mktemp("json") / "a.jsonl"
    lines = [json.dumps(row) for row in values]
    try:
        found = table(path, "\n".join(lines))
        assert len(rows(found)) == len(values)
    except DataError as error:
        assert error.fix  # noqa: PT017 - either


def test_digits_beyond_64_bits_are_kept_as_text(tmp_path: Path) -> None:
    for digits in ("123456789012345678901234567890", "1" * 5_000):
        found = table(tmp_path / "a.jsonl", f'{{"x": {digits}}}\n{{"x": 1}}\n')
        assert [row["x"] for row in rows(found)] == [digits, "1"]


def test_numbers_beside_text_are_text(tmp_path: Path) -> None:
    found = table(tmp_path / "a.jsonl", '{"x": 1}\n{"x": "100A"}\n{"x": 20}\n')
    assert [row["x"] for row in rows(found)] == ["1", "100A", "20"]
    found = table(tmp_path / "b.jsonl", '{"x": 1.5, "y": true}\n{"x": "a", "y": "a"}\n')
    assert rows(found) == [{"x": "1.5", "y": "true"}, {"x": "a", "y": "a"}]


@pytest.mark.parametrize(
    ("values", "settings", "texts"),
    [
        (["1.0", "1.0", '"a"'], {}, ["1", "1", "a"]),
        (["1.0", "1.0", "2"], {"columns": {"x": "text"}}, ["1", "1", "2"]),
        (["0.5", "9007199254740993", "0.5"], {}, ["0.5", "9007199254740993", "0.5"]),
    ],
)
def test_a_text_column_is_written_alike_in_every_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, values: list[str], settings: dict[str, Any], texts: list[str]
) -> None:
    for batch_rows in (1, 2, 3):
        monkeypatch.setattr(json_lines, "BATCH_ROWS", batch_rows)
        found = table(tmp_path / "a.jsonl", "".join(f'{{"x": {value}}}\n' for value in values), **settings)
        assert [row["x"] for row in rows(found)] == texts


def test_a_number_is_no_time_whatever_it_stands_beside(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read as its type"):
        rows(table(tmp_path / "a.jsonl", '{"x": 5}\n', columns={"x": "time"}))


def test_rows_without_any_column_are_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_lines, "BATCH_ROWS", 2)
    assert [row["x"] for row in rows(table(tmp_path / "a.jsonl", "{}\n{}\n" + '{"x": 2}\n'))] == [None, None, 2]


def test_objects_within_objects_are_ignored_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with pytest.raises(DataError) as caught:
        table(path, '{"x": 1, "o": {"y": 2}}\n')
    assert "features: {o: {kind: ignore}}" in caught.value.fix
    assert rows(open_table(Data(input=str(path)), ignored=["o"])) == [{"x": 1}]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('{"x": 1}\n{"x": }\n{"x": 2}\n', 2),
        ('{"x": 1}\n\n[1, 2]\n', 3),
        ('[{"x": 1},\n{"x": 2}\n', 3),
        ('[{"x": 1}]\n{"x": 2}\n', 1),
        ('{"x": 1}\n{"x": "a\n', 2),
        ("[1, 2]\n", 1),
        ('{"x": 1}\n{"x": "\\ud800"}\n', 2),
        ('{"x": 1}\n{"\\uDFFF": 1}\n', 2),
    ],
)
def test_a_broken_row_is_named_by_its_line(tmp_path: Path, text: str, line: int) -> None:
    with pytest.raises(DataError) as caught:
        table(tmp_path / "a.json", text)
    assert caught.value.where.endswith(f"a.json, line {line}")
    assert caught.value.fix


def test_a_broken_row_is_found_without_reading_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_lines, "_CHUNK_CHARS", 100)
    with pytest.raises(DataError, match="cannot be read"):
        table(tmp_path / "a.jsonl", '{"x" 1}' + '{"x": 2}\n' * 1_000)


def test_compressed_json(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"x": 1}\n'))
    assert rows(open_table(Data(input=str(path)))) == [{"x": 1}]
    path.write_bytes(gzip.compress(b'{"x": 1}\n' * 10_000)[:-9])
    with pytest.raises(DataError, match="damaged"):
        open_table(Data(input=str(path)))
