"""Amounts: numbers with a unit, such as a currency, percent or °C, in parentheses where negative, or with groups of digits."""

from __future__ import annotations

import re

import pyarrow as pa
import pyarrow.compute as pc

from components.example_gen.text.notation import Notation

_CURRENCY = r"(?:[$€£¥₹]|[A-Z]{3}\b)"
# What is measured in: a sign, a word after a space, or one of the usual ones right behind the digits. Other letters there may
# be part of a name, as in `12A`.
_USUAL_UNITS = (
    "ns|µs|us|ms|s|sec|min|h|nm|µm|mm|cm|m|km|mi|ft|in|mg|g|kg|t|lbs?|oz|ml|cl|l|L|Hz|kHz|MHz|GHz|mV|V|kV|mA|mW|W|kW|MW|Wh|kWh|"
    "Pa|hPa|kPa|bar|mbar|psi|dB|rpm|km/h|m/s|mm/s|mph|kB|KB|MB|GB|TB|KiB|MiB|GiB|px|J|kJ|kcal|lx|ppm|Nm|°|°C|°F"
)
_MEASURE = rf"(?:\s?(?:{_USUAL_UNITS})|\s(?:\pL|[°µΩ])(?:\pL|[²³/·]){{0,11}})"
_UNIT_AFTER = rf"(?:\s?(?:%|‰|{_CURRENCY})|{_MEASURE})"
_GROUP_MARKS = (",", ".", "'", "\N{RIGHT SINGLE QUOTATION MARK}", " ", "\N{NO-BREAK SPACE}", "\N{NARROW NO-BREAK SPACE}")


def plain_amounts(texts: pa.Array, notation: Notation, *, whole: bool) -> pa.Array:
    """Amounts as numbers in the notation that computers share: `($1,200.50)` is -1200.50, and `45 %` is 45.

    Args:
      texts: string [N], without spaces around them.
      notation: how numbers are written. Where it has no mark between groups of digits, any that is not the decimal mark counts.
      whole: whether digits behind the decimal mark are none of a number's.

    Returns:
      string [N], null for what is no amount.
    """
    is_amount = are_amounts(texts, notation, whole=whole)
    is_negative = pc.match_substring_regex(texts, r"^\(|-")
    digits = pc.replace_substring_regex(texts, rf"[^0-9{re.escape(notation.decimal)}]", "")
    if notation.decimal != ".":
        digits = pc.replace_substring(digits, notation.decimal, ".")
    signed = pc.if_else(is_negative, pc.binary_join_element_wise("-", digits, ""), digits)
    return pc.if_else(is_amount, signed, pa.scalar(None, texts.type))


def are_amounts(texts: pa.Array, notation: Notation, *, whole: bool = False) -> pa.Array:
    """Which texts are amounts or plain numbers, bool [N]. Arguments are those of `plain_amounts`."""
    return pc.match_substring_regex(texts, f"^{_pattern(notation, whole=whole)}$")


def _pattern(notation: Notation, *, whole: bool) -> str:
    marks = [notation.thousands] if notation.thousands else [mark for mark in _GROUP_MARKS if mark != notation.decimal]
    groups = "|".join(rf"\d{{1,3}}(?:{re.escape(mark)}\d{{3}})+" for mark in marks)
    fraction = "" if whole else rf"(?:{re.escape(notation.decimal)}\d+)?"
    number = rf"(?:\d+|{groups}){fraction}"
    signed = rf"(?:[-+]?{_CURRENCY}?\s?|{_CURRENCY}\s?[-+]){number}{_UNIT_AFTER}?"
    return rf"(?:{signed}|\({_CURRENCY}?\s?{number}{_UNIT_AFTER}?\))"
