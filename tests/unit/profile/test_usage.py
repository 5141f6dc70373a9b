"""How columns are used, and why."""

from __future__ import annotations

from datetime import datetime, timedelta

import pyarrow as pa
import pytest

from pipeline.profile.usage import Role, usages
from tests.unit.profile.tables import profile

ROWS = 100
START = datetime(2020, 1, 1)
VARIED = [(7 * row) % ROWS for row in range(ROWS)]


@pytest.mark.parametrize(
    ("name", "values", "role", "setting"),
    [
        ("rooms", [row % 7 for row in range(ROWS)], Role.NUMBER, {}),
        ("area", [row / 3 for row in range(ROWS)], Role.NUMBER, {}),
        ("population", [1000 + row * row for row in VARIED], Role.NUMBER, {}),
        ("garden", [row % 2 == 0 for row in range(ROWS)], Role.NUMBER, {}),
        ("zip_code", [10000 + row % 5 for row in range(ROWS)], Role.CATEGORY, {"kind": "categorical"}),
        ("customerId", VARIED, Role.IDENTIFIER, {"kind": "ignore"}),
        ("customer_id", [row % 60 for row in range(ROWS)], Role.IDENTIFIER, {"kind": "ignore"}),
        ("policy_id", [7.0 * row for row in VARIED], Role.IDENTIFIER, {"kind": "ignore"}),
        ("index", [row + 0.5 for row in VARIED], Role.NUMBER, {}),
        ("Order No", VARIED, Role.IDENTIFIER, {"kind": "ignore"}),
        ("number_of_rooms", VARIED, Role.NUMBER, {}),
        ("n", list(range(1, ROWS + 1)), Role.IDENTIFIER, {"kind": "ignore"}),
        ("city", ["Rome", "Oslo"] * (ROWS // 2), Role.CATEGORY, {}),
        ("street", [f"Street {row % 30}" for row in range(ROWS)], Role.CATEGORY, {}),
        ("token", [f"{row:x}" for row in range(ROWS)], Role.IDENTIFIER, {"kind": "ignore"}),
        ("same", ["yes"] * ROWS, Role.CONSTANT, {"kind": "ignore"}),
        ("nothing", pa.nulls(ROWS), Role.EMPTY, {"kind": "ignore"}),
        ("hardly", [*range(1), *[None] * (ROWS - 1)], Role.EMPTY, {"kind": "ignore"}),
        ("sold", [START + timedelta(hours=row) for row in range(ROWS)], Role.TIME, {"kind": "time"}),
        (
            "day",
            [START + timedelta(row) for row in range(ROWS)],
            Role.TIME,
            {"kind": "time", "parts": ["day_of_week", "day_of_month"]},
        ),
        (
            "born",
            [START + timedelta(31 * row) for row in range(ROWS)],
            Role.TIME,
            {"kind": "time", "parts": ["day_of_week", "day_of_month", "day_of_year", "elapsed"]},
        ),
        (
            "month",
            [datetime(2020, 1 + row % 12, 1) for row in range(ROWS)],
            Role.TIME,
            {"kind": "time", "parts": ["day_of_year"]},
        ),
        (
            "quarter",
            [datetime(2000 + row // 4, 1 + row % 4 * 3, 1) for row in range(ROWS)],
            Role.TIME,
            {"kind": "time", "parts": ["day_of_year", "elapsed"]},
        ),
        (
            "called",
            [START + timedelta(weeks=2, hours=5) * row for row in range(ROWS)],
            Role.TIME,
            {"kind": "time", "parts": ["hour_of_day", "day_of_week", "day_of_year", "elapsed"]},
        ),
        (
            "called_at",
            [1_400_000_000 + 1_000_000 * row for row in range(ROWS)],
            Role.TIME,
            {"kind": "time", "parts": ["hour_of_day", "day_of_week", "day_of_year", "elapsed"]},
        ),
        ("year", [datetime(1900 + row % 60, 1, 1) for row in range(ROWS)], Role.NUMBER, {"kind": "numeric"}),
        ("created_at", [1_600_000_000 + row for row in range(ROWS)], Role.TIME, {"kind": "time"}),
        ("tags", [["a", "b"], ["c"]] * (ROWS // 2), Role.LIST, {}),
        ("http status", [(200, 304, 404, 500)[row % 4] for row in range(ROWS)], Role.CATEGORY, {"kind": "categorical"}),
        (
            "tools",
            [
                ";".join(name for bit, name in enumerate(("R", "SQL", "Excel", "SAS")) if row >> bit & 1) or None
                for row in VARIED
            ],
            Role.TEXT,
            {"kind": "text"},
        ),
        ("place", [f"{'Rome' if row % 2 else 'Oslo'}, {'east' if row % 3 else 'west'}" for row in VARIED], Role.CATEGORY, {}),
        ("person", [f"N{row % 40}, Ann" for row in VARIED], Role.CATEGORY, {}),
        ("review", [f"a fine house number {row} with a view" for row in range(ROWS)], Role.TEXT, {"kind": "text"}),
    ],
)
def test_the_values_and_the_name_tell_the_role(name, values, role, setting):
    usage = usages(profile({name: values}), None)[name]

    assert usage.role is role
    assert usage.setting == setting
    assert usage.reason


@pytest.mark.parametrize(("repeated", "role"), [(10, Role.IDENTIFIER), (ROWS, Role.CATEGORY)])
def test_a_name_of_a_row_is_one_also_where_a_few_rows_stand_twice(repeated, role):
    tokens = [f"{row:x}" for row in range(ROWS)]

    assert usages(profile({"token": tokens + tokens[:repeated]}), None)["token"].role is role


def test_times_beyond_the_calendar():
    usage = usages(profile({"x": pa.array([10**17, -(10**18)] * 5, pa.timestamp("us"))}), None)["x"]

    assert usage.role is Role.TIME


def test_the_later_of_two_equal_columns_is_ignored():
    used = usages(profile({"a": [1, 2, 3] * 10, "b": [1, 2, 3] * 10, "c": [3, 2, 1] * 10}), None)

    assert {name: usage.role for name, usage in used.items()} == {"a": Role.NUMBER, "b": Role.DUPLICATE, "c": Role.NUMBER}


def test_a_copy_of_the_label_is_ignored():
    used = usages(profile({"copy": [1, 2, 3] * 10, "label": [1, 2, 3] * 10}), "label")

    assert list(used) == ["copy"]
    assert used["copy"].is_ignored
    assert used["copy"].reason == "equal to label in every row"


def test_a_value_in_some_rows_is_no_constant():
    assert usages(profile({"x": ["yes", None] * 10}), None)["x"].role is Role.CATEGORY
