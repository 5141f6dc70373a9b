"""Whether the first record of a table has the names of its columns, and the names that columns without one are given."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise, zip_longest
from typing import NamedTuple

from components.example_gen.readers.records import Record
from pipeline.errors import DataError

_TYPED = re.compile(
    r"\s*([-+]?[\d.,' ]*\d[\d.,]*([eE][-+]?\d+)?\s?%?|[-+]?(inf|nan)"
    r"|\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}([ T]\d{1,2}:\d{2}.*)?|\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?|true|false)\s*",
    re.IGNORECASE,
)
_NULL = re.compile(r"\s*(|na|n/a|null|none|nan|\\n|\?|-)\s*", re.IGNORECASE)
_YEAR = re.compile(r"(1[89]|20)\d\d")


_SHOWN = 80


class Header(NamedTuple):
    """The header of a table.

    Attributes:
      path: a file that has it.
      cells: its fields.
    """

    path: str
    cells: Sequence[str]


def has_header(samples: Sequence[Sequence[Record]]) -> bool:
    """Whether the first records of files have names.

    A first record of words above numbers or times has. One of numbers or times above more of them has none, and neither has
    one of words that come again below, as no name of a column does. A row of successive years is a header, as of a table with
    a column for each year. Where nothing speaks against it, the first record is a header.

    Args:
      samples: the first records of each file.
    """
    verdicts = [_verdict(sample) for sample in samples if sample]
    return any(verdict is True for verdict in verdicts) or not any(verdict is False for verdict in verdicts)


def header_of(samples: Iterable[tuple[str, Sequence[Record]]]) -> Header | None:
    """The header of the first file whose first record has names for sure, or else that of the first file; None without records.

    Args:
      samples: the path and the first records of each file of a table that has a header.
    """
    filled = [(path, sample) for path, sample in samples if sample]
    sure = [(path, sample) for path, sample in filled if _verdict(sample)]
    return next((Header(path, sample[0].cells) for path, sample in [*sure, *filled]), None)


def require_header(path: str, sample: Sequence[Record], header: Header) -> None:
    """Checks that a file begins with names of columns, which need not be those of the others.

    Args:
      path: the file.
      sample: its first records.
      header: that of another file of the table.

    Raises:
      DataError: its first record has none of the header's names, and does not look like names of other columns.
    """
    if not sample or {*map(str.strip, sample[0].cells)} & {*map(str.strip, header.cells)} or _verdict(sample):
        return
    names = json.dumps(column_names(header.cells), ensure_ascii=False)
    raise DataError(
        "A file of the table has no header, and another has one.",
        where=f"{path}, line {sample[0].line}",
        expected=f"names of columns, as in {header.path}",
        seen=", ".join(sample[0].cells)[:_SHOWN],
        fix=f"Write the header into this file, too, or remove it from {header.path} and set data.csv.header to {names}. "
        "If each file has a header of its own, set data.csv.header to true.",
    )


def column_names(cells: Sequence[str]) -> list[str]:
    """The names of columns, without spaces around them.

    One that is empty becomes column0, column1 … by its place, and one that is repeated becomes x_1, x_2 …, as in DuckDB.
    """
    names: dict[str, None] = {}
    wanted = [cell.strip() or f"column{place}" for place, cell in enumerate(cells)]
    taken = set(wanted)
    for name in wanted:
        number, unique = 0, name
        while unique in names or (number and unique in taken):
            number += 1
            unique = f"{name}_{number}"
        names[unique] = None
    return list(names)


def _verdict(sample: Sequence[Record]) -> bool | None:
    first, rest = sample[0].cells, sample[1:]
    columns = list(zip_longest(*(record.cells for record in rest if len(record.cells) == len(first)), fillvalue=""))
    if not columns:
        return False if any(map(_TYPED.fullmatch, first)) and not _are_years(first) else None
    typed = [_is_typed(column) for column in columns]
    if any(each and not _NULL.fullmatch(cell) and not _TYPED.fullmatch(cell) for cell, each in zip(first, typed, strict=True)):
        return True
    numbers = [cell.strip() for cell, each in zip(first, typed, strict=True) if each and not _NULL.fullmatch(cell)]
    if numbers:
        return _are_years(numbers)
    again = [cell for cell, column in zip(first, columns, strict=True) if cell.strip() and Counter(column)[cell] > 0]
    return False if again else None


def _is_typed(column: Sequence[str]) -> bool:
    values = [cell for cell in column if not _NULL.fullmatch(cell)]
    return bool(values) and all(_TYPED.fullmatch(cell) for cell in values)


def _are_years(cells: Sequence[str]) -> bool:
    if len(cells) < 2 or not all(_YEAR.fullmatch(cell) for cell in cells):
        return False
    steps = {int(later) - int(earlier) for earlier, later in pairwise(cells)}
    return steps in ({1}, {-1})
