from __future__ import annotations

import datetime
import math
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.example_gen.text.notation import Notation
from components.example_gen.text.parsing import MisfitError, parse
from components.shared.examples.kinds import Kind

PLAIN = Notation()
UTC = datetime.timezone.utc


def parsed(texts: list[str | None], kind: Kind, day_first: bool | None = None, notation: Notation = PLAIN) -> list[Any]:
    values: list[Any] = parse(pa.array(texts, pa.string()), kind, day_first, notation).to_pylist()
    return values


@pytest.mark.parametrize(
    ("texts", "kind", "values"),
    [
        ([" 1", "-2", "NA", None, "+3", "true", "007"], Kind.INTEGER, [1, -2, None, None, 3, 1, 7]),
        (["250.0", "", "9007199254740993.00", "-7."], Kind.INTEGER, [250, None, 9007199254740993, -7]),
        (["1.5", "?", "-1e7", "inf", "true", " "], Kind.FLOAT, [1.5, None, -1e7, math.inf, 1.0, None]),
        (["1.5", "NaN"], Kind.FLOAT, [1.5, None]),
        (["true", "no", "1", "N/A"], Kind.BOOLEAN, [True, False, True, None]),
        (
            ["2013-01-31", "31-Jan-2013 5:30 PM", r"\N"],
            Kind.TIME,
            [datetime.datetime(2013, 1, 31), datetime.datetime(2013, 1, 31, 17, 30), None],
        ),
        (
            ["2013-01-31T05:30:00+02:00", "2013-01-31"],
            Kind.ZONED_TIME,
            [datetime.datetime(2013, 1, 31, 3, 30, tzinfo=UTC), datetime.datetime(2013, 1, 31, tzinfo=UTC)],
        ),
    ],
)
def test_text_becomes_values(texts: list[str | None], kind: Kind, values: list[Any]) -> None:
    assert parsed(texts, kind) == values


def test_the_order_of_day_and_month() -> None:
    assert parsed(["01/02/2013"], Kind.TIME, True) == [datetime.datetime(2013, 2, 1)]
    assert parsed(["01/02/2013"], Kind.TIME, False) == [datetime.datetime(2013, 1, 2)]
    with pytest.raises(MisfitError):
        parsed(["01/02/2013"], Kind.TIME)
    with pytest.raises(MisfitError):
        parsed(["31/01/2013"], Kind.TIME, False)


def test_marks_of_numbers() -> None:
    assert parsed(["1.200,5", "3"], Kind.FLOAT, notation=Notation(",", ".")) == [1200.5, 3.0]
    assert parsed(["1.200,0", "3"], Kind.INTEGER, notation=Notation(",", ".")) == [1200, 3]
    assert parsed(["1.200", "3"], Kind.INTEGER, notation=Notation(",", ".")) == [1200, 3]
    assert parsed(["1,200.5", "NA"], Kind.FLOAT, notation=Notation(".", ",")) == [1200.5, None]


@pytest.mark.parametrize(
    ("texts", "kind", "position"),
    [
        (["1", "NA", "x"], Kind.INTEGER, 2),
        (["1", "1.5"], Kind.INTEGER, 1),
        (["9223372036854775808"], Kind.INTEGER, 0),
        (["0x1F"], Kind.INTEGER, 0),
        ([None, "1,5"], Kind.FLOAT, 1),
        (["maybe"], Kind.BOOLEAN, 0),
        (["2013-01-31", "2013-02-30"], Kind.TIME, 1),
        (["2013-01-31T00:00Z"], Kind.TIME, 0),
    ],
)
def test_a_value_that_does_not_fit_is_named(texts: list[str | None], kind: Kind, position: int) -> None:
    with pytest.raises(MisfitError) as caught:
        parsed(texts, kind)
    assert (caught.value.position, caught.value.value) == (position, texts[position])


@settings(max_examples=30)
@given(st.lists(st.none() | st.integers(-(2**63), 2**63 - 1)))
def test_integers_keep_every_digit(numbers: list[int | None]) -> None:
    texts = ["NA" if number is None else f" {number}" for number in numbers]
    assert parsed(list(texts), Kind.INTEGER) == numbers


@settings(max_examples=30)
@given(st.lists(st.datetimes(datetime.datetime(1, 1, 1), datetime.datetime(9999, 12, 31))), st.sampled_from(["/", "-"]))
def test_times_are_read_back(times: list[datetime.datetime], mark: str) -> None:
    for date, day_first in ((f"{{:02}}{mark}{{:02}}{mark}{{:04}}", True), (f"{{1:}}{mark}{{0:}}{mark}{{2:04}}", False)):
        texts = [f"{date.format(time.day, time.month, time.year)} {time.time().isoformat()}" for time in times]
        assert parsed(list(texts), Kind.TIME, day_first) == times
