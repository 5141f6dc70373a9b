"""Columns that know the label."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.config import Task
from pipeline.profile.leaks import repeated_rows, total_row, warnings
from tests.unit.profile.tables import profile

RANDOM = np.random.default_rng(0)
ROWS = 400
NOISE = RANDOM.normal(size=ROWS)
BINARY = (RANDOM.random(ROWS) < 0.3).astype(int)
QUANTITY = RANDOM.normal(size=ROWS) * 10


def test_a_column_that_tells_two_classes_is_named():
    told = np.where(BINARY == 1, "approved", "declined")
    table = profile({"y": BINARY, "status": told, "score": BINARY + NOISE / 100, "noise": NOISE})

    found = warnings(table, "y", Task.BINARY, ["status", "score", "noise"])

    assert list(found) == ["status", "score"]
    assert "AUC 1.000" in found["status"]


def test_a_column_that_is_missing_where_the_label_is_negative_is_named():
    table = profile({"y": BINARY, "claim": [1.0 * row if y else None for row, y in enumerate(BINARY)]})

    assert list(warnings(table, "y", Task.BINARY, ["claim"])) == ["claim"]


def test_a_column_that_tells_several_classes_is_named():
    classes = np.arange(ROWS) % 3
    table = profile({"y": [f"c{c}" for c in classes], "code": (classes + 1) * 10, "noise": NOISE})

    assert list(warnings(table, "y", Task.MULTICLASS, ["code", "noise"])) == ["code"]


def test_a_column_that_tells_a_quantity_is_named():
    table = profile({"y": QUANTITY, "in_euros": QUANTITY * 1.1 + 3, "weak": QUANTITY + NOISE * 10})

    found = warnings(table, "y", Task.REGRESSION, ["in_euros", "weak"])

    assert list(found) == ["in_euros"]
    assert "R² 1.000" in found["in_euros"]


@pytest.mark.filterwarnings("error")
def test_infinite_numbers_are_the_largest_or_smallest():
    endless = np.where(NOISE > 1, np.inf, np.where(NOISE < -1, -np.inf, NOISE))
    told = np.where(BINARY == 1, np.inf, NOISE)
    table = profile({"y": BINARY, "quantity": QUANTITY, "endless": endless, "told": told})

    assert list(warnings(table, "y", Task.BINARY, ["endless", "told"])) == ["told"]
    assert warnings(table, "quantity", Task.REGRESSION, ["endless", "told"]) == {}
    assert warnings(table, "endless", Task.REGRESSION, ["quantity", "told"]) == {}


def test_an_identifier_does_not_tell_the_label_of_its_own_row():
    table = profile({"y": BINARY, "id": [f"row {row}" for row in range(ROWS)]})

    assert warnings(table, "y", Task.BINARY, ["id"]) == {}


def test_names_of_what_is_known_afterwards():
    columns = {"churn": BINARY, "churn_reason": NOISE, "refundAmount": NOISE, "tenure": NOISE}

    assert list(warnings(profile(columns), "churn", Task.BINARY, list(columns)[1:])) == ["churn_reason", "refundAmount"]


def test_a_tiny_table_proves_nothing():
    assert warnings(profile({"y": [0, 1] * 10, "x": [0, 1] * 10}), "y", Task.BINARY, ["x"]) == {}


def test_repeated_rows_are_told_where_they_are_many():
    assert repeated_rows(profile({"x": [1, 2, 3, 1]})).startswith("1 of 4 rows ")
    assert repeated_rows(profile({"x": range(ROWS)})) == ""


def test_a_last_row_that_adds_up_the_others_is_told():
    units, prices = [3, 5, 2, 7], [1.5, 2.5, 0.25, 8.0]
    table = {"region": ["n", "s", "n", "w", "Total"], "units": [*units, sum(units)], "price": [*prices, sum(prices)]}

    assert total_row(profile(table)).startswith("The last row may be a total: units, price in it")
    assert total_row(profile({name: values[:-1] for name, values in table.items()})) == ""
    assert total_row(profile({"zeros": [0] * 50, "text": ["a"] * 50, "gone": [1.0] * 49 + [None]})) == ""
