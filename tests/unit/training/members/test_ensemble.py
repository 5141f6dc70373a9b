"""The weights of members: what helps counts, what does not is left out."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.config import Task
from pipeline.training.members.ensemble import best_weights
from pipeline.training.members.losses import losses

RANDOM = np.random.default_rng(0)
TRUTH = RANDOM.normal(size=4000)
LABELS = {
    Task.BINARY: (RANDOM.random(4000) < 1 / (1 + np.exp(-2 * TRUTH))).astype(float),
    Task.REGRESSION: TRUTH,
}


def noisy(scale: float) -> np.ndarray:
    return 2 * (TRUTH + RANDOM.normal(0, scale, 4000))[:, np.newaxis]


@pytest.mark.parametrize("task", LABELS)
def test_members_that_err_independently_share_the_weight(task: Task) -> None:
    outputs = [noisy(0.5) / (1 + (task is Task.REGRESSION)) for _ in range(2)]
    weights = best_weights(task, outputs, LABELS[task])
    assert weights.sum() == pytest.approx(1)
    assert weights.min() > 0.35
    added = weights[0] * outputs[0] + weights[1] * outputs[1]
    best_alone = min(losses(task, values, LABELS[task]).mean() for values in outputs)
    assert losses(task, added, LABELS[task]).mean() < best_alone


@pytest.mark.parametrize("task", LABELS)
def test_a_member_that_knows_nothing_is_left_out(task: Task) -> None:
    good = noisy(0.2) / (1 + (task is Task.REGRESSION))
    bad = 3 * RANDOM.normal(size=(4000, 1))
    assert best_weights(task, [bad, good], LABELS[task]).tolist() == [0, 1]


def test_the_scale_of_a_number_does_not_change_the_weights() -> None:
    labels, outputs = LABELS[Task.REGRESSION][:100], [noisy(0.2)[:100] / 2, noisy(1.0)[:100] / 2]
    weights = [best_weights(Task.REGRESSION, [scale * values for values in outputs], scale * labels) for scale in (1.0, 0.01)]
    np.testing.assert_allclose(weights[0], weights[1], atol=1e-2)
    assert weights[0][0] > 0.8


@pytest.mark.parametrize("error", [1e-4, 1e-6, 1e-12, 0.0])
@pytest.mark.parametrize("num_rows", [20, 4000])
def test_beside_a_member_that_knows_all_the_others_are_left_out(error: float, num_rows: int) -> None:
    labels = TRUTH[:num_rows]
    outputs = [(labels + scale * RANDOM.normal(size=num_rows))[:, np.newaxis] for scale in (0.1, error, 0.3)]
    assert best_weights(Task.REGRESSION, outputs, labels).tolist() == [0, 1, 0]


def test_logits_of_any_size_are_weighed() -> None:
    labels = (TRUTH > 0).astype(float)
    outputs = [1e6 * RANDOM.normal(size=(20, 1)), 1e6 * TRUTH[:20, np.newaxis], noisy(1.0)[:20]]
    assert best_weights(Task.BINARY, outputs, labels[:20]).tolist() == [0, 1, 0]


def test_without_rows_the_weights_are_equal() -> None:
    assert best_weights(Task.BINARY, [np.zeros((0, 1))] * 4, np.zeros(0)).tolist() == [0.25] * 4


def test_several_classes_are_weighed_together() -> None:
    labels = RANDOM.integers(0, 3, 1000)
    good = np.eye(3)[labels] * 3 + RANDOM.normal(size=(1000, 3))
    assert best_weights(Task.MULTICLASS, [good, 4 * RANDOM.normal(size=(1000, 3))], labels).tolist() == [1, 0]


def test_rows_of_no_weight_do_not_judge() -> None:
    good = noisy(0.2)
    half = np.arange(len(good)) % 2
    outputs = [np.where(half[:, np.newaxis], -good, good), good]
    assert best_weights(Task.BINARY, outputs, LABELS[Task.BINARY]).tolist() == [0, 1]
    assert best_weights(Task.BINARY, outputs, LABELS[Task.BINARY], 2.0 - 2 * half) == pytest.approx([0.5, 0.5])


def test_a_few_rows_hardly_move_the_weights_from_those_that_they_begin_with() -> None:
    outputs, prior = [noisy(0.5)[:5], noisy(0.5)[:5]], np.array([0.2, 0.8])
    np.testing.assert_allclose(best_weights(Task.BINARY, outputs, LABELS[Task.BINARY][:5], prior=prior), prior, atol=0.15)
    np.testing.assert_allclose(best_weights(Task.BINARY, outputs, LABELS[Task.BINARY][:5]), [0.5, 0.5], atol=0.15)
    assert best_weights(Task.BINARY, [noisy(0.5)[:0]] * 2, np.zeros(0), prior=prior) is prior
