"""The linear model finds what scikit-learn finds, and the layer answers as it was fitted."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse
import tensorflow as tf
from sklearn.linear_model import LogisticRegression, Ridge

from pipeline.config import Task
from pipeline.training.layers import Category
from pipeline.training.members.linear import Linear, LinearColumns, fit_linear, linear_outputs

RANDOM = np.random.default_rng(0)
ROWS = scipy.sparse.csr_matrix(RANDOM.normal(size=(300, 5)))
STRENGTH = ROWS @ np.array([1.0, -2.0, 0.5, 0.0, 0.0]) + 0.3 + RANDOM.normal(size=300)


@pytest.mark.parametrize("penalty", [0.1, 10.0])
def test_two_classes(penalty: float) -> None:
    labels = (STRENGTH > 0).astype(np.float32)
    weights = fit_linear(ROWS, labels, Task.BINARY, 1, penalty)
    expected = LogisticRegression(C=1 / penalty, tol=1e-8).fit(ROWS, labels)
    np.testing.assert_allclose(linear_outputs(ROWS, weights)[:, 0], expected.decision_function(ROWS), atol=5e-3)


def test_several_classes() -> None:
    labels = np.digitize(STRENGTH, [-1, 1]).astype(np.float32)
    weights = fit_linear(ROWS, labels, Task.MULTICLASS, 3, 1.0)
    expected = LogisticRegression(C=1.0, tol=1e-8).fit(ROWS, labels).predict_log_proba(ROWS)
    outputs = linear_outputs(ROWS, weights)
    np.testing.assert_allclose(outputs - outputs[:, :1], expected - expected[:, :1], atol=2e-2)


def test_a_number() -> None:
    weights = fit_linear(ROWS, STRENGTH, Task.REGRESSION, 1, 3.0)
    np.testing.assert_allclose(
        linear_outputs(ROWS, weights)[:, 0], Ridge(alpha=3.0).fit(ROWS, STRENGTH).predict(ROWS), atol=1e-3
    )


@pytest.mark.parametrize("num_outputs", [1, 3])
def test_the_layer_answers_for_numbers_categories_and_bags(num_outputs: int) -> None:
    categories = {
        "categorical": (Category("a", 4, 2), Category("b", 3, 2)),
        "bag_0": (Category("words", 6, 2, is_bag=True),),
        "bag_1": (Category("tags", 3, 2, is_bag=True),),
    }
    features = {
        "numeric": tf.constant(RANDOM.normal(size=(4, 2)), tf.float32),
        "categorical": tf.constant([[0, 2], [3, 1], [1, 0], [2, 2]], tf.int64),
        "bag_0": tf.constant([[1, 5, 5], [0, 0, 0], [2, 0, 0], [3, 4, 0]], tf.int64),
        "bag_1": tf.constant([[1], [2], [0], [1]], tf.int64),
    }
    columns = LinearColumns.of(list(features), categories)
    matrix = columns.matrix(features)
    assert matrix.shape == (4, 2 + 4 + 3 + 6 + 3)
    weights = RANDOM.normal(size=(1 + matrix.shape[1], num_outputs))
    np.testing.assert_allclose(Linear(columns, weights)(features), linear_outputs(matrix, weights), atol=1e-5)


def test_the_layer_answers_for_numbers_alone() -> None:
    features = {"numeric": tf.constant(RANDOM.normal(size=(4, 2)), tf.float32)}
    columns = LinearColumns.of(list(features), {})
    weights = RANDOM.normal(size=(3, 1))
    outputs = Linear(columns, weights)(features)
    assert outputs.shape == (4, 1)
    np.testing.assert_allclose(outputs, linear_outputs(columns.matrix(features), weights), atol=1e-5)


def test_rows_count_as_much_as_their_weights() -> None:
    labels, row_weights = (STRENGTH > 0).astype(np.float32), RANDOM.integers(0, 4, 300).astype(float)
    weights = fit_linear(ROWS, labels, Task.BINARY, 1, 1.0, row_weights)
    expected = LogisticRegression(C=1.0, tol=1e-8).fit(ROWS, labels, sample_weight=row_weights)
    np.testing.assert_allclose(linear_outputs(ROWS, weights)[:, 0], expected.decision_function(ROWS), atol=5e-3)


def test_numbers_without_a_limit_have_an_answer() -> None:
    """As those of a column that was constant in training."""
    columns = LinearColumns.of(["numeric"], {})
    rows = [[np.inf, 1.0], [-np.inf, np.inf], [np.nan, 1.0]]
    outputs = Linear(columns, np.array([[0.5], [0.0], [2.0]]))({"numeric": tf.constant(rows, tf.float32)}).numpy()[:, 0]
    assert outputs[[0, 2]].tolist() == [2.5, 2.5]
    assert outputs[1] > 1e20
