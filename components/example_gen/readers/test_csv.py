from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from components.example_gen.readers import csv, delimited
from components.example_gen.readers.dialect import Dialect
from components.example_gen.text.forms import Form


def _read(path: Path) -> list[dict[str, Any]]:
    reader = csv.CsvReader(Dialect())
    columns = reader.scan(str(path), []).columns
    return [row for batch in reader.batches(str(path), columns) for row in batch.to_pylist()]


@pytest.mark.parametrize("block_bytes", [12, 1 << 20])
def test_all_blocks_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block_bytes: int) -> None:
    monkeypatch.setattr(delimited, "BLOCK_BYTES", block_bytes)
    path = tmp_path / "a.csv"
    path.write_text("x,y,z\n" + "1,a,\n" * 9 + "2.5,b,\n" + "NA,c,\n" * 9)
    summary = csv.CsvReader(Dialect()).scan(str(path), ["y"])
    assert summary.rows == 19
    counts = {name: {form: seen.count for form, seen in column.forms.items()} for name, column in summary.columns.items()}
    assert counts == {"x": {Form.WHOLE: 9, Form.FRACTION: 1, Form.NULL: 9}, "y": {}, "z": {}}


def test_quotes_commas_line_breaks_and_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('\ufeffa,b\r\n"x, ""y""","line 1\nline 2"\r\n\r\n"",ü\r\n', newline="")
    assert _read(path) == [{"a": 'x, "y"', "b": "line 1\nline 2"}, {"a": None, "b": "ü"}]
