"""The project's own metrics against scikit-learn's."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from sklearn import metrics as sklearn
from tensorflow_model_analysis.metrics import metric_types

from components.evaluator import metrics
from components.evaluator.accumulators import accumulator_for
from components.evaluator.predicted_rows import PredictedRows

RANDOM = np.random.default_rng(8)
ROWS = 400
AMOUNTS = RANDOM.normal(20, 5, ROWS)
ESTIMATES = (AMOUNTS + RANDOM.normal(0, 3, ROWS)).astype(np.float32)
CLASSES = RANDOM.choice(4, ROWS, p=[0.5, 0.3, 0.15, 0.05])
# Of several orders of magnitude, some equal, and some certain.
LOGITS = np.round(RANDOM.normal(0, 4, (ROWS, 4)) + 4 * np.eye(4)[CLASSES], 1)
PROBABILITIES = (np.exp(LOGITS) / np.exp(LOGITS).sum(axis=1, keepdims=True)).astype(np.float32)


def value(metric: metric_types.Metric, labels: np.ndarray, predictions: np.ndarray) -> float:
    """A metric of some rows."""
    found: dict[metric_types.MetricKey, float] = {}
    for computation in metric.computations():
        if isinstance(computation, metric_types.MetricComputation):
            accumulator = accumulator_for(computation)
            accumulator.add(
                [np.zeros(len(labels), np.int64)],
                PredictedRows(labels, predictions.reshape(len(labels), -1), np.ones(len(labels))),
            )
            found |= accumulator.output(0)
        else:
            found |= computation.result(found)
    return next(number for key, number in found.items() if key.name == metric.name)


def _error_within(share: float) -> float:
    errors = np.sort(np.abs(AMOUNTS - ESTIMATES))
    return float(errors[math.ceil(share * ROWS) - 1])


@pytest.mark.parametrize(
    ("metric", "labels", "predictions", "expected", "tolerance"),
    [
        (metrics.CoefficientOfDetermination(), AMOUNTS, ESTIMATES, lambda: sklearn.r2_score(AMOUNTS, ESTIMATES), 1e-9),
        (metrics.AbsoluteErrorQuantile(), AMOUNTS, ESTIMATES, lambda: _error_within(0.5), 1e-9),
        (metrics.AbsoluteErrorQuantile(0.9, "p90"), AMOUNTS, ESTIMATES, lambda: _error_within(0.9), 1e-9),
        (
            metrics.MacroF1(),
            CLASSES,
            PROBABILITIES,
            lambda: sklearn.f1_score(CLASSES, PROBABILITIES.argmax(axis=1), average="macro"),
            1e-9,
        ),
        (
            metrics.OneVersusRestAuc(),
            CLASSES,
            PROBABILITIES,
            lambda: np.mean([sklearn.roc_auc_score(each == CLASSES, PROBABILITIES[:, each]) for each in range(4)]),
            1e-3,
        ),
    ],
    ids=lambda each: type(each).__name__ if isinstance(each, metric_types.Metric) else "",
)
def test_it_is_what_scikit_learn_says(
    metric: metric_types.Metric,
    labels: np.ndarray,
    predictions: np.ndarray,
    expected: Callable[[], float],
    tolerance: float,
) -> None:
    assert value(metric, labels, predictions) == pytest.approx(expected(), abs=tolerance)


def test_r2_of_labels_that_do_not_vary_is_undefined() -> None:
    assert math.isnan(value(metrics.CoefficientOfDetermination(), np.full(9, 0.1), np.arange(9)))


def test_the_auc_of_each_class_leaves_out_classes_that_no_row_or_every_row_is_of() -> None:
    rows = CLASSES < 2
    expected = np.mean([sklearn.roc_auc_score(CLASSES[rows] == each, PROBABILITIES[rows, each]) for each in range(2)])
    assert value(metrics.OneVersusRestAuc(), CLASSES[rows], PROBABILITIES[rows]) == pytest.approx(expected, abs=1e-3)
    assert math.isnan(value(metrics.OneVersusRestAuc(), np.zeros(5, np.int64), PROBABILITIES[:5]))


def test_macro_f1_is_of_the_classes_that_occur() -> None:
    labels = np.array([0, 0, 1])
    predictions = np.eye(4, dtype=np.float32)[[0, 2, 1]]
    assert value(metrics.MacroF1(), labels, predictions) == pytest.approx((2 / 3 + 1 + 0) / 3)
