"""Moments and periods as people write them."""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass

from pipeline.errors import UsageError

UTC = datetime.timezone.utc

_AGO = re.compile(r"(\d+)\s*([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


@dataclass(frozen=True)
class Period:
    """The time from `start` on, and before `end`; None where it is open."""

    start: datetime.datetime | None = None
    end: datetime.datetime | None = None

    def __str__(self) -> str:
        start, end = (each.strftime("%Y-%m-%d %H:%M") if each else "" for each in (self.start, self.end))
        if not start and not end:
            return "all"
        return f"since {start}" if not end else f"{start} to {end}".strip()


def parse_moment(text: str, now: datetime.datetime, where: str) -> datetime.datetime:
    """Reads a moment: how long ago, such as 7d or 12h, or a date or time in ISO 8601, UTC where it has no zone.

    Args:
      text: what a person wrote.
      now: the present.
      where: the option or argument, for the message.

    Raises:
      UsageError: it is neither.
    """
    if ago := _AGO.fullmatch(text.strip()):
        try:
            return now - datetime.timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        except OverflowError:
            return datetime.datetime.min.replace(tzinfo=UTC)
    try:
        moment = datetime.datetime.fromisoformat(re.sub("[zZ]$", "+00:00", text.strip()))
    except ValueError:
        raise UsageError(
            "This is not a moment.",
            where=where,
            expected="how long ago, such as 30m, 12h or 7d, or a date or time such as 2026-01-31 or 2026-01-31T06:00",
            seen=text,
            fix=f"Write {where} 7d for the last seven days.",
        ) from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def parse_duration(text: str, where: str) -> float:
    """Reads a duration such as 5m, in seconds.

    Args:
      text: what a person wrote.
      where: the option, for the message.

    Raises:
      UsageError: it is not one, or 0.
    """
    match = _AGO.fullmatch(text.strip())
    seconds = datetime.timedelta(**{_UNITS[match[2]]: min(int(match[1]), 10**6)}).total_seconds() if match else 0.0
    if not seconds:
        raise UsageError(
            "This is not a duration.",
            where=where,
            expected="a number with s, m, h, d or w, such as 5m",
            seen=text,
            fix=f"Write {where} 5m for every five minutes.",
        )
    return seconds
