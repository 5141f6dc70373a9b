"""Numbers, times, sizes and states as text for people."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import datetime, timezone

from pipeline.runs.status import NodeState

DASH = "\N{EN DASH}"

STATE_STYLES = {
    NodeState.WAITING: ("·", "dim"),
    NodeState.RUNNING: ("▶", "cyan"),
    NodeState.COMPLETE: ("✓", "green"),
    NodeState.CACHED: ("✓", "blue"),
    NodeState.FAILED: ("✗", "bold red"),
    NodeState.BLOCKED: ("-", "dim"),
    NodeState.SKIPPED: ("-", "dim"),
    NodeState.INTERRUPTED: ("✗", "yellow"),
}
"""The symbol of a state, and its style on a terminal."""


def number(value: float | None) -> str:
    """Four significant digits, thousands separated."""
    if value is None or math.isnan(value):
        return DASH
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4g}" if abs(value) >= 1e-3 else f"{value:.1e}"


def value(anything: object) -> str:
    """Numbers as numbers, the rest as it is."""
    return number(anything) if isinstance(anything, (int, float)) and not isinstance(anything, bool) else str(anything)


def metric(value: float | None) -> str:
    """Four decimals, so that metrics stand one below the other; large ones as numbers; NaN as undefined."""
    if value is not None and math.isnan(value):
        return "undefined"
    if value is None or not math.isfinite(value) or abs(value) >= 1000:
        return number(value)
    return f"{value:.4f}"


def difference(value: float | None) -> str:
    """A metric's difference, with its sign."""
    if value is None:
        return DASH
    text = metric(abs(value))
    if not any(digit in text for digit in "123456789"):
        return f"±{text}"
    return ("+" if value > 0 else "\N{MINUS SIGN}") + text


def percent(share: float | None) -> str:
    """A share from 0 to 1."""
    if share is None or math.isnan(share):
        return DASH
    if 0 < share < 0.001:
        return "<0.1 %"
    return f"{share * 100:.1f} %" if share not in (0, 1) else f"{share * 100:.0f} %"


def seconds(value: float | None) -> str:
    """A duration."""
    if value is None:
        return DASH
    if value < 60:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def moment(timestamp: float | None, *, zone: bool = False) -> str:
    """A time as this machine's clock shows it, with the name of its zone for readers whose clock may differ."""
    if timestamp is None:
        return DASH
    return datetime.fromtimestamp(timestamp).astimezone().strftime(f"%Y-%m-%d %H:%M:%S{' %Z' if zone else ''}")


def date(timestamp: float) -> str:
    """The day of a time in data, UTC as the data is; the number itself where no calendar has that day."""
    try:
        return datetime.fromtimestamp(timestamp, timezone.utc).strftime("%Y-%m-%d")
    except (OverflowError, OSError, ValueError):
        return number(timestamp)


def time(timestamp: float) -> str:
    """A time in data to the minute, UTC as the data is; midnight as its day."""
    day = date(timestamp)
    if timestamp % 86400 == 0 or day == number(timestamp):
        return day
    return datetime.fromtimestamp(timestamp, timezone.utc).strftime("%Y-%m-%d %H:%M")


def days(seconds_: float) -> str:
    """A duration in data."""
    return f"{number(seconds_ / 86400)} d"


def age(seconds_: float) -> str:
    """How old something is: in days, of what is younger in hours and minutes."""
    return seconds(seconds_) if seconds_ < 86400 else f"{seconds_ / 86400:,.0f} d"


def size(num_bytes: int | None) -> str:
    """A file size."""
    if num_bytes is None:
        return DASH
    value, unit = float(num_bytes), "B"
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            break
        value /= 1000
    return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.1f} {unit}"


def ranges(numbers: Iterable[int]) -> str:
    """Whole numbers with neighbours joined by a dash."""
    groups: list[list[int]] = []
    for each in sorted(set(numbers)):
        if groups and each == groups[-1][-1] + 1:
            groups[-1].append(each)
        else:
            groups.append([each])
    return ", ".join(str(group[0]) if len(group) == 1 else f"{group[0]}{DASH}{group[-1]}" for group in groups)
