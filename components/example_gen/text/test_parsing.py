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


@pytest.mark.parametrize(
    ("texts", "values", "notation"),
    [
        (["$1,200.50", "-$3", "$ -3", "($1,000)", "USD 5", "5 USD", "₹7"], [1200.5, -3, -3, -1000, 5, 5, 7], PLAIN),
        (["45%", "4.5 %", "-3%", "12"], [45, 4.5, -3, 12], PLAIN),
        (["1,200", "1,234,567.5", "1'000", "12 000"], [1200, 1234567.5, 1000, 12000], PLAIN),
        (["1.200,50 €", "€1.200", "45,5 %"], [1200.5, 1200, 45.5], Notation(",")),
        (["21.5 °C", "-3°C", "1,200 mm/s", "2kg", "3 jours", "+5 %"], [21.5, -3, 1200, 2, 3, 5], PLAIN),
        (["1\u202f234,5", "12\u00a0000 €", "1\u2019000"], [1234.5, 12000, 1000], Notation(",")),
    ],
)
def test_amounts_are_numbers_where_numbers_are_wanted(texts: list[str], values: list[float], notation: Notation) -> None:
    assert parsed(texts, Kind.FLOAT, notation=notation) == values
    whole = [(text, value) for text, value in zip(texts, values, strict=True) if value == int(value)]
    assert parsed([text for text, _ in whole], Kind.INTEGER, notation=notation) == [value for _, value in whole]


@pytest.mark.parametrize(
    "text",
    ["1,20", "12,00", "1.2.3", "1,2345", "$", "%", "$-", "(5", "5)", "1,200,3", "$5 and more", "A 5", "192.168.0.1", "--5"],
)
def test_what_may_be_read_in_two_ways_is_no_amount(text: str) -> None:
    with pytest.raises(MisfitError) as caught:
        parsed(["1", text], Kind.FLOAT)
    assert (caught.value.position, caught.value.value) == (1, text)


@given(
    st.lists(
        st.tuples(
            st.decimals(-(10**9), 10**9, places=2),
            st.sampled_from(["{}", "${}", "{} EUR", "{} %", "£ {}"]),
            st.sampled_from(["", ","]),
        ),
        min_size=1,
    )
)
def test_any_amount_is_its_number(amounts: list[tuple[Any, str, str]]) -> None:
    texts = [unit.format(format(abs(number), f"{mark}.2f")) for number, unit, mark in amounts]
    signed = [f"({text})" if number < 0 else text for (number, _, _), text in zip(amounts, texts, strict=True)]
    assert parsed(signed, Kind.FLOAT) == [float(number) for number, _, _ in amounts]
