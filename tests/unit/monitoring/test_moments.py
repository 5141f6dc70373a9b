"""Moments, durations and sources as people write them."""

from __future__ import annotations

import datetime

import pytest

from pipeline.errors import UsageError
from pipeline.monitoring.moments import UTC, Period, parse_duration, parse_moment
from pipeline.monitoring.sources import Source, parse_source

NOW = datetime.datetime(2026, 3, 10, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("7d", datetime.datetime(2026, 3, 3, 12, tzinfo=UTC)),
        ("90m", datetime.datetime(2026, 3, 10, 10, 30, tzinfo=UTC)),
        ("2026-01-31", datetime.datetime(2026, 1, 31, tzinfo=UTC)),
        ("2026-01-31T06:00+02:00", datetime.datetime(2026, 1, 31, 4, tzinfo=UTC)),
        ("2026-01-31T06:00:00Z", datetime.datetime(2026, 1, 31, 6, tzinfo=UTC)),
        ("99999999w", datetime.datetime.min.replace(tzinfo=UTC)),
    ],
)
def test_moments(text: str, expected: datetime.datetime) -> None:
    assert parse_moment(text, NOW, "--since") == expected


@pytest.mark.parametrize("text", ["yesterday", "", "7", "2026-13-01"])
def test_what_is_not_a_moment_is_told(text: str) -> None:
    with pytest.raises(UsageError) as error:
        parse_moment(text, NOW, "--since")
    assert error.value.fix == "Write --since 7d for the last seven days."
    assert error.value.seen == text


@pytest.mark.parametrize("text", ["5", "0m", "m", "5 minutes"])
def test_what_is_not_a_duration_is_told(text: str) -> None:
    with pytest.raises(UsageError) as error:
        parse_duration(text, "--every")
    assert error.value.fix == "Write --every 5m for every five minutes."


def test_durations() -> None:
    assert parse_duration("5m", "--every") == 300


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("log", Source("log")),
        ("log:2d..", Source("log", period=Period(datetime.datetime(2026, 3, 8, 12, tzinfo=UTC)))),
        (
            "log:2026-01-01..2026-02-01",
            Source("log", period=Period(datetime.datetime(2026, 1, 1, tzinfo=UTC), datetime.datetime(2026, 2, 1, tzinfo=UTC))),
        ),
        ("span:201307", Source("span", 201307)),
        ("version", Source("version")),
        ("version:7", Source("version", 7)),
    ],
)
def test_sources(text: str, expected: Source) -> None:
    assert parse_source(text, NOW, "--rows") == expected


@pytest.mark.parametrize("text", ["logs", "span", "span:x", "version:", "july"])
def test_what_is_not_a_source_is_told(text: str) -> None:
    with pytest.raises(UsageError) as error:
        parse_source(text, NOW, "--rows")
    assert error.value.fix == "Write --rows log:7d.. for what was logged in the last seven days."
    assert parse_source(error.value.fix.split()[2], NOW, "--rows").kind == "log"
