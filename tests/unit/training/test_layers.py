"""The encoding of numbers and categories."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.training.layers import Category, CategoryEncoder, PiecewiseLinear, PooledEmbedding


def encode(layer: PiecewiseLinear, rows: list[list[float]]) -> list[list[float]]:
    return np.asarray(layer(np.array(rows, np.float32))).tolist()


def test_a_number_fills_the_bins_below_it_and_part_of_its_own():
    layer = PiecewiseLinear(np.array([[0, 10, 20]], np.float32))
    assert encode(layer, [[0], [5], [10], [15], [20]]) == [[0, 0], [0.5, 0], [1, 0], [1, 0.5], [1, 1]]


def test_numbers_beyond_the_bins_count_as_their_ends():
    layer = PiecewiseLinear(np.array([[0, 10, 20]], np.float32))
    assert encode(layer, [[-1e9], [1e9]]) == [[0, 0], [1, 1]]


def test_a_bin_without_width_is_a_step():
    layer = PiecewiseLinear(np.array([[0, 0, 10]], np.float32))
    assert encode(layer, [[-1], [0], [5]]) == [[0, 0], [1, 0], [1, 0.5]]


def test_bins_are_fitted_column_by_column_and_further_columns_passed_on():
    values = np.stack([np.arange(101), np.arange(101) ** 2], axis=1).astype(np.float32)
    layer = PiecewiseLinear.fit(values, num_bins=2)
    assert encode(layer, [[50, 2500, 7], [25, 0, 8]]) == [[1, 0, 1, 0, 7], [0.5, 0, 0, 0, 8]]


def test_numbers_stand_beside_their_bins_within_the_boundaries():
    layer = PiecewiseLinear(np.array([[-1, 0, 3]], np.float32), keep_numbers=True)
    assert encode(layer, [[-9, 7], [1.5, 8], [9, 9]]) == [[0, 0, -1, 7], [1, 0.5, 1.5, 8], [1, 1, 3, 9]]


def test_a_constant_column_is_encoded_too():
    layer = PiecewiseLinear.fit(np.zeros((10, 1), np.float32), num_bins=3)
    assert np.isfinite(encode(layer, [[0], [1], [-1]])).all()


@pytest.mark.parametrize("rows", [[[1, 2], [2, 0], [0, 0]], [[0], [0]], [[]], np.empty((0, 3), int)])
def test_a_bag_is_the_mean_of_the_embeddings_of_what_is_in_it(rows: list[list[int]]):
    layer = PooledEmbedding(3, 4)
    pooled = np.asarray(layer(np.array(rows, np.int64)))
    table = np.asarray(layer.embeddings)
    expected = [table[[index for index in row if index]].mean(axis=0) if any(row) else np.zeros(4) for row in rows]
    assert pooled.shape == (len(rows), 4)
    np.testing.assert_allclose(pooled, np.reshape(expected, (-1, 4)), rtol=1e-6)


@settings(max_examples=25)
@given(
    st.lists(st.tuples(st.integers(1, 9), st.sampled_from([None, 1, 3, 8])), min_size=1, max_size=6),
    st.integers(0, 5),
    st.randoms(use_true_random=False),
)
def test_categories_are_their_embeddings_then_the_others_one_hot(columns, num_rows, random):
    encoder = CategoryEncoder([Category(f"c{number}", *column) for number, column in enumerate(columns)], None, 0.5)
    rows = [[random.randrange(-size, size) for size, _ in columns] for _ in range(num_rows)]
    tables, flat = [], np.asarray(encoder.embeddings)
    for size, width in columns:
        tables.append(np.eye(size) if width is None else flat[: size * width].reshape(size, width))
        flat = flat[size * (width or 0) :]

    encoded = np.asarray(encoder(np.array(rows, np.int64).reshape(num_rows, len(columns))))

    order = sorted(range(len(columns)), key=lambda position: columns[position][1] is None)
    expected = [np.concatenate([tables[position][row[position]] for position in order]) for row in rows]
    np.testing.assert_array_equal(encoded, np.reshape(expected, encoded.shape).astype(np.float32))


def test_embeddings_learn_as_those_of_keras_do():
    rows, labels = np.array([[0, 1], [2, 1], [0, 0]]), np.array([1.0, -1.0, 0.5])
    encoder = CategoryEncoder([Category("a", 3, 2), Category("b", 2, 2)], keras.regularizers.L2(0.01), 0.0)
    inputs = keras.Input((2,), dtype="int64")
    ours = keras.Model(inputs, keras.layers.Dense(1)(encoder(inputs)))
    tables = [keras.layers.Embedding(size, 2, embeddings_regularizer=keras.regularizers.L2(0.01)) for size in (3, 2)]
    columns = [table(inputs[:, position]) for position, table in enumerate(tables)]
    keras_own = keras.Model(inputs, keras.layers.Dense(1)(keras.layers.Concatenate()(columns)))
    flat = np.asarray(encoder.embeddings)
    keras_own.set_weights([flat[:6].reshape(3, 2), flat[6:].reshape(2, 2), *ours.get_weights()[1:]])

    for model in (ours, keras_own):
        model.compile(keras.optimizers.Adam(0.1), "mse")
        model.fit(rows, labels, epochs=5, verbose=0, shuffle=False)

    np.testing.assert_allclose(ours(rows), keras_own(rows), rtol=1e-5)


def test_an_embedding_is_dropped_as_a_whole():
    encoder = CategoryEncoder([Category("a", 3, 4), Category("b", 3, 2), Category("c", 2, None)], None, 0.5)
    rows = np.zeros((50, 3), np.int64)
    kept, dropped = np.asarray(encoder(rows)), np.asarray(encoder(rows, training=True))
    shares = dropped[:, :6] / kept[:, :6]
    assert {tuple(np.round(share, 4)) for share in shares} == {
        (first,) * 4 + (second,) * 2 for first in (0, 2) for second in (0, 2)
    }
    np.testing.assert_array_equal(dropped[:, 6:], kept[:, 6:])
