"""Features of which a row has several values, from the request to the model server and into the log."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.unit.serving.gateway.conftest import predict

NOTHING = -(2**63)


@pytest.fixture
def lists(server):
    """The model server, with a model that takes lists."""
    server.features = {"tags": "DT_STRING", "codes": "DT_INT64", "vector": "DT_FLOAT", "distance": "DT_FLOAT"}
    server.lists = {"tags": -1, "codes": -1, "vector": 2}
    server.outputs = {"predictions": ("DT_FLOAT", 1)}
    server.model = lambda columns: {"predictions": [float(number) for number in range(len(columns["distance"]))]}
    return server


def test_rows_with_lists_of_any_length_reach_the_model_whole(start, lists):
    rows = [
        {"tags": ["a", "ü"], "codes": [7], "vector": [1.5, -2.5], "distance": 3},
        {"tags": [], "vector": None, "distance": 3},
        {"tags": [None, "b"], "codes": [1, 2, 3], "vector": [], "distance": 3},
    ]
    with start() as gateway:
        predictions = predict(gateway, *rows).json()["predictions"]

    assert [each["prediction"] for each in predictions] == [0.0, 1.0, 2.0]
    (columns,) = lists.received
    assert [[tag for tag in row if tag] for row in columns["tags"]] == [[b"a", "ü".encode()], [], [b"b"]]
    assert [[code for code in row if code != NOTHING] for row in columns["codes"]] == [[7], [], [1, 2, 3]]
    assert columns["vector"][0] == [1.5, -2.5]
    assert all(math.isnan(value) for row in columns["vector"][1:] for value in row)


@pytest.mark.parametrize(
    ("row", "feature", "message"),
    [
        ({"tags": "a"}, "tags", "array"),
        ({"tags": [7]}, "tags", "string"),
        ({"codes": [1.5]}, "codes", "integer"),
        ({"vector": [1.0]}, "vector", "2 items"),
        ({"vector": [1.0, 2.0, 3.0]}, "vector", "2 items"),
        ({"distance": [1.0]}, "distance", "number"),
    ],
)
def test_lists_that_the_model_cannot_take(start, lists, row: dict[str, Any], feature: str, message: str):
    with start() as gateway:
        response = predict(gateway, {"distance": 3, **row})

    assert response.status_code == 422
    (error,) = response.json()["errors"]
    assert error["feature"].startswith(feature)
    assert message in error["message"]
    assert lists.received == []


def test_lists_are_logged_and_cached(start, lists, tmp_path: Path):
    rows = [{"tags": ["a", "b"], "codes": [1, 2], "distance": 3}, {"tags": ["a"], "codes": [], "distance": 3}]
    with start(log={"folder": str(tmp_path / "log")}, cache={"rows": 10}) as gateway:
        first = predict(gateway, *rows).json()["predictions"]
        again = predict(gateway, *rows).json()["predictions"]

    assert first == again
    assert len(lists.received) == 1
    logged = pq.read_table(tmp_path / "log").to_pylist()
    assert [row["tags"] for row in logged] == [["a", "b"], ["a"]] * 2
    assert [row["codes"] or None for row in logged] == [[1, 2], None] * 2
