"""Dates and times in text: year first (ISO 8601), with the name of the month in English, or day and month as numbers.

| order                | examples                                                  |
| -------------------- | --------------------------------------------------------- |
| year first           | 2013-01-31, 2013/1/31, 2013-01-31T05:30:00.25+01:00       |
| name of the month    | 31-Jan-2013, 31 January 2013, Jan 31, 2013, Thu, 31 Jan 2013 05:30:00 GMT |
| day first, with dots | 31.01.2013, 31.1.2013 05:30                               |
| day or month first   | 31/01/2013, 1/31/2013 5:30 PM, 31-01-2013                 |

Where day and month are numbers and not between dots, a value above 12 tells which is which.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

_MONTHS = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)
_NAMES = pa.array([*_MONTHS, *(name[:3] for name in _MONTHS), "sept"])
_MONTH_OF_NAME = np.array([*range(1, 13), *range(1, 13), 9])

_CLOCK = (
    r"(?:(?:T|,?\s+)(?P<hour>\d{1,2})(?::(?P<minute>\d{2})(?::(?P<second>\d{2})(?:[.,](?P<fraction>\d{1,9}))?)?)?"
    r"(?:\s?(?P<half>[AaPp])\.?[Mm]\.?)?"
    r"(?:\s?(?P<zone>Z|UTC|GMT|[+-]\d{2}(?::?\d{2})?))?)?"
)
_DATES = (
    r"(?P<year>\d{4})[-/.](?P<month>\d{1,2})[-/.](?P<day>\d{1,2})",
    r"(?:[A-Za-z]{3,9},?\s+)?(?P<day>\d{1,2})[-/\s](?P<name>[A-Za-z]{3,9})\.?[-/,\s]\s*(?P<year>\d{4})",
    r"(?:[A-Za-z]{3,9},?\s+)?(?P<name>[A-Za-z]{3,9})\.?\s+(?P<day>\d{1,2})(?:st|nd|rd|th)?,?\s+(?P<year>\d{4})",
    r"(?P<day>\d{1,2})\.(?P<month>\d{1,2})\.(?P<year>\d{4})",
)
_EITHER_ORDER = r"(?P<day>\d{1,2})[-/](?P<month>\d{1,2})[-/](?P<year>\d{4})"
_DAY_US = 86_400_000_000
_Numbers = npt.NDArray[np.int64]


class Order(IntEnum):
    """What a text tells about the order of day and month, besides its time."""

    NO_TIME = 0
    CLEAR = 1
    DAY_FIRST = 2
    MONTH_FIRST = 3
    EITHER = 4


@dataclass(frozen=True)
class Times:
    """Texts as times, N values.

    Attributes:
      order: int64 [N], an `Order` each.
      has_zone: bool [N].
      day_first: int64 [N], microseconds since 1970-01-01, UTC where there is a zone, read with the day first; 0 for what is no
        time in this order.
      month_first: int64 [N], the same with the month first.
    """

    order: _Numbers
    has_zone: npt.NDArray[np.bool_]
    day_first: _Numbers
    month_first: _Numbers


def read_times(trimmed: pa.Array) -> Times:
    """Reads texts as times.

    Args:
      trimmed: string [N], without nulls and without spaces around the texts.
    """
    size = len(trimmed)
    times = Times(np.zeros(size, np.int64), np.zeros(size, bool), np.zeros(size, np.int64), np.zeros(size, np.int64))
    # RE2 is asked only about what has a year; most texts in a table have none.
    left = np.flatnonzero(pc.match_substring_regex(trimmed, r"\d{4}").to_numpy(zero_copy_only=False))
    for date in (*_DATES, _EITHER_ORDER):
        if not len(left):
            break
        parts = pc.extract_regex(trimmed.take(pa.array(left)), f"^{date}{_CLOCK}$")
        matches = parts.is_valid().to_numpy(zero_copy_only=False)
        if matches.any():
            _read(parts.filter(pa.array(matches)), left[matches], times, either_order=date is _EITHER_ORDER)
        left = left[~matches]
    return times


def _read(parts: pa.StructArray, places: _Numbers, times: Times, *, either_order: bool) -> None:
    names = {parts.type.field(index).name for index in range(parts.type.num_fields)}
    year, day = _number(parts, "year"), _number(parts, "day")
    month = _number(parts, "month") if "month" in names else _month_of_name(parts)
    clock, clock_is_valid, has_zone = _clock(parts)
    day_first, is_day_first = _days(year, month, day)
    month_first, is_month_first = _days(year, day, month) if either_order else (day_first, is_day_first)
    is_day_first &= clock_is_valid
    is_month_first &= clock_is_valid
    is_either = is_day_first & is_month_first
    order = np.select(
        [is_either & (day_first == month_first), is_either, is_day_first, is_month_first],
        [Order.CLEAR, Order.EITHER, Order.DAY_FIRST, Order.MONTH_FIRST],
        Order.NO_TIME,
    )
    times.order[places] = order
    times.has_zone[places] = has_zone
    times.day_first[places] = np.where(is_day_first, day_first * _DAY_US + clock, 0)
    times.month_first[places] = np.where(is_month_first, month_first * _DAY_US + clock, 0)


def _days(year: _Numbers, month: _Numbers, day: _Numbers) -> tuple[_Numbers, npt.NDArray[np.bool_]]:
    """Days since 1970, and whether there is such a day."""
    has_month = (month >= 1) & (month <= 12)
    months = (np.where(has_month, year, 1970) - 1970) * 12 + np.where(has_month, month, 1) - 1
    first = months.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
    following = (months + 1).astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
    return first + day - 1, has_month & (day >= 1) & (day <= following - first)


def _clock(parts: pa.StructArray) -> tuple[_Numbers, npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Microseconds since midnight UTC, whether there is such a time, and whether it has a zone."""
    hour, minute, second = _number(parts, "hour"), _number(parts, "minute"), _number(parts, "second")
    half = pc.utf8_lower(parts.field("half")).to_numpy(zero_copy_only=False)
    has_half = half != ""
    is_valid = (minute < 60) & (second < 60) & np.where(has_half, (hour >= 1) & (hour <= 12), hour < 24)
    hour = np.where(has_half, hour % 12 + 12 * (half == "p"), hour)
    fraction = pc.utf8_slice_codeunits(pc.utf8_rpad(parts.field("fraction"), 6, "0"), 0, 6)
    zone = parts.field("zone")
    offset = pc.replace_substring_regex(zone, r"^(?:Z|UTC|GMT|)$", "+0000")
    offset = pc.utf8_rpad(pc.replace_substring(offset, ":", ""), 5, "0")
    sign = np.where(pc.starts_with(offset, "-").to_numpy(zero_copy_only=False), -1, 1)
    digits = pc.utf8_slice_codeunits(offset, 1, 5).cast(pa.int64()).to_numpy()
    minutes = hour * 60 + minute - sign * (digits // 100 * 60 + digits % 100)
    clock = (minutes * 60 + second) * 1_000_000 + fraction.cast(pa.int64()).to_numpy()
    return clock, is_valid, pc.not_equal(zone, "").to_numpy(zero_copy_only=False)


def _month_of_name(parts: pa.StructArray) -> _Numbers:
    index = pc.index_in(pc.utf8_lower(parts.field("name")), value_set=_NAMES)
    return np.where(
        index.is_valid().to_numpy(zero_copy_only=False), _MONTH_OF_NAME[index.fill_null(0).to_numpy(zero_copy_only=False)], 0
    )


def _number(parts: pa.StructArray, name: str) -> _Numbers:
    """The digits of a part as numbers; 0 where it is not there."""
    numbers: _Numbers = pc.replace_substring_regex(parts.field(name), "^$", "0").cast(pa.int64()).to_numpy()
    return numbers
