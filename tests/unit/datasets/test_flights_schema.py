"""The curated schema of the flights: every month keeps it, broken data does not."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import tensorflow_data_validation as tfdv
from tensorflow_data_validation.statistics.stats_impl import generate_statistics_in_memory

from components.schema_importer.schema_file import read_curated_schema
from pipeline.datasets import flights
from pipeline.util import checkout

SCHEMA = read_curated_schema(checkout.ROOT / "examples" / "flights" / "schema.pbtxt")


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return flights.read_flights()


@pytest.mark.parametrize("span", range(201301, 201313))
def test_every_month_keeps_the_schema(table: pd.DataFrame, span: int) -> None:
    assert _anomalies(_as_table(table[table["span"] == span])) == {}


@pytest.mark.parametrize(
    ("column", "change", "anomaly"),
    [
        ("carrier", None, "Column dropped"),
        ("temp", None, "Column dropped"),
        ("distance", lambda values: values.cast(pa.float64()), "Unexpected data type"),
        ("departure_minute", lambda values: pa.array(np.asarray(values) * 60), "Out-of-range values"),
        ("humid", lambda values: _first(values, -1.0), "Out-of-range values"),
        ("visib", lambda values: _first(values, float("nan")), "Invalid values"),
        ("origin", lambda values: _first(values, "PHL"), "Unexpected string values"),
        ("late", lambda values: _first(values, 2), "Out-of-range values"),
        ("carrier", lambda values: _first(values, None), "Column dropped"),
    ],
)
def test_broken_data_does_not(
    table: pd.DataFrame, column: str, change: Callable[[pa.ChunkedArray], pa.Array] | None, anomaly: str
) -> None:
    january = _as_table(table[:3000])
    position = january.schema.get_field_index(column)
    changed = january.remove_column(position)
    if change:
        changed = changed.append_column(column, change(january[column]))
    assert _anomalies(changed) == {column: anomaly}


def _as_table(rows: pd.DataFrame) -> pa.Table:
    return pa.Table.from_pandas(rows, schema=flights.SCHEMA, preserve_index=False)


def _first(values: pa.ChunkedArray, value: object) -> pa.Array:
    """The column with another first value."""
    return pa.array([value, *values.to_pylist()[1:]])


def _anomalies(table: pa.Table) -> dict[str, str]:
    """Short descriptions by column, of the table as ExampleGen and StatisticsGen see it."""
    columns = {}
    for name in table.schema.names:
        values = table[name].combine_chunks()
        if pa.types.is_timestamp(values.type):
            values = values.cast(pa.int64())
        if pa.types.is_floating(values.type):
            values = values.cast(pa.float32())
        columns[name] = _as_lists(values)
    statistics = generate_statistics_in_memory(pa.RecordBatch.from_pydict(columns))
    found = tfdv.validate_statistics(statistics, SCHEMA).anomaly_info
    return {name: info.short_description for name, info in found.items()}


def _as_lists(values: pa.Array) -> pa.LargeListArray:
    """A list of one value a row, null where there is none."""
    present = values.is_valid().to_numpy(zero_copy_only=False)
    offsets = pa.array(np.concatenate([[0], np.cumsum(present)]), mask=np.concatenate([~present, [False]]))
    return pa.LargeListArray.from_arrays(offsets, values.drop_null())
