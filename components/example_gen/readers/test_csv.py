from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.example_gen.readers import csv, delimited
from components.example_gen.readers.dialect import Dialect
from components.shared.examples.kinds import Kind


def _read(path: Path) -> list[dict[str, Any]]:
    reader = csv.CsvReader(Dialect())
    kinds = reader.scan(str(path)).kinds
    return [row for batch in reader.batches(str(path), kinds) for row in batch.to_pylist()]


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["1", "-2", " 3", ""], Kind.INTEGER),
        (["9223372036854775807", "-9223372036854775808"], Kind.INTEGER),
        (["1", "2.5"], Kind.FLOAT),
        (["nan", "-inf", "1e-7"], Kind.FLOAT),
        (["12345678901234567890", "1"], Kind.TEXT),
        (["0x1F", "2"], Kind.TEXT),
        (["10025", "N/A"], Kind.TEXT),
        (["true", "False"], Kind.BOOLEAN),
        (["true", "1"], Kind.TEXT),
        (["2013-01-01", "2013-01-01 05:30:00.25"], Kind.TIME),
        (["2013-01-01T05:30:00Z", "2013-01-01 05:30:00+02:00"], Kind.ZONED_TIME),
        (["2013-01-01T05:30:00Z", "2013-01-01"], Kind.TEXT),
        (["12:30"], Kind.TEXT),
        (["", ""], Kind.EMPTY),
    ],
)
@pytest.mark.parametrize("block_bytes", [12, 1 << 20])
def test_a_kind_is_that_of_all_values(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, values: list[str], kind: Kind, block_bytes: int
) -> None:
    monkeypatch.setattr(delimited, "BLOCK_BYTES", max(block_bytes, *(len(value) + 4 for value in values)))
    path = tmp_path / "a.csv"
    path.write_text("x,y\n" + "".join(f"{value},1\n" for value in values))
    assert csv.CsvReader(Dialect()).scan(str(path)).kinds == {"x": kind, "y": Kind.INTEGER}


def test_quotes_commas_line_breaks_and_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('\ufeffa,b\r\n"x, ""y""","line 1\nline 2"\r\n\r\n"",ü\r\n', newline="")
    assert _read(path) == [{"a": 'x, "y"', "b": "line 1\nline 2"}, {"a": None, "b": "ü"}]


@given(st.lists(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=2, max_size=2), min_size=1))
def test_integers_keep_every_digit(tmp_path_factory: pytest.TempPathFactory, rows: list[list[int]]) -> None:
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    path.write_text("x,y\n" + "".join(f"{x},{y}\n" for x, y in rows))
    assert [[row["x"], row["y"]] for row in _read(path)] == rows
