"""How numbers and nulls are written in a table of text."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

_ALWAYS_NULL = ("", "nan", "-nan", "+nan")
# What a spreadsheet writes in place of a value that it could not compute.
_SHEET_ERRORS = ("#div/0!", "#value!", "#ref!", "#name?", "#num!", "#null!")
_USUAL_NULLS = ("na", "n/a", "#n/a", "null", "none", "nil", r"\n", "?", "-", "--", "---", "<na>", *_SHEET_ERRORS)


@dataclass(frozen=True)
class Notation:
    """The marks in numbers, and the words for null.

    Attributes:
      decimal: the decimal mark.
      thousands: the mark between groups of three digits; None where there is none.
      nulls: the words that stand for null between numbers and times, in lower case; a blank and nan always do.
    """

    decimal: str = "."
    thousands: str | None = None
    nulls: tuple[str, ...] = _USUAL_NULLS

    @property
    def whole(self) -> str:
        """A regular expression for whole numbers."""
        groups = rf"|\d{{1,3}}(?:{re.escape(self.thousands)}\d{{3}})+" if self.thousands else ""
        return rf"[+-]?(?:\d+{groups})"

    @property
    def fractional(self) -> str:
        """A regular expression for numbers with a decimal mark or an exponent."""
        mark = re.escape(self.decimal)
        return rf"[+-]?(?:(?:{self.whole.removeprefix('[+-]?')})(?:{mark}\d*)?|{mark}\d+)(?:[eE][+-]?\d+)?"

    def is_null(self, trimmed: pa.Array) -> pa.Array:
        """Which texts, without spaces around them, are words for null."""
        return pc.is_in(pc.utf8_lower(trimmed), value_set=pa.array([*_ALWAYS_NULL, *self.nulls], trimmed.type))

    def plain(self, trimmed: pa.Array) -> pa.Array:
        """Texts of numbers in the notation that computers share: no leading plus, a point, no groups."""
        if self.thousands:
            trimmed = pc.replace_substring(trimmed, self.thousands, "")
        if self.decimal != ".":
            trimmed = pc.replace_substring(trimmed, self.decimal, ".")
        return pc.utf8_ltrim(trimmed, "+")
