"""Probabilities that are as often right as they say."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.special
import tensorflow as tf

from pipeline.config import Task
from pipeline.training.calibration import Calibration, fit_calibration


def binary(rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """True logits, [N, 1], and labels, [N]."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, 2, (rows, 1))
    return logits, (random.random(rows) < scipy.special.expit(logits[:, 0])).astype(np.float32)


def multiclass(rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """True logits of four classes, [N, 4], and labels, [N]."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, 2, (rows, 4))
    # Gumbel's trick: the largest of logits with such noise is drawn by their probabilities.
    return logits, (logits + random.gumbel(size=logits.shape)).argmax(axis=1).astype(np.float32)


def fit(task: Task, outputs: np.ndarray, labels: np.ndarray, class_weights: np.ndarray | None = None) -> Calibration | None:
    return fit_calibration(task, outputs, labels, np.ones(len(labels)), 1, class_weights)


def test_a_model_of_two_classes_that_is_too_sure_and_leans_to_one_is_brought_back() -> None:
    logits, labels = binary(3000)
    found = fit(Task.BINARY, 2.5 * logits + 1.5, labels)
    assert found is not None
    assert found.slope == pytest.approx(1 / 2.5, rel=0.1)
    assert found.intercepts == pytest.approx((-1.5 / 2.5,), abs=0.15)
    assert found.after < found.before
    corrected = found(tf.constant(2.5 * logits + 1.5))
    assert np.abs(corrected.numpy() - logits).mean() < 0.2
    assert str(found).startswith("logits are multiplied by 0.")
    assert "and shifted by -0." in str(found)
    assert "on 3,000 validation rows the log loss is 0." in str(found)


def test_several_classes_get_a_temperature() -> None:
    logits, labels = multiclass(3000)
    found = fit(Task.MULTICLASS, 3 * logits, labels)
    assert found is not None
    assert (found.slope, found.intercepts) == (pytest.approx(1 / 3, rel=0.1), ())
    assert "shifted" not in str(found)


@pytest.mark.parametrize("rows", [200, 4000])
def test_what_class_weights_make_of_several_classes_is_taken_back(rows: int) -> None:
    """A model that learnt with weights has logits that are too large by their logarithms."""
    logits, labels = multiclass(rows)
    weights = np.array([1.0, 1.0, 8.0, 30.0])
    found = fit(Task.MULTICLASS, 2 * (logits + np.log(weights)), labels, weights)
    assert found is not None
    corrected = found(tf.constant(2 * (logits + np.log(weights)))).numpy()
    assert np.abs(scipy.special.softmax(corrected, axis=1) - scipy.special.softmax(logits, axis=1)).mean() < 0.04
    assert corrected == pytest.approx(found.corrected(2 * (logits + np.log(weights))))
    assert "class by class" in str(found)


def test_many_rows_tell_the_levels_of_classes_where_their_weights_do_not() -> None:
    """Of the rarest class a model has learnt twice as much as its weight says."""
    random, weights, learnt = np.random.default_rng(3), np.array([1.0, 1.0, 1.0, 50.0]), np.array([1.0, 1.0, 1.0, 100.0])
    logits = random.normal(0, 2, (20_000, 4)) - [0, 0, 0, 4]
    labels = (logits + random.gumbel(size=logits.shape)).argmax(axis=1).astype(np.float32)
    found = fit(Task.MULTICLASS, logits + np.log(learnt), labels, weights)
    assert found is not None
    assert found.intercepts[3] - np.mean(found.intercepts[:3]) == pytest.approx(-np.log(100), abs=0.25)


def test_class_weights_that_have_had_no_effect_are_not_taken_back() -> None:
    found = [fit(Task.MULTICLASS, *multiclass(400, seed), np.array([1.0, 1.0, 1.0, 9.0])) for seed in range(20)]
    assert sum(each is not None for each in found) <= 1


@pytest.mark.parametrize("task", [Task.BINARY, Task.MULTICLASS])
def test_a_model_that_is_right_is_left_alone(task: Task) -> None:
    make = binary if task is Task.BINARY else multiclass
    found = [fit(task, *make(400, seed)) for seed in range(20)]
    assert sum(each is not None for each in found) <= 1


def test_rows_count_as_much_as_they_weigh() -> None:
    logits, labels = binary(2000)
    random = np.random.default_rng(3)
    wrong, theirs = np.concatenate([logits, logits]), np.concatenate([labels, random.integers(0, 2, 2000)])
    counts = np.repeat([1.0, 0.0], 2000)
    assert fit_calibration(Task.BINARY, wrong, theirs, counts, seed=1) is None
    assert fit_calibration(Task.BINARY, wrong, theirs, np.ones(4000), seed=1) is not None


@pytest.mark.parametrize("rows", [0, 1, 4, 5])
@pytest.mark.parametrize("task", [Task.BINARY, Task.MULTICLASS])
def test_too_few_rows_tell_nothing(task: Task, rows: int) -> None:
    logits, labels = (binary if task is Task.BINARY else multiclass)(rows)
    assert fit(task, 0 * logits, 0 * labels) is None
    assert fit(task, logits, labels) is None


@pytest.mark.parametrize("task", [Task.BINARY, Task.MULTICLASS])
@pytest.mark.parametrize(("rows", "most"), [(24, 4), (200, 10)])
def test_rows_that_are_told_apart_without_an_error_make_a_model_the_surer_the_more_there_are(
    task: Task, rows: int, most: float
) -> None:
    logits = np.linspace(-3, 3, rows)[:, np.newaxis]
    outputs = logits if task is Task.BINARY else np.concatenate([-logits / 2, logits / 2], axis=1)
    found = fit(task, outputs, (logits[:, 0] > 0).astype(np.float32))
    assert found is not None
    assert 1 < found.slope < most


@pytest.mark.parametrize("task", [Task.BINARY, Task.MULTICLASS])
def test_a_few_rows_make_no_model_sure_of_everything(task: Task) -> None:
    """The rows to come have errors, though none of 24 has."""
    logits = np.repeat([-3.0, 3.0], 12)[:, np.newaxis]
    outputs = logits if task is Task.BINARY else np.concatenate([-logits / 2, logits / 2], axis=1)
    found = fit(task, outputs, (logits[:, 0] > 0).astype(np.float32))
    assert found is None or found.slope < 1.5
