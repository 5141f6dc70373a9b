"""The transformed features as trees take them."""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf

from pipeline.training.features import Bucketised, Categorical, FeaturePlan, Text, Time
from pipeline.training.layers import Category
from pipeline.training.members.columns import TreeColumns


def waves(turns: float) -> list[float]:
    angles = [2 * math.pi * turns * harmonic for harmonic in (1, 2, 3)]
    return [*map(math.sin, angles), *map(math.cos, angles)]


def test_missing_numbers_are_nan_and_times_angles() -> None:
    plan = FeaturePlan(numeric=("a", "b"), time=(Time("t", ("hour_of_day",)),))
    numeric = [[1.5, 0.0, 0, 1, *waves(0.0)], [0.0, -2.0, 0, 0, *waves(0.75)], [0.0, 0.0, 1, 1, *[0.0] * 6]]
    numbers, categories = TreeColumns.fit(plan, {}, {})({"numeric": tf.constant(numeric, tf.float32)})
    nan = math.nan
    np.testing.assert_allclose(numbers, [[1.5, nan, 0], [0, -2, 1.5 * math.pi], [nan, nan, nan]], atol=1e-6)
    assert categories.shape == (3, 0)


def test_quantiles_are_numbers_and_categories_categories() -> None:
    plan = FeaturePlan(categorical=(Categorical("c", 10, 1, None),), bucketised=(Bucketised("q", 4),))
    known = {"categorical": (Category("c", 12, 4), Category("q", 5, None))}
    features = {"categorical": tf.constant([[7, 3], [0, 0]], tf.int64)}
    numbers, categories = TreeColumns.fit(plan, known, features)(features)
    np.testing.assert_array_equal(numbers, [[3], [math.nan]])
    np.testing.assert_array_equal(categories, [[7], [0]])


def test_frequent_words_are_counted() -> None:
    plan = FeaturePlan(bags=(Text("words", 8, None),))
    known = {"bag_0": (Category("words", 9, 4, is_bag=True),)}
    rows = [[3, 3, 8], [3, 0, 0], [0, 0, 0]]
    columns = TreeColumns.fit(plan, known, {"bag_0": tf.constant([[3, 8, 1]] * 6 + [[8, 2, 0]], tf.int64)})
    numbers, _ = columns({"bag_0": tf.constant(rows, tf.int64)})
    # Words 1, 3 and 8 are in several rows, 2 is not; the last column is how many words there are.
    np.testing.assert_array_equal(numbers, [[0, 2, 1, 3], [0, 1, 0, 1], [0, 0, 0, 0]])


def test_features_of_the_users_own_are_taken_as_they_are() -> None:
    features = {
        "ratio": tf.constant([[0.5], [math.inf]]),
        "kind": tf.constant([[1], [-1]], tf.int64),
        "n": tf.constant([[2], [3]]),
    }
    columns = TreeColumns.fit(None, {"kind": (Category("kind", 3, 2),)}, features)
    numbers, categories = columns(features)
    np.testing.assert_array_equal(numbers, [[2, 0.5], [3, math.inf]])
    np.testing.assert_array_equal(categories, [[1], [-1]])
