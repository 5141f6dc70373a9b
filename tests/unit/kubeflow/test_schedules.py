"""Cron expressions and intervals."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from pipeline.errors import UsageError
from pipeline.kubeflow.schedules import checked_cron, cron_trigger, describe, find_schedule, interval_trigger


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("0 6 * * *", "0 0 6 * * *"),
        ("30 0 6 * * *", "30 0 6 * * *"),
        ("*/15 8-18 * * MON-FRI", "0 */15 8-18 * * MON-FRI"),
        ("0 6 1,15 jan,JUL ?", "0 0 6 1,15 jan,JUL ?"),
        ("5-50/15 * * * 0", "0 5-50/15 * * * 0"),
        ("  0   6 * * * ", "0 0 6 * * *"),
        ("@Daily", "@daily"),
    ],
)
def test_cron_as_kubeflow_takes_it(written: str, sent: str) -> None:
    assert checked_cron(written) == sent
    assert cron_trigger(written).cron_schedule.cron == sent


@pytest.mark.parametrize(
    ("written", "what", "fix"),
    [
        ("0 6 * *", "five fields", "Quote"),
        ("0 0 6 * * * *", "five fields", "Quote"),
        ("", "five fields", "Quote"),
        ("daily", "five fields", ""),
        ("@dayly", "not a cron expression", "@daily"),
        ("@every 1h", "not a cron expression", ""),
        ("60 6 * * *", "The minute", ""),
        ("0 24 * * *", "The hour", ""),
        ("0 6 0 * *", "The day of the month", ""),
        ("0 6 * 13 *", "The month", ""),
        ("0 6 * * 7", "The day of the week", "0 for Sunday"),
        ("0 6 * * MOO", "The day of the week", ""),
        ("0 18-6 * * *", "The hour", ""),
        ("0 1-2-3 * * *", "The hour", ""),
        ("*/0 * * * *", "The minute", ""),
        ("*/x * * * *", "The minute", ""),
        ("-5 * * * *", "The minute", ""),
        ("1, * * * *", "The minute", ""),
    ],
)
def test_cron_that_is_none(written: str, what: str, fix: str) -> None:
    with pytest.raises(UsageError, match=what) as caught:
        checked_cron(written)
    assert fix in caught.value.fix
    assert caught.value.expected


@pytest.mark.parametrize(("written", "seconds"), [("90m", 5400), ("12h", 43200), ("1d", 86400), ("2w", 1209600)])
def test_intervals(written: str, seconds: int) -> None:
    trigger = interval_trigger(written)

    assert trigger.periodic_schedule.interval_second == str(seconds)
    assert describe(trigger) == f"every {written}"


@pytest.mark.parametrize("written", ["", "d", "0d", "-1d", "1.5h", "30s", "1 day", "tomorrow"])
def test_intervals_that_are_none(written: str) -> None:
    with pytest.raises(UsageError, match="not an interval"):
        interval_trigger(written)


def test_a_schedule_is_found_by_name_or_the_beginning_of_its_id() -> None:
    flights = SimpleNamespace(display_name="flights", recurring_run_id="1a2b")
    houses = SimpleNamespace(display_name="houses", recurring_run_id="1c2d")
    twin = SimpleNamespace(display_name="flights", recurring_run_id="3e4f")

    assert find_schedule([flights, houses], "flights") is flights
    assert find_schedule([flights, houses], "1c") is houses
    with pytest.raises(UsageError, match="2 schedules") as caught:
        find_schedule([flights, houses, twin], "flights")
    assert "1a2b (flights), 3e4f (flights)" in caught.value.expected
    with pytest.raises(UsageError, match="no schedule") as caught:
        find_schedule([flights, houses], "flight")
    assert "Did you mean 'flights'?" in caught.value.fix
    with pytest.raises(UsageError, match="no schedule"):
        find_schedule([], "flights")
