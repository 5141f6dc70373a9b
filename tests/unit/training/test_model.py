"""The encoding of numbers."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.training.model import PiecewiseLinear, PooledEmbedding


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
