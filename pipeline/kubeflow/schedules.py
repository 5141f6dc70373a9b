"""When recurring runs start: cron expressions and intervals that people write, converted for Kubeflow."""

from __future__ import annotations

import re
from typing import Any

from pipeline.errors import UsageError
from pipeline.runs.find import pick
from pipeline.util.suggestions import closest

_SHORTHANDS = ("@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@annually")
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
# Each field's name, smallest and largest value, and names for its values.
_FIELDS: tuple[tuple[str, int, int, tuple[str, ...]], ...] = (
    ("second", 0, 59, ()),
    ("minute", 0, 59, ()),
    ("hour", 0, 23, ()),
    ("day of the month", 1, 31, ()),
    ("month", 1, 12, _MONTHS),
    ("day of the week", 0, 6, _DAYS),
)
_UNITS = {"m": 60, "h": 3600, "d": 86400, "w": 604800}
_WHERE_CRON, _WHERE_EVERY = "--cron", "--every"


def cron_trigger(text: str) -> Any:
    """The trigger for a cron expression, in UTC.

    Args:
      text: five fields, as in crontab(5), or six with the seconds first, as Kubeflow has them; or a word such as @daily.

    Returns:
      A V2beta1Trigger.

    Raises:
      UsageError: it is something else, or a field has a value that it cannot have.
    """
    cron = checked_cron(text)
    import kfp_server_api as api

    return api.V2beta1Trigger(cron_schedule=api.V2beta1CronSchedule(cron=cron))


def interval_trigger(text: str) -> Any:
    """The trigger for an interval.

    Args:
      text: a whole number of minutes, hours, days or weeks: 90m, 12h, 1d, 2w.

    Returns:
      A V2beta1Trigger.

    Raises:
      UsageError: it is something else.
    """
    found = re.fullmatch(r"([1-9]\d*)\s*([mhdw])", text.strip())
    if not found:
        raise UsageError(
            f"{text!r} is not an interval.",
            where=_WHERE_EVERY,
            expected="a whole number of minutes, hours, days or weeks, such as 90m, 12h, 1d or 2w",
            seen=text,
        )
    import kfp_server_api as api

    seconds = int(found[1]) * _UNITS[found[2]]
    return api.V2beta1Trigger(periodic_schedule=api.V2beta1PeriodicSchedule(interval_second=str(seconds)))


def checked_cron(text: str) -> str:
    """A cron expression with the field for seconds that Kubeflow's parser expects.

    With five fields that parser would read the minute as the second, the hour as the minute, and run every hour.

    Args:
      text: five or six fields, or a word such as @daily.

    Raises:
      UsageError: it is something else, or a field has a value that it cannot have.
    """
    if text.strip().startswith("@"):
        return _checked_shorthand(text.strip())
    fields = text.split()
    if len(fields) not in (5, 6):
        raise UsageError(
            "A cron expression has five fields, or six with the seconds first.",
            where=_WHERE_CRON,
            expected="minute hour day-of-month month day-of-week, such as '0 6 * * *': every day at 6:00 UTC",
            seen=f"{len(fields)} {'field' if len(fields) == 1 else 'fields'}: {text!r}",
            fix="Quote the expression: the shell replaces its asterisks." if len(fields) != 1 else "",
        )
    fields = ["0", *fields] if len(fields) == 5 else fields
    for field, known in zip(fields, _FIELDS, strict=True):
        for part in field.split(","):
            _check_part(part, *known)
    return " ".join(fields)


def describe(trigger: Any) -> str:
    """A trigger in words.

    Args:
      trigger: a V2beta1Trigger.
    """
    if trigger is None:
        return ""
    if trigger.cron_schedule is not None:
        return f"cron {trigger.cron_schedule.cron} UTC"
    seconds = int(trigger.periodic_schedule.interval_second)
    unit = next((unit for unit in "wdhm" if seconds % _UNITS[unit] == 0), "")
    return f"every {seconds // _UNITS[unit]}{unit}" if unit else f"every {seconds}s"


def find_schedule(schedules: list[Any], wanted: str) -> Any:
    """The recurring run that the user means.

    Args:
      schedules: the recurring runs on the server.
      wanted: a name, an id, or the beginning of one.

    Raises:
      UsageError: none is meant, or more than one.
    """
    return pick(
        wanted,
        schedules,
        lambda each: (each.recurring_run_id, each.display_name),
        kind="schedule",
        listed_by="conveyor schedule --list",
    )


def _checked_shorthand(text: str) -> str:
    if text.lower() in _SHORTHANDS:
        return text.lower()
    close = closest(text.lower(), _SHORTHANDS)
    raise UsageError(
        f"{text!r} is not a cron expression.",
        where=_WHERE_CRON,
        expected=", ".join(_SHORTHANDS),
        seen=text,
        fix=f"Did you mean {close}?" if close else "For intervals there is --every, such as --every 12h.",
    )


def _check_part(part: str, name: str, smallest: int, largest: int, names: tuple[str, ...]) -> None:
    """Checks one of a field's alternatives: `*`, `?`, a value or a range, each possibly with a step."""
    span, slash, step = part.partition("/")
    if slash and not (step.isdecimal() and int(step) > 0):
        raise _wrong(part, name, smallest, largest, names)
    if span in ("*", "?"):
        return
    values = [_value(each, smallest, names) for each in span.split("-")]
    in_range = all(value is not None and smallest <= value <= largest for value in values)
    if not in_range or len(values) > 2 or values != sorted(values, key=lambda value: value or 0):
        raise _wrong(part, name, smallest, largest, names)


def _value(text: str, smallest: int, names: tuple[str, ...]) -> int | None:
    if text.upper() in names:
        return names.index(text.upper()) + smallest
    return int(text) if text.isdecimal() else None


def _wrong(part: str, name: str, smallest: int, largest: int, names: tuple[str, ...]) -> UsageError:
    words = f" or {names[0]} to {names[-1]}" if names else ""
    sunday = name == "day of the week" and "7" in part
    return UsageError(
        f"The {name} of a cron expression cannot be {part!r}.",
        where=_WHERE_CRON,
        expected=f"{smallest} to {largest}{words}, a range a-b, a list a,b, * for any, each with /n for every nth",
        seen=part,
        fix="Write 0 for Sunday." if sunday else "",
    )
