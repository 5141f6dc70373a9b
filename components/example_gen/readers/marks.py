"""The marks in the numbers of a table: the one before decimals, and the one between groups of three digits."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence, Set
from itertools import chain
from typing import Literal

from components.example_gen.readers.records import Record

# A number between what money and measurements have before and behind it.
_IN_UNIT = re.compile(
    r"\s*[-+(]?\s?(?:[$€£¥₹]|[A-Z]{3}\s)?\s?([-+]?\d[\d.,]*)(?:\s?[%‰$€£¥₹°]|\s?[A-Z]{3}|\s?°[CF]|\s[^\W\d_]{1,12})\)?\s*"
)
_DATE = re.compile(r"\s*\d{1,2}\.\d{1,2}\.\d{2,4}\s*")
_EITHER = re.compile(r"\s*[-+]?\d{1,3}[.,]\d{3}\s*")
_GROUPS = {
    ",": re.compile(r"\s*[-+]?\d{1,3}(,\d{3})+(\.\d+)?\s*"),
    ".": re.compile(r"\s*[-+]?\d{1,3}(\.\d{3})+(,\d+)?\s*"),
}
_DECIMALS = {
    ",": re.compile(r"\s*[-+]?(\d+|\d{1,3}(\.\d{3})+)?,\d+([eE][-+]?\d+)?\s*"),
    ".": re.compile(r"\s*[-+]?(\d+|\d{1,3}(,\d{3})+)?\.\d+([eE][-+]?\d+)?\s*"),
}
_SURE_GROUPS = {
    ",": re.compile(r"\s*[-+]?\d{1,3}(,\d{3})+(,\d{3}|\.\d+)\s*"),
    ".": re.compile(r"\s*[-+]?\d{1,3}(\.\d{3})+(\.\d{3}|,\d+)\s*"),
}


def decimal_mark(samples: Sequence[Sequence[Record]], delimiter: str) -> Literal[".", ","]:
    """The decimal mark: a comma where numbers have one and none has a point.

    Where commas separate fields, numbers with a comma stand in quotes, as lists such as "1,5" do: they are numbers where all of
    a column are. A number such as 1,234, with one mark and three digits after it, may be either; where there is no other, a
    comma is decimal in a table separated by semicolons, as the countries that write decimal commas separate tables.
    """
    cells = list(_cells(samples, _columns_of_lists(samples) if delimiter == "," else frozenset()))
    sure = [cell for cell in cells if not _EITHER.fullmatch(cell)]
    if any(_DECIMALS["."].fullmatch(cell) for cell in sure):
        return "."
    if any(_DECIMALS[","].fullmatch(cell) for cell in sure):
        return ","
    return "," if delimiter == ";" and any("," in cell for cell in cells if _EITHER.fullmatch(cell)) else "."


def thousands_mark(samples: Sequence[Sequence[Record]], decimal: str) -> Literal[".", ","] | None:
    """The mark between groups of three digits, where a number cannot be read otherwise, and every number that has it fits."""
    mark: Literal[".", ","] = "," if decimal == "." else "."
    numbers = [cell for cell in _cells(samples) if mark in cell and re.fullmatch(r"\s*[-+]?[\d.,]*\d\s*", cell)]
    sure = any(_SURE_GROUPS[mark].fullmatch(cell) for cell in numbers)
    # A comma in a number is no decimal mark here; a point may be the decimal mark of a column of its own.
    if (sure or mark == ",") and numbers and all(_GROUPS[mark].fullmatch(cell) for cell in numbers):
        return mark
    return None


def _cells(samples: Sequence[Sequence[Record]], without: Set[int] = frozenset()) -> Iterator[str]:
    """The cells but for those of some columns; those with a unit are told by their numbers, and dates are left out."""
    for record in chain.from_iterable(samples):
        for position, cell in enumerate(record.cells):
            if position not in without and not _DATE.fullmatch(cell):
                yield _number_in(cell)


def _columns_of_lists(samples: Sequence[Sequence[Record]]) -> frozenset[int]:
    """The positions of columns in which a cell with a comma is no number."""
    return frozenset(
        position
        for sample in samples
        for record in sample[1:]
        for position, cell in enumerate(record.cells)
        if "," in cell and not any(pattern.fullmatch(_number_in(cell)) for pattern in (*_GROUPS.values(), *_DECIMALS.values()))
    )


def _number_in(cell: str) -> str:
    amount = _IN_UNIT.fullmatch(cell)
    return amount[1] if amount else cell
