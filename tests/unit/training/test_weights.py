"""How much each row counts in training."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import Task, Training
from pipeline.errors import ConfigError, DataError
from pipeline.training import examples
from pipeline.training.labels import LabelEncoding
from pipeline.training.weights import checked, require_column, row_weights

LABELS = np.array([b"paid"] * 6 + [b"late"] * 3 + [b"fraud"], object)
ENCODING = LabelEncoding.fit(Task.MULTICLASS, "kind", LABELS)


def weigh(class_weights: Any, column: np.ndarray | None = None) -> np.ndarray | None:
    set_ = Training.model_validate({"class_weights": class_weights}).class_weights
    return row_weights("kind", set_, ENCODING, ENCODING.encode(LABELS), column)


def test_rows_count_the_same_unless_told() -> None:
    assert weigh(None) is None


def test_balanced_classes_count_the_same_in_total() -> None:
    weights = weigh("balanced")
    assert weights is not None
    assert [weights[name == LABELS].sum() for name in (b"paid", b"late", b"fraud")] == pytest.approx([10 / 3] * 3)


def test_a_class_without_a_weight_counts_as_one() -> None:
    weights = weigh({"fraud": 6, "late": 2})
    assert weights is not None
    assert weights[[0, 6, 9]] / weights[0] == pytest.approx([1, 2, 6])


def test_classes_that_are_numbers_are_named_as_yaml_has_them() -> None:
    labels = np.array([0, 0, 0, 1])
    encoding = LabelEncoding.fit(Task.BINARY, "late", labels)
    set_ = Training.model_validate({"class_weights": {1: 3}}).class_weights
    weights = row_weights("late", set_, encoding, encoding.encode(labels), None)
    assert weights is not None
    assert weights == pytest.approx([2 / 3] * 3 + [2])


@given(st.lists(st.floats(0.01, 1e6), min_size=10, max_size=10), st.sampled_from([None, "balanced", {"late": 3}]))
def test_weights_multiply_and_have_a_mean_of_one(column: list[float], class_weights: Any) -> None:
    weights, alone = weigh(class_weights, np.array(column)), weigh(class_weights)
    assert weights is not None
    assert weights.mean() == pytest.approx(1, rel=1e-4)
    expected = np.array(column) * (1 if alone is None else alone)
    np.testing.assert_allclose(weights, expected / expected.mean(), rtol=1e-4)


def test_a_class_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match="no class 'paied'") as refused:
        weigh({"paied": 2})
    assert refused.value.fix == "Did you mean 'paid'?"


@pytest.mark.parametrize(
    ("values", "seen"),
    [
        (np.array([b"1", b"2"], object), "text"),
        (np.array([1, np.iinfo(np.int64).min]), "1 of 2 rows without"),
        (np.array([1, math.nan]), "1 of 2 rows without"),
        (np.array([1, -2.0]), "-2"),
        (np.array([1, math.inf]), "1 of 2 rows without"),
        (np.array([0, 0]), "0 in every row"),
    ],
)
def test_a_column_that_cannot_weigh_is_refused(values: np.ndarray, seen: str) -> None:
    with pytest.raises(DataError, match="cannot weigh") as refused:
        checked("importance", values)
    assert seen in refused.value.seen


def test_some_rows_may_count_nothing() -> None:
    assert checked("importance", np.array([0, 3])).tolist() == [0, 3]


def test_a_column_that_is_not_there_is_refused() -> None:
    require_column("weight", ["weight"])
    with pytest.raises(ConfigError, match="no column 'wieght'") as refused:
        require_column("wieght", ["weight", "x"])
    assert refused.value.fix == "Did you mean 'weight'?"


def test_batches_bring_the_weights_of_their_rows() -> None:
    features: examples.Features = {"x": tf.Variable(np.arange(6.0)[:, None])}
    labels, weights = np.arange(6, dtype=np.float32), 10 + np.arange(6, dtype=np.float32)
    batches = examples.batches(features, labels, np.array([1, 3, 5]), 2, None, weights)
    assert [tuple(np.ravel(part).tolist() for part in (x["x"], y, w)) for x, y, w in batches] == [
        ([1, 3], [1, 3], [11, 13]),
        ([5], [5], [15]),
    ]
