"""Numbers that stand for no value."""

from __future__ import annotations

import pytest

from pipeline.profile.sentinels import warnings
from tests.unit.profile.tables import profile

ROWS = 200


@pytest.mark.parametrize(
    ("sentinel", "others", "is_told"),
    [
        (-999, [20 + row % 30 for row in range(ROWS)], True),
        (9999.0, [row / 7 for row in range(ROWS)], True),
        (99, [row % 98 for row in range(ROWS)], False),
        (-999, [7 * row - 900 for row in range(ROWS)], False),
        (-998, [20 + row % 30 for row in range(ROWS)], False),
        (-999, [row % 3 for row in range(ROWS)], False),
        (99, [1 + row % 5 for row in range(ROWS)], True),
    ],
)
def test_a_number_far_from_all_others_is_told_where_it_is_often_no_value(sentinel, others, is_told):
    told = warnings(profile({"x": [sentinel, sentinel, None, *others]}), ["x"])

    assert bool(told) == is_told
    assert all("in 2 of 202 rows" in each and each.endswith(f'data.csv.nulls: ["{sentinel:.0f}"].') for each in told)


def test_a_number_for_no_value_may_be_that_of_most_rows():
    days_since_a_call = [999] * 960 + [row % 27 for row in range(40)]

    (told,) = warnings(profile({"pdays": days_since_a_call}), ["pdays"])

    assert told.startswith("pdays is 999 in 960 of 1,000 rows")


@pytest.mark.parametrize("values", [[-999, *range(ROWS)], [-999] * ROWS, ["a", "b"] * 10, [None] * 5, [float("inf")] * 5])
def test_others_are_not(values):
    assert warnings(profile({"x": values}), ["x"]) == []
