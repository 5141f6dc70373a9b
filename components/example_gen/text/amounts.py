"""Amounts: numbers with the sign of a currency or of percent, in parentheses where negative, or with groups of digits."""

from __future__ import annotations

import re

import pyarrow as pa
import pyarrow.compute as pc

from components.example_gen.text.notation import Notation

_UNIT = r"(?:[$€£¥₹]|[A-Z]{3}\b)"
_GROUP_MARKS = (",", ".", "'", " ", "\N{NO-BREAK SPACE}")


def plain_amounts(texts: pa.Array, notation: Notation, *, whole: bool) -> pa.Array:
    """Amounts as numbers in the notation that computers share: `($1,200.50)` is -1200.50, and `45 %` is 45.

    Args:
      texts: string [N], without spaces around them.
      notation: how numbers are written. Where it has no mark between groups of digits, any that is not the decimal mark counts.
      whole: whether digits behind the decimal mark are none of a number's.

    Returns:
      string [N], null for what is no amount.
    """
    is_amount = pc.match_substring_regex(texts, f"^{_pattern(notation, whole=whole)}$")
    is_negative = pc.match_substring_regex(texts, r"^\(|-")
    digits = pc.replace_substring_regex(texts, rf"[^0-9{re.escape(notation.decimal)}]", "")
    if notation.decimal != ".":
        digits = pc.replace_substring(digits, notation.decimal, ".")
    signed = pc.if_else(is_negative, pc.binary_join_element_wise("-", digits, ""), digits)
    return pc.if_else(is_amount, signed, pa.scalar(None, texts.type))


def _pattern(notation: Notation, *, whole: bool) -> str:
    marks = [notation.thousands] if notation.thousands else [mark for mark in _GROUP_MARKS if mark != notation.decimal]
    groups = "|".join(rf"\d{{1,3}}(?:{re.escape(mark)}\d{{3}})+" for mark in marks)
    fraction = "" if whole else rf"(?:{re.escape(notation.decimal)}\d+)?"
    number = rf"(?:\d+|{groups}){fraction}"
    signed = rf"(?:-?{_UNIT}?\s?|{_UNIT}\s?-){number}\s?(?:%|{_UNIT})?"
    return rf"(?:{signed}|\({_UNIT}?\s?{number}\s?(?:%|{_UNIT})?\))"
