"""Raw columns as tensors, and the cycles of time."""

from __future__ import annotations

import calendar
import datetime
import math
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_transform as tft
import tensorflow_transform.beam as tft_beam
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


ROWS = st.lists(st.lists(st.integers(-3, 3) | st.just(MISSING_INTEGER), max_size=5), min_size=1, max_size=6)


@tf.function(input_signature=[tf.TensorSpec([None, None], tf.int64)])
def _to_raw(tensor: tf.Tensor) -> tf.SparseTensor:
    return raw.to_raw(tensor, tf.io.VarLenFeature(tf.int64))


@settings(max_examples=30)
@given(ROWS, st.integers(0, 3))
def test_a_padded_list_ends_before_its_first_missing_value(rows: list[list[int]], padding: int) -> None:
    """Behind it a model server may have filled up with zeros."""
    width = 1 + max(map(len, rows))
    padded = [[*row, *[MISSING_INTEGER] * (width - len(row)), *[0] * padding] for row in rows]
    values = raw.Values.of(_to_raw(tf.constant(padded, tf.int64)))
    ends = [row.index(MISSING_INTEGER) if MISSING_INTEGER in row else len(row) for row in rows]
    assert values.values.numpy().tolist() == [value for row, end in zip(rows, ends, strict=True) for value in row[:end]]


def _sparse(rows: list[list[float]], dtype: tf.DType = tf.float32) -> tf.SparseTensor:
    return tf.ragged.constant(rows, dtype, ragged_rank=1).to_sparse()


def test_a_list_of_numbers_is_its_mean_least_greatest_and_number() -> None:
    summary = raw.Values.of(_sparse([[1, 4, math.nan], [], [math.inf], [-2]])).summary().numpy()
    np.testing.assert_array_equal(summary[0], [2.5, 1, 4, 2])
    np.testing.assert_array_equal(summary[1:3], [[math.nan, math.nan, math.nan, 0]] * 2)
    np.testing.assert_array_equal(summary[3], [-2, -2, -2, 1])


@pytest.mark.parametrize("rows", [[[], []], [[1.0], [1.0, 2.0]], [[1.0, math.nan, 3.0, 4.0], []]])
def test_a_vector_has_its_size_whatever_is_there(rows: list[list[float]]) -> None:
    vector = raw.to_vector(_sparse(rows), 3).numpy()
    np.testing.assert_array_equal(vector, [(row + [math.nan] * 3)[:3] for row in rows])


def test_numbers_stand_side_by_side_whatever_their_types() -> None:
    columns = [
        _sparse([[2.5, 9.0], [], [math.inf]]),
        _sparse([[], [7], [MISSING_INTEGER]], tf.int64),
        tf.constant([1, MISSING_INTEGER, 3], tf.int64),
        _sparse([[], [], []]),
        tf.constant([[0.5], [math.nan], [-1.0]]),
        _sparse([[2**62, 1], [0], [5]], tf.int64),
    ]
    nan = math.nan
    expected = [[2.5, nan, 1, nan, 0.5, 2.0**62], [nan, 7, nan, nan, nan, 0], [nan, nan, 3, nan, -1, 5]]
    np.testing.assert_array_equal(raw.to_matrix(columns).numpy(), expected)


def test_a_column_without_any_value_beside_one_that_has_some_is_standardised(tmp_path: Path) -> None:
    metadata = tft.DatasetMetadata.from_feature_spec({"x": tf.io.FixedLenFeature([2], tf.float32)})
    learnt, asked = (
        [{"x": np.array(row, np.float32)} for row in rows] for rows in ([[1, math.nan], [3, math.nan]], [[4, 5], [4, math.nan]])
    )
    with tft_beam.Context(temp_dir=str(tmp_path)):
        graph = (learnt, metadata) | tft_beam.AnalyzeDataset(
            lambda inputs: {
                "z": preprocessing._z_scores("numeric", tf.cast(inputs["x"], tf.float64), preprocessing._Analyzers())[0]
            }
        )
        rows, _ = ((asked, metadata), graph) | tft_beam.TransformDataset()
    assert [row["z"].tolist() for row in rows] == [[2, 0], [2, 0]]


def test_values_go_back_to_their_rows() -> None:
    values = raw.Values.of(tf.constant([[b"a", b""], [b"", b""], [b"b", b"c"]]))
    assert values.rows.numpy().tolist() == [0, 2, 2]
    assert tf.sparse.to_dense(values.to_rows(tf.constant([1, 2, 3]))).numpy().tolist() == [[1, 0], [0, 0], [2, 3]]


def _words(text: str | bytes) -> list[int]:
    words, rows = preprocessing._hash_words(tf.constant(["", text]), 1 << 40)
    assert set(rows.numpy().tolist()) <= {1}
    return words.numpy().tolist()


def test_a_text_is_its_words_and_pairs_of_words_whatever_their_case() -> None:
    assert len(_words("Good food, slowly")) == 5
    assert _words("GOOD -- food\n(slowly!)") == _words("Good food, slowly")
    assert set(_words("food good")) & set(_words("Good food")) == set(_words("good")) | set(_words("food"))
    assert _words("ÜBER") == _words("über")
    assert len(_words("東京は")) == 5


@pytest.mark.parametrize("text", ["", " ", "?!", b"\xff\xfe", "\x00", "a" * 100_000, "w " * 10_000])
def test_no_text_is_too_wild(text: str | bytes) -> None:
    words = _words(text)
    assert len(words) < 2 * preprocessing.MAX_WORDS
    assert all(words)
