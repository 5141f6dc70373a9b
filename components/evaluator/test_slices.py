"""Slices of batches of rows against TFMA's slicer, which slices row after row."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tensorflow_model_analysis.slicer import slicer_lib

from components.evaluator.slices import Column, SliceIndex
from components.shared.fast_executor import UnsupportedError

SPECS = [(), ("city",), ("year", "city"), ("share",), ("city", "share", "year")]
VALUES = {
    "city": st.one_of(st.none(), st.sampled_from([b"", "Zürich".encode(), b"a,b", b"0"])),
    "year": st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1), st.sampled_from([0, 1])),
    "share": st.one_of(st.none(), st.floats(width=32, allow_nan=False)),
}
TYPES = {"city": pa.binary(), "year": pa.int64(), "share": pa.float32()}


def _batch(rows: list[dict[str, Any]]) -> pa.RecordBatch:
    """Rows as the decoder of tf.Examples has them: lists of values, and null where a feature is absent."""
    lists = {name: [None if row[name] is None else [row[name]] for row in rows] for name in TYPES}
    return pa.RecordBatch.from_pydict({name: pa.array(lists[name], pa.list_(kind)) for name, kind in TYPES.items()})


def _columns(batch: pa.RecordBatch) -> dict[str, Column]:
    return {name: Column.of(batch, name) for name in TYPES}


def _as_tfma(row: dict[str, Any]) -> set[Any]:
    features = {
        name: None if value is None else np.array([value], TYPES[name].to_pandas_dtype()) for name, value in row.items()
    }
    specs = [slicer_lib.SingleSliceSpec(columns=spec) for spec in SPECS]
    return set(slicer_lib.get_slices_for_features_dicts([], features, specs))


@given(st.lists(st.lists(st.fixed_dictionaries(VALUES), min_size=1, max_size=20), min_size=1, max_size=3))
def test_rows_are_in_the_slices_that_tfma_puts_them_in(batches: list[list[dict[str, Any]]]) -> None:
    index = SliceIndex(SPECS)
    for rows in batches:
        numbers = index.number(_columns(_batch(rows)), len(rows))
        keys = {number: key for key, number in index.slices.items()}
        for i, row in enumerate(rows):
            assert {keys[ids[i]] for ids in numbers if ids[i] >= 0} == _as_tfma(row)


def test_a_spec_given_twice_counts_once() -> None:
    index = SliceIndex([("a", "b"), ("b", "a"), ()])
    assert index.columns == {"a", "b"}
    column = Column(pa.array([b"x"]), np.array([True]))
    assert len(index.number({"a": column, "b": column}, 1)) == 2


def test_a_column_that_no_row_has_makes_no_slices() -> None:
    batch = pa.RecordBatch.from_pydict({"other": [[1], [2]], "untyped": pa.nulls(2)})
    for name in ("absent", "untyped"):
        index = SliceIndex([(name,)])
        (ids,) = index.number({name: Column.of(batch, name)}, 2)
        assert ids.tolist() == [-1, -1]
        assert not index.slices


def test_several_values_in_a_row_are_left_to_tfma() -> None:
    batch = pa.RecordBatch.from_pydict({"tags": [["a", "b"], ["c"]]})
    with pytest.raises(UnsupportedError, match="several values"):
        Column.of(batch, "tags")


@pytest.mark.parametrize(("value", "reason"), [(b"\xff", "UTF-8"), (float("nan"), "NaN")])
def test_values_that_name_no_slice_are_left_to_tfma(value: Any, reason: str) -> None:
    with pytest.raises(UnsupportedError, match=reason):
        SliceIndex([("a",)]).number({"a": Column(pa.array([value]), np.array([True]))}, 1)
