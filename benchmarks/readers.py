"""Reads a folder of other people's test files as Conveyor does, and as DuckDB does, and counts where they agree.

    git clone --depth 1 https://github.com/duckdb/duckdb /tmp/duckdb
    .venv/bin/python -m benchmarks.readers /tmp/duckdb/data
    .venv/bin/python -m benchmarks.readers /tmp/duckdb/data --differences

Delimited text is compared cell by cell, as text: that is what a sniffer decides. Parquet and JSON are compared value by value.
Exits with 1 if a file ends in anything but rows or an error that says what to do.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
from rich.console import Console
from rich.table import Table as Grid

from components.example_gen.formats import format_of, require_format
from components.example_gen.readers.delimited import DelimitedFile
from components.example_gen.readers.sniffing import find_dialect
from components.example_gen.table import open_table
from pipeline.config import Csv, Data
from pipeline.errors import ConveyorError

_MOST_BYTES = 8 << 20
_ENDINGS = (".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".parquet", ".csv.gz", ".csv.zst", ".json.gz", ".tsv.gz")
Columns = dict[str, list[Any]]


def main() -> int:
    """Reads the files, prints the counts, and returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="the folder with the files")
    parser.add_argument("--differences", action="store_true", help="also print what differs, file by file")
    parser.add_argument("--without", action="append", default=[], help="leave out paths that contain this, such as fuzz")
    options = parser.parse_args()
    console = Console(highlight=False, soft_wrap=True)
    counts: dict[str, Counter[str]] = {}
    for path in _files(options.folder, options.without):
        outcome, what = _compare(path)
        counts.setdefault(_format(path), Counter())[outcome] += 1
        if options.differences and outcome != "equal":
            console.print(f"{outcome}: {path.relative_to(options.folder)}: {what}", markup=False)
    outcomes = ["equal", "differs", "read, refused by DuckDB", "refused", "refused by both", "crashed"]
    grid = Grid("", *outcomes, "files")
    for name, found in sorted(counts.items()):
        grid.add_row(name, *(str(found[outcome]) for outcome in outcomes), str(found.total()))
    console.print(grid)
    return int(any(found["crashed"] for found in counts.values()))


def _files(folder: Path, without: list[str]) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        is_left_out = any(part in str(path.relative_to(folder)) for part in without)
        if path.name.endswith(_ENDINGS) and path.is_file() and path.stat().st_size <= _MOST_BYTES and not is_left_out:
            yield path


def _format(path: Path) -> str:
    try:
        return format_of(str(path))
    except ConveyorError:
        return "unknown"


def _compare(path: Path) -> tuple[str, str]:
    is_text = _format(path) == "csv"
    try:
        theirs: Columns | None = _theirs(path, is_text)
        reason = ""
    except (duckdb.Error, UnicodeError) as error:
        theirs, reason = None, str(error).splitlines()[0]
    try:
        ours = _cells(path) if is_text else _values(path)
    except ConveyorError as error:
        return ("refused by both" if theirs is None else "refused"), f"{error.what} {error.where}: {error.seen}"
    except Exception as error:
        return "crashed", f"{type(error).__name__}: {error}"
    if theirs is None:
        return "read, refused by DuckDB", reason
    if _same(ours, theirs):
        return "equal", ""
    return "differs", f"{_shape(ours)} here, {_shape(theirs)} by DuckDB"


def _cells(path: Path) -> Columns:
    require_format(str(path), "csv")
    file = DelimitedFile(str(path), find_dialect([str(path)], Csv()))
    rows = [row for batch in file.batches(file.names) for row in batch.to_pylist()]
    return {name: [row[name] for row in rows] for name in file.names}


def _values(path: Path) -> Columns:
    table = open_table(Data(input=_literal(path)))
    rows = [row for batch in table.batches() for row in batch.to_pylist()]
    return {name: [row[name] for row in rows] for name in table.kinds}


def _literal(path: Path) -> str:
    return str(path).replace("*", "?").replace("{", "?").replace("}", "?")


def _theirs(path: Path, is_text: bool) -> Columns:
    if is_text:
        found = duckdb.read_csv(str(path), all_varchar=True, hive_partitioning=False)
    elif _format(path) == "json":
        found = duckdb.read_json(str(path))
    else:
        found = duckdb.read_parquet(str(path), hive_partitioning=False)
    rows = found.fetchall()
    return {name: [row[place] for row in rows] for place, name in enumerate(found.columns)}


def _same(ours: Columns, theirs: Columns) -> bool:
    return list(ours) == list(theirs) and all(
        len(ours[name]) == len(theirs[name]) and all(map(_equal, ours[name], theirs[name])) for name in ours
    )


def _equal(ours: Any, theirs: Any) -> bool:
    ours, theirs = _plain(ours), _plain(theirs)
    if isinstance(ours, float) and isinstance(theirs, float):
        return math.isclose(ours, theirs, rel_tol=1e-12) or (math.isnan(ours) and math.isnan(theirs))
    return bool(ours == theirs)


def _plain(value: Any) -> Any:
    """Values that mean the same in one form: an empty text is null, a day its midnight, a decimal and an integer a float."""
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    if isinstance(value, datetime):
        return value.replace(tzinfo=None)
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day)
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace") or None
    if isinstance(value, Decimal | int):
        return float(value)
    return None if value == "" else value


def _shape(columns: Columns) -> str:
    rows = len(next(iter(columns.values()), []))
    names = ", ".join(list(columns)[:4])
    return f"{rows:,} rows of {len(columns)} columns ({names}{', …' if len(columns) > 4 else ''})"


if __name__ == "__main__":
    sys.exit(main())
