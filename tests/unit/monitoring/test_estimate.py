"""How good predictions are likely to be, by what calibrated probabilities say."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from pipeline.config import Task
from pipeline.monitoring.estimate import estimated


@given(st.lists(st.tuples(st.floats(0.001, 0.999), st.integers(1, 9)), min_size=1, max_size=30))
def test_the_estimate_is_the_auc_of_rows_that_are_partly_positive(rows: list[tuple[float, int]]) -> None:
    scores, counts = (np.array(each) for each in zip(*rows, strict=True))
    # Each row twice: so much of a positive, and the rest a negative.
    labels, twice = np.repeat([1, 0], len(rows)), np.tile(scores, 2)
    weights = np.concatenate([scores * counts, (1 - scores) * counts])
    expected = roc_auc_score(labels, twice, sample_weight=weights)
    assert estimated(Task.BINARY, scores, counts) == pytest.approx(expected, abs=1e-9)


def test_calibrated_probabilities_promise_what_comes() -> None:
    rng = np.random.default_rng(0)
    scores = rng.beta(1, 3, 40_000)
    labels = rng.random(40_000) < scores
    assert estimated(Task.BINARY, scores, np.ones(40_000)) == pytest.approx(roc_auc_score(labels, scores), abs=0.01)
    assert estimated(Task.MULTICLASS, np.array([0.5, 0.9]), np.array([1, 3])) == pytest.approx(0.8)


def test_what_says_nothing_of_its_errors_has_no_estimate() -> None:
    assert math.isnan(estimated(Task.REGRESSION, np.array([0.5]), np.array([1])))
    assert math.isnan(estimated(Task.BINARY, np.zeros(0), np.zeros(0)))
