"""What all rows are off by can be left out of a loss."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.config import Task
from pipeline.training.members.losses import level_free_loss, levelled, losses

RANDOM = np.random.default_rng(0)
LABELS = {
    Task.BINARY: (RANDOM.random(500) < 0.2).astype(float),
    Task.MULTICLASS: RANDOM.integers(0, 3, 500).astype(float),
    Task.REGRESSION: RANDOM.normal(3, 2, 500),
}
OUTPUTS = RANDOM.normal(size=(500, 3))


def outputs(task: Task) -> np.ndarray:
    return OUTPUTS if task is Task.MULTICLASS else OUTPUTS[:, :1]


@pytest.mark.parametrize("task", LABELS)
def test_a_constant_more_or_less_does_not_count(task: Task) -> None:
    moved = outputs(task) + np.array([[1.5, -2.0, 0.5]])[:, : outputs(task).shape[1]]
    loss, of_moved = (losses(task, levelled(task, each, LABELS[task]), LABELS[task]).mean() for each in (outputs(task), moved))
    assert of_moved == pytest.approx(loss, abs=1e-4)
    assert loss < losses(task, outputs(task), LABELS[task]).mean()


def test_rows_count_as_much_as_they_weigh() -> None:
    weights = np.arange(500.0)
    left = LABELS[Task.REGRESSION] - levelled(Task.REGRESSION, outputs(Task.REGRESSION), LABELS[Task.REGRESSION], weights)[:, 0]
    assert np.average(left, weights=weights) == pytest.approx(0, abs=1e-4)


def test_rows_of_one_class_and_rows_without_weight_have_a_level() -> None:
    values = outputs(Task.BINARY)
    assert np.isfinite(levelled(Task.BINARY, values, np.zeros(500))).all()
    assert np.array_equal(levelled(Task.BINARY, values, np.zeros(500), np.zeros(500)), values)
    assert level_free_loss(Task.BINARY, values, np.zeros(500), np.zeros(500)) == level_free_loss(
        Task.BINARY, values, np.zeros(500)
    )
