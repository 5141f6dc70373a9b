"""The forms of text: what a value looks like, decided for each value alone."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from components.example_gen.text.amounts import are_amounts
from components.example_gen.text.characters import are_canonical, has_letters
from components.example_gen.text.notation import Notation
from components.example_gen.text.times import Order, Times, read_times

_FLOAT32_WHOLE = 2**24
_FLOAT64_WHOLE = 2**53
_INT64_DIGITS = 19
_LONGEST_WITH_PLUS = 6
_FIRST_VALUES = 100


class Form(str, Enum):
    """What a text looks like; its value is the name that messages use."""

    NULL = "words for null"
    TRUTH = "true or false"
    WHOLE = "whole numbers"
    LONG = f"whole numbers beyond {_FLOAT32_WHOLE:,}"
    LONGER = f"whole numbers beyond {_FLOAT64_WHOLE:,}"
    FRACTION = "numbers"
    INFINITE = "infinities"
    CODE = "digits that are no number"
    TIME = "times"
    ZONED_TIME = "times with a zone"
    DAY_FIRST = "dates with the day first"
    MONTH_FIRST = "dates with the month first"
    EITHER_ORDER = "dates whose day and month may change places"
    AMOUNT = "amounts with a unit or groups of digits"
    TEXT = "text"


FORMS = tuple(Form)
_WITHOUT_EXAMPLE = (Form.WHOLE, Form.FRACTION)
_CODES = {form: code for code, form in enumerate(FORMS)}


def forms_of(texts: pa.Array, notation: Notation) -> dict[Form, tuple[int, str]]:
    """Counts texts by form.

    Args:
      texts: string, without nulls.
      notation: how numbers are written.

    Returns:
      How many there are of each form that occurs, and the first of them in the order of characters, which takes long to find
      and is empty for ordinary numbers: neither depends on the order of the texts.
    """
    plain = _plain_forms(texts, notation)
    if plain is not None:
        return _count(texts, plain)
    counted = texts.value_counts()
    distinct = counted.field("values")
    return _count(distinct, classify(pc.utf8_trim_whitespace(distinct), notation), counted.field("counts").to_numpy())


def classify(trimmed: pa.Array, notation: Notation) -> npt.NDArray[np.int8]:
    """The form of each text.

    Args:
      trimmed: string [N], without nulls and without spaces around the texts.
      notation: how numbers are written.

    Returns:
      int8 [N], positions in `FORMS`.
    """
    codes = np.full(len(trimmed), _CODES[Form.TEXT], np.int8)
    lower = pc.utf8_lower(trimmed)
    _mark(codes, pc.is_in(lower, value_set=pa.array(["true", "false"])), Form.TRUTH)
    _mark(codes, pc.match_substring_regex(lower, r"^[+-]?inf(inity)?$"), Form.INFINITE)
    digits = np.flatnonzero(pc.match_substring_regex(trimmed, r"\d").to_numpy(zero_copy_only=False))
    if len(digits):
        codes[digits] = _classify_digits(trimmed.take(pa.array(digits)), notation)
    _mark(codes, notation.is_null(trimmed), Form.NULL)
    return codes


def _mark(codes: npt.NDArray[np.int8], where: pa.Array, form: Form) -> None:
    codes[where.to_numpy(zero_copy_only=False)] = _CODES[form]


def _classify_digits(texts: pa.Array, notation: Notation) -> npt.NDArray[np.int8]:
    """The forms of texts that have digits."""
    codes = np.full(len(texts), _CODES[Form.TEXT], np.int8)
    _mark(codes, are_amounts(texts, notation), Form.AMOUNT)
    _mark(codes, pc.match_substring_regex(texts, f"^{notation.fractional}$"), Form.FRACTION)
    whole = np.flatnonzero(pc.match_substring_regex(texts, f"^{notation.whole}$").to_numpy(zero_copy_only=False))
    codes[whole] = _classify_whole(texts.take(pa.array(whole)), notation)
    rest = np.flatnonzero((codes == _CODES[Form.TEXT]) | (codes == _CODES[Form.AMOUNT]))
    times = forms_of_times(read_times(texts.take(pa.array(rest))))
    codes[rest] = np.where(times < 0, codes[rest], times)
    return codes


def forms_of_times(times: Times) -> npt.NDArray[np.int8]:
    """The form of each text that is a time, -1 for what is none."""
    clear = np.where(times.has_zone, _CODES[Form.ZONED_TIME], _CODES[Form.TIME])
    by_order = np.array([-1, 0, _CODES[Form.DAY_FIRST], _CODES[Form.MONTH_FIRST], _CODES[Form.EITHER_ORDER]])
    return np.where(times.order == Order.CLEAR, clear, by_order[times.order]).astype(np.int8)


def _classify_whole(texts: pa.Array, notation: Notation) -> npt.NDArray[np.int8]:
    plain = notation.plain(texts)
    digits = pc.utf8_ltrim(plain, "-")
    length = pc.utf8_length(digits).to_numpy(zero_copy_only=False)
    is_code = (length > 1) & pc.starts_with(digits, "0").to_numpy(zero_copy_only=False)
    is_code |= (length > _LONGEST_WITH_PLUS) & pc.starts_with(texts, "+").to_numpy(zero_copy_only=False)
    is_code |= length > _INT64_DIGITS
    longest = np.flatnonzero(length == _INT64_DIGITS)
    numbers = map(int, plain.take(pa.array(longest)).to_pylist())
    is_code[longest] |= np.fromiter((not -(2**63) <= number < 2**63 for number in numbers), bool, len(longest))
    codes = np.full(len(texts), _CODES[Form.CODE], np.int8)
    exact = np.flatnonzero(~is_code)
    codes[exact] = _sizes(plain.take(pa.array(exact)).cast(pa.int64()).to_numpy())
    return codes


def _sizes(numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.int8]:
    """The forms of whole numbers by what a float can tell apart."""
    conditions = [
        (numbers >= -_FLOAT32_WHOLE) & (numbers <= _FLOAT32_WHOLE),
        (numbers >= -_FLOAT64_WHOLE) & (numbers <= _FLOAT64_WHOLE),
    ]
    return np.select(conditions, [_CODES[Form.WHOLE], _CODES[Form.LONG]], _CODES[Form.LONGER]).astype(np.int8)


def _plain_forms(texts: pa.Array, notation: Notation) -> npt.NDArray[np.int8] | None:
    """The forms of texts that Arrow takes for numbers or times of one kind; None where it does not."""
    for arrow_type, forms in _QUICK_WAYS:
        if notation.decimal != "." and not pa.types.is_timestamp(arrow_type):
            continue
        try:
            # Arrow takes long to fail on many values, and for most columns the first ones rule out a wrong type.
            texts.slice(0, _FIRST_VALUES).cast(arrow_type)
            values = texts.cast(arrow_type)
        except pa.ArrowInvalid:
            continue
        return forms(texts, values)
    return None


def _plain_whole(texts: pa.Array, values: pa.Array) -> npt.NDArray[np.int8] | None:
    # Arrow takes hexadecimal numbers, too.
    return None if has_letters(texts) or not are_canonical(texts) else _sizes(values.to_numpy())


def _plain_fractions(texts: pa.Array, values: pa.Array) -> npt.NDArray[np.int8] | None:
    if has_letters(texts):  # infinite, none, or with an exponent
        return None
    codes = np.full(len(texts), _CODES[Form.FRACTION], np.int8)
    whole = np.flatnonzero(~pc.match_substring(texts, ".").to_numpy(zero_copy_only=False))
    codes[whole] = _classify_whole(texts.take(pa.array(whole)), Notation())
    return codes


def _plain_times(texts: pa.Array, values: pa.Array) -> npt.NDArray[np.int8]:
    return np.full(len(texts), _CODES[Form.TIME if values.type.tz is None else Form.ZONED_TIME], np.int8)


_QUICK_WAYS: tuple[tuple[pa.DataType, Callable[[pa.Array, pa.Array], npt.NDArray[np.int8] | None]], ...] = (
    (pa.int64(), _plain_whole),
    (pa.float64(), _plain_fractions),
    (pa.timestamp("us"), _plain_times),
    (pa.timestamp("us", "UTC"), _plain_times),
)


def _count(
    texts: pa.Array, codes: npt.NDArray[np.int8], counts: npt.NDArray[np.int64] | None = None
) -> dict[Form, tuple[int, str]]:
    totals = np.bincount(codes, counts, minlength=len(FORMS)).astype(int)
    return {FORMS[code]: (int(totals[code]), _example(texts, codes, int(code))) for code in np.flatnonzero(totals)}


def _example(texts: pa.Array, codes: npt.NDArray[np.int8], code: int) -> str:
    if FORMS[code] in _WITHOUT_EXAMPLE:
        return ""
    example: str = pc.min(texts.filter(pa.array(codes == code))).as_py()
    return example
