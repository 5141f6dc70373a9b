"""Raw columns as tensors, and the cycles of time."""

from __future__ import annotations

import calendar
import datetime
import math

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.training import preprocessing, raw

MISSING_INTEGER = np.iinfo(np.int64).min
DAYS = st.dates(datetime.date(1, 1, 1), datetime.date(9999, 12, 31))


@settings(max_examples=50)
@given(st.lists(DAYS, min_size=1))
def test_days_and_months_are_those_of_the_calendar(dates: list[datetime.date]) -> None:
    days = tf.constant([date.toordinal() - datetime.date(1970, 1, 1).toordinal() for date in dates], tf.int64)
    day_of_year, day_of_month = preprocessing._civil(days)
    assert (day_of_month + 1).numpy().tolist() == [date.day for date in dates]
    march_to_february = [
        date.timetuple().tm_yday - 60 - calendar.isleap(date.year) if date.month > 2 else date.timetuple().tm_yday + 305
        for date in dates
    ]
    assert day_of_year.numpy().tolist() == march_to_february


@pytest.mark.parametrize(
    ("part", "length", "step"), [("minute_of_hour", 60, 60), ("hour_of_day", 24, 3600), ("day_of_week", 7, 86400)]
)
def test_a_cycle_comes_back_to_where_it_began(part: str, length: int, step: int) -> None:
    times = tf.range(-2 * length, 2 * length, dtype=tf.int64) * step + step - 1
    waves = preprocessing._cyclic(times, part).numpy()
    assert np.array_equal(waves[:length], waves[length : 2 * length])
    assert len(np.unique(waves[:length], axis=0)) == length
    assert (waves**2).sum(axis=1) == pytest.approx(3)


def test_a_time_that_is_missing_is_on_no_cycle() -> None:
    waves = preprocessing._cyclic(tf.constant([MISSING_INTEGER], tf.int64), "hour_of_day")
    assert waves.numpy().tolist() == [[0.0] * 6]


@pytest.mark.parametrize(
    ("values", "dtype", "missing"),
    [([1.5, math.nan, -2.0], tf.float32, 1), ([7, MISSING_INTEGER, 0], tf.int64, 1), ([b"a", b"", b"\xc3\xbc"], tf.string, 1)],
)
def test_a_missing_value_survives_the_way_to_sparse_and_back(values: list[object], dtype: tf.DType, missing: int) -> None:
    dense = tf.constant(values, dtype)
    sparse = raw.to_raw(dense, tf.io.VarLenFeature(dtype))
    assert len(sparse.values) == len(values) - missing
    np.testing.assert_array_equal(raw.to_dense(sparse).numpy(), dense.numpy())


def test_rows_without_any_value_are_missing() -> None:
    empty = tf.SparseTensor(np.empty((0, 2), np.int64), tf.constant([], tf.string), [3, 0])
    assert raw.to_dense(empty).numpy().tolist() == [b""] * 3


def test_of_several_values_the_first_counts() -> None:
    sparse = tf.SparseTensor([[0, 0], [0, 1], [2, 0]], tf.constant([1, 2, 3], tf.int64), [3, 2])
    assert raw.to_dense(sparse).numpy().tolist() == [1, MISSING_INTEGER, 3]


def test_infinity_is_no_value() -> None:
    assert raw.is_missing(tf.constant([math.inf, -math.inf, math.nan, 0.0])).numpy().tolist() == [True, True, True, False]


@pytest.mark.parametrize("shape", [[], [1]])
def test_a_fixed_shape_does_not_refuse_a_row_without_a_value(shape: list[int]) -> None:
    spec = tf.io.FixedLenFeature(shape, tf.float32)
    parsed = tf.io.parse_example([b""], {"distance": raw.optional(spec)})["distance"]
    assert raw.is_missing(raw.to_dense(parsed)).numpy().tolist() == [True]
    assert raw.to_raw(raw.to_dense(parsed), spec).shape == parsed.shape
