"""The rows that a training reads: their division, and the order of their batches."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import tensorflow as tf

from pipeline.modules.examples import Rows, batches

NUM_ROWS = 10
FEATURES = {"numeric": tf.reshape(tf.range(2.0 * NUM_ROWS), [NUM_ROWS, 2])}
LABELS = np.arange(NUM_ROWS, dtype=np.float32)


def epochs(indices: list[int], batch_size: int, seed: int, count: int) -> list[list[int]]:
    """The labels of some epochs, which are the rows' numbers."""
    data = batches(FEATURES, LABELS, np.array(indices), batch_size, seed)
    steps = -(-len(indices) // batch_size)
    labels = iter(data.map(lambda _, labels: labels).as_numpy_iterator())
    return [[int(row) for batch in itertools.islice(labels, steps) for row in batch] for _ in range(count)]


def test_every_epoch_has_each_row_once_in_an_order_of_its_own():
    indices = [0, 2, 3, 5, 6, 8, 9]
    seen = epochs(indices, batch_size=3, seed=7, count=3)

    assert [sorted(epoch) for epoch in seen] == [indices] * 3
    assert len({tuple(epoch) for epoch in seen}) == 3


def test_a_seed_makes_the_same_orders_again():
    rows = list(range(NUM_ROWS))

    assert epochs(rows, 4, seed=1, count=3) == epochs(rows, 4, seed=1, count=3)
    assert epochs(rows, 4, seed=1, count=3) != epochs(rows, 4, seed=2, count=3)


def test_without_a_seed_there_is_one_epoch_in_order():
    data = list(batches(FEATURES, LABELS, np.array([1, 4, 7]), 2, shuffle_seed=None).as_numpy_iterator())

    assert [labels.tolist() for _, labels in data] == [[1, 4], [7]]
    assert [features["numeric"].tolist() for features, _ in data] == [[[2, 3], [8, 9]], [[14, 15]]]


@pytest.mark.parametrize("fraction", [0, 0.1, 0.5])
def test_rows_are_divided_into_two_parts(fraction):
    rows = Rows(FEATURES, LABELS)
    train, validation = rows.divide(fraction, seed=3)

    assert len(validation) == round(fraction * NUM_ROWS)
    assert sorted([*train, *validation]) == list(range(NUM_ROWS))
    assert all(
        np.array_equal(again, part) for again, part in zip(rows.divide(fraction, seed=3), (train, validation), strict=True)
    )
