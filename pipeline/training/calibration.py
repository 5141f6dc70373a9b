"""Probabilities that are as often right as they say: a correction of a classifier's logits, fitted to the validation rows.

Of two classes that of Platt (Probabilistic outputs for support vector machines, 1999), a slope and an intercept; of more the
temperature of Guo, Pleiss, Sun and Weinberger (On calibration of modern neural networks, 2017), a slope alone. Neither changes
how rows are ranked, nor which of several classes is the most probable one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.optimize
import scipy.stats
import tensorflow as tf

from pipeline.config import Task
from pipeline.training.members.losses import Outputs, gradients, losses

_NUM_FOLDS = 5
# They tell one or two numbers to a hundredth or so.
_MOST_ROWS = 10_000
_SIGNIFICANCE = 0.05
_SLOPES = (0.01, 100.0)
# The standard deviation of the logarithm of slopes, before any row is seen. Without, a few dozen rows that are all told apart
# make a model sure of everything.
_SPREAD = 0.5

_Floats = npt.NDArray[np.floating]


@dataclass(frozen=True)
class Calibration:
    """A correction of logits: slope * logit + intercept.

    Attributes:
      slope: the inverse of the temperature.
      intercept: what shifts the logit of the positive class; 0 where classes are several.
      before: the log loss of the validation rows without it.
      after: their log loss with corrections that were each fitted to other rows.
      num_rows: how many validation rows it was fitted to.
    """

    slope: float
    intercept: float
    before: float
    after: float
    num_rows: int

    def __call__(self, outputs: tf.Tensor) -> tf.Tensor:
        """Corrected logits, [N, outputs]."""
        scaled = outputs * self.slope
        return scaled + self.intercept if self.intercept else scaled

    def __str__(self) -> str:
        shift = f" and shifted by {self.intercept:+.3g}" if self.intercept else ""
        return (
            f"logits are multiplied by {self.slope:.3g}{shift}: on {self.num_rows:,} validation rows the log loss is "
            f"{self.after:.4f}, {self.before:.4f} without"
        )


def fit_calibration(task: Task, outputs: Outputs, labels: _Floats, counts: _Floats, seed: int) -> Calibration | None:
    """The correction of a classifier, if it helps by more than chance.

    Each fifth of the rows is corrected as the other rows say. Their loss has to fall by more than chance: in a paired
    t-test with a significance of 5 %.

    Args:
      task: a classification.
      outputs: the logits of rows that the model has not learnt from.
      labels: their class indices, [N].
      counts: how much each of them counts, [N].
      seed: that of the folds, and of the choice of rows where there are more than 10,000.

    Returns:
      The correction that suits these rows; None where it does not help, or there are too few rows to tell.
    """
    if len(labels) < _NUM_FOLDS:
        return None
    chosen = np.random.default_rng(seed).permutation(len(labels))[:_MOST_ROWS]
    outputs, labels, counts = outputs[chosen], labels[chosen], counts[chosen]
    before = losses(task, outputs, labels)
    after = np.zeros(len(labels))
    for number in range(_NUM_FOLDS):
        is_judged = np.arange(len(labels)) % _NUM_FOLDS == number
        slope, intercept = _fit(task, outputs[~is_judged], labels[~is_judged], counts[~is_judged])
        after[is_judged] = losses(task, slope * outputs[is_judged] + intercept, labels[is_judged])
    gains = counts * (before - after)
    if not np.ptp(gains) or scipy.stats.ttest_1samp(gains, 0, alternative="greater").pvalue >= _SIGNIFICANCE:
        return None
    slope, intercept = _fit(task, outputs, labels, counts)
    return Calibration(
        slope, intercept, float(np.average(before, weights=counts)), float(np.average(after, weights=counts)), len(labels)
    )


def _fit(task: Task, outputs: Outputs, labels: _Floats, counts: _Floats) -> tuple[float, float]:
    """Slope and intercept with the smallest loss of all rows and of a slope that is far from 1."""
    is_binary = task is Task.BINARY
    if is_binary:
        # Platt's targets, which keep the slope finite where the classes are told apart without an error.
        num_positive = np.count_nonzero(labels)
        targets = (num_positive + 1) / (num_positive + 2), 1 / (len(labels) - num_positive + 2)
        labels = np.where(labels > 0, *targets)

    def objective(line: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        corrected = line[0] * outputs + (line[1] if is_binary else 0)
        slopes = counts[:, np.newaxis] * gradients(task, corrected, labels)
        away = np.log(line[0]) / _SPREAD
        by_line = [(slopes * outputs).sum() + away / (_SPREAD * line[0]), *([slopes.sum()] if is_binary else [])]
        total = float(counts @ losses(task, corrected, labels)) + 0.5 * away**2
        return total / len(labels), np.array(by_line) / len(labels)

    start, bounds = ([1.0, 0.0], [_SLOPES, (None, None)]) if is_binary else ([1.0], [_SLOPES])
    found = scipy.optimize.minimize(objective, start, jac=True, method="L-BFGS-B", bounds=bounds).x
    return float(found[0]), float(found[1]) if is_binary else 0.0
