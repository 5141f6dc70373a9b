"""Text as values of a kind."""

from __future__ import annotations

import re
from typing import cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.example_gen.text.amounts import plain_amounts
from components.example_gen.text.characters import has_letters
from components.example_gen.text.notation import Notation
from components.example_gen.text.times import Order, read_times
from components.shared.examples.kinds import Kind
from pipeline.contracts.label import TRUTHS

_INT64_DIGITS = 19
_TYPES = {
    Kind.BOOLEAN: pa.bool_(),
    Kind.INTEGER: pa.int64(),
    Kind.FLOAT: pa.float64(),
    Kind.TIME: pa.timestamp("us"),
    Kind.ZONED_TIME: pa.timestamp("us", "UTC"),
}


class MisfitError(ValueError):
    """A value is not of the kind that the column is read as.

    Attributes:
      position: its place among the values, from 0.
      value: the value.
    """

    def __init__(self, position: int, value: object) -> None:
        super().__init__(repr(value))
        self.position, self.value = position, value


def parse(texts: pa.Array, kind: Kind, day_first: bool | None, notation: Notation) -> pa.Array:
    """Reads texts as values of a kind; spaces around them are ignored, words for null are null, amounts are numbers.

    Args:
      texts: string [N], with nulls.
      kind: any but text and no values.
      day_first: of times, whether the day goes before the month where both are numbers; None where no value leaves that open.
      notation: how numbers and nulls are written.

    Returns:
      bool, int64, double, timestamp[us] or timestamp[us, UTC], [N].

    Raises:
      MisfitError: a value is not of this kind.
    """
    quick = _quickly(texts, kind, notation)
    if quick is not None:
        return quick
    trimmed = pc.utf8_trim_whitespace(texts)
    trimmed = pc.if_else(notation.is_null(trimmed), pa.scalar(None, trimmed.type), trimmed)
    places = np.flatnonzero(trimmed.is_valid().to_numpy(zero_copy_only=False))
    present = trimmed.drop_null()
    if kind is Kind.BOOLEAN:
        parsed = _booleans(present)
    elif kind in (Kind.TIME, Kind.ZONED_TIME):
        parsed = _times(present, kind, day_first)
    else:
        parsed = _numbers(present, kind, notation)
    if parsed.null_count:
        wrong = int(np.flatnonzero(parsed.is_null().to_numpy(zero_copy_only=False))[0])
        raise MisfitError(int(places[wrong]), present[wrong].as_py())
    indices = np.zeros(len(texts), np.int64)
    indices[places] = np.arange(len(places))
    return parsed.take(pa.array(indices, mask=trimmed.is_null().to_numpy(zero_copy_only=False)))


def _quickly(texts: pa.Array, kind: Kind, notation: Notation) -> pa.Array | None:
    """What Arrow makes of the texts, where it goes by the same rules; None where it does not."""
    if kind in (Kind.INTEGER, Kind.FLOAT) and notation.decimal != ".":
        return None
    if kind is Kind.INTEGER and has_letters(texts):  # hexadecimal to Arrow
        return None
    try:
        values = texts.cast(_TYPES[kind])
    except pa.ArrowInvalid:
        return None
    if kind is Kind.FLOAT and pc.any(is_nan := pc.is_nan(values)).as_py():
        return pc.if_else(is_nan, None, values)
    return values


def _booleans(texts: pa.Array) -> pa.Array:
    lower = pc.utf8_lower(texts)
    places = pc.index_in(lower, value_set=pa.array(list(TRUTHS)))
    return pa.array(list(TRUTHS.values())).take(places)


def _numbers(texts: pa.Array, kind: Kind, notation: Notation) -> pa.Array:
    """Numbers, null for what is none."""
    lower = pc.utf8_lower(texts)
    if kind is Kind.INTEGER:
        # Tables with gaps often hold integers as floats: 250.0.
        texts = pc.replace_substring_regex(texts, rf"{re.escape(notation.decimal)}0*$", "")
    pattern = notation.whole if kind is Kind.INTEGER else rf"{notation.fractional}|[+-]?(?i:inf|infinity)"
    plain = pc.if_else(pc.match_substring_regex(texts, f"^(?:{pattern})$"), notation.plain(texts), pa.scalar(None, texts.type))
    plain = pc.coalesce(plain, plain_amounts(texts, notation, whole=kind is Kind.INTEGER))
    plain = pc.if_else(pc.equal(lower, "true"), "1", pc.if_else(pc.equal(lower, "false"), "0", plain))
    try:
        return plain.cast(_TYPES[kind])
    except pa.ArrowInvalid:  # beyond 64 bits
        return pa.array([_integer(text) for text in plain.to_pylist()], pa.int64())


def _integer(text: str | None) -> int | None:
    if text is None or len(digits := text.lstrip("-").lstrip("0")) > _INT64_DIGITS:
        return None
    number = int(digits or "0") * (-1 if text.startswith("-") else 1)
    return number if -(2**63) <= number < 2**63 else None


def _times(texts: pa.Array, kind: Kind, day_first: bool | None) -> pa.Array:
    """Times, null for what is none or could be one of two."""
    times = read_times(texts)
    values = times.month_first if day_first is False else times.day_first
    impossible = {True: Order.MONTH_FIRST, False: Order.DAY_FIRST, None: Order.EITHER}[day_first]
    is_none = (times.order == Order.NO_TIME) | (times.order == impossible)
    if day_first is None:
        values = np.where(times.order == Order.MONTH_FIRST, times.month_first, values)
    if kind is Kind.TIME:
        is_none |= times.has_zone
    return cast("pa.Array", pa.array(values, mask=is_none).cast(pa.timestamp("us"))).cast(_TYPES[kind])
