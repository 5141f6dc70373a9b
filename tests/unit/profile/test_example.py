"""A row of the table as a request."""

from __future__ import annotations

import math
from datetime import datetime, timezone

import pyarrow as pa

from pipeline.config import Gateway
from pipeline.profile.example import request
from tests.unit.profile.tables import profile


def test_the_row_with_most_values_is_written_as_json_has_it():
    table = profile(
        {
            "size": [1.5, 2.5],
            "city": [None, "Zürich"],
            "sold": [datetime(2024, 1, 31, 12), datetime(2024, 1, 31, 13)],
            "zoned": [datetime(2024, 1, 31, tzinfo=timezone.utc)] * 2,
            "tags": [["a"], ["a", "b"]],
            "waits": [[1], [2, 3]],
            "garden": [True, False],
        }
    )

    row = request(table, list(table.columns))

    assert row == {
        "size": 2.5,
        "city": "Zürich",
        "sold": "2024-01-31T13:00:00",
        "zoned": "2024-01-31T00:00:00Z",
        "tags": ["a", "b"],
        "waits": [2, 3],
        "garden": 0,
    }
    assert Gateway.model_validate({"example": row}).example == row


def test_what_json_cannot_hold_is_left_out():
    table = profile({"x": [float("inf")], "y": [b"\xff"], "z": [None], "n": [1]})

    assert request(table, list(table.columns)) == {"n": 1}


def test_lists_are_written_without_what_json_cannot_hold():
    table = profile(
        {
            "tags": [["a", None, "b"]],
            "bytes": [[b"a", b"b"]],
            "counts": [[1, None, 2]],
            "sizes": [[1.5, math.nan, math.inf, None]],
            "infinite": [[-math.inf]],
            "nulls": pa.array([[None]], pa.list_(pa.int64())),
        }
    )

    row = request(table, list(table.columns))

    assert row == {"tags": ["a", "b"], "bytes": ["a", "b"], "counts": [1, 2], "sizes": [1.5]}
    assert Gateway.model_validate({"example": row}).example == row


def test_a_wide_table_has_no_example():
    table = profile({f"x{number}": [1] for number in range(51)})

    assert request(table, list(table.columns)) == {}
