"""Figures and names of columns in words."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Iterable

from pipeline.profile.columns import ColumnProfile

_MOST_LISTED = 4
_LONGEST = 40
_PARTS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[^\W\d_A-Z]+|\d+")


def name_words(name: str) -> list[str]:
    """The words of a column's name in lower case, in order: `customerID`, `customer_id` and `Customer Id` have the same."""
    return [part.lower() for part in _PARTS.findall(name)]


def number(count: float) -> str:
    """A number with thousands marks, whole or to four digits; `inf` and `-inf` as they are."""
    return f"{count:,.0f}" if math.isfinite(count) and count == int(count) else f"{count:,.4g}"


def rows(count: int) -> str:
    """A number of rows."""
    return "1 row" if count == 1 else f"{count:,} rows"


def of_rows(count: int, total: int) -> str:
    """Some of all rows."""
    return f"{count:,} of {rows(total)}"


def among(column: ColumnProfile) -> str:
    """How many different values are in how many rows."""
    about = "" if column.is_exact else "about "
    return f"{about}{column.distinct:,} different value{'s' * (column.distinct != 1)} in {rows(column.present)}"


def listed(names: Iterable[str]) -> str:
    """Names one after the other, long ones and many shortened."""
    shown = [shortened(name) for name in names]
    more = f" and {len(shown) - _MOST_LISTED} more" if len(shown) > _MOST_LISTED else ""
    return ", ".join(shown[:_MOST_LISTED]) + more


def shortened(text: str) -> str:
    """Text on one line, of forty characters at the most."""
    line = " ".join(text.split()) if text.isprintable() else " ".join(repr(text)[1:-1].split())
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"


def quoted(name: str) -> str:
    """A name as a shell takes it."""
    return shlex.quote(name)
