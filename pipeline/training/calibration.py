"""Probabilities that are as often right as they say: a correction of a classifier's logits, fitted to the validation rows.

Of two classes that of Platt (Probabilistic outputs for support vector machines, 1999), a slope and an intercept; of more the
temperature of Guo, Pleiss, Sun and Weinberger (On calibration of modern neural networks, 2017), a slope alone. Neither changes
how rows are ranked, nor which of several classes is the most probable one. Where classes had weights in training, logits are
too large by their logarithms: of several classes each then gets an intercept too, which takes them back (Saerens, Latinne and
Decaestecker, Adjusting the outputs of a classifier to new a priori probabilities, 2002).
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
# That of the intercepts of several classes around the logarithms of their weights: of a rare class few rows tell it.
_SPREAD_OF_LEVELS = 0.5

_Floats = npt.NDArray[np.floating]


@dataclass(frozen=True)
class Calibration:
    """A correction of logits: slope * logits + intercepts.

    Attributes:
      slope: the inverse of the temperature.
      intercepts: what shifts each logit: that of the positive class of two, or those of several; empty where nothing does.
      before: the log loss of the validation rows without it.
      after: their log loss with corrections that were each fitted to other rows.
      num_rows: how many validation rows it was fitted to.
    """

    slope: float
    intercepts: tuple[float, ...]
    before: float
    after: float
    num_rows: int

    def __call__(self, outputs: tf.Tensor) -> tf.Tensor:
        """Corrected logits, [N, outputs]."""
        scaled = outputs * self.slope
        return scaled + tf.constant(self.intercepts, outputs.dtype) if self.intercepts else scaled

    def corrected(self, outputs: Outputs) -> Outputs:
        """The same of arrays, [N, outputs]."""
        return _corrected(self.slope, np.array(self.intercepts), outputs)

    def __str__(self) -> str:
        shift = f" and shifted by {min(self.intercepts):+.3g}" if self.intercepts else ""
        shift += f" to {max(self.intercepts):+.3g}, class by class" if len(self.intercepts) > 1 else ""
        return (
            f"logits are multiplied by {self.slope:.3g}{shift}: on {self.num_rows:,} validation rows the log loss is "
            f"{self.after:.4f}, {self.before:.4f} without"
        )


def fit_calibration(
    task: Task, outputs: Outputs, labels: _Floats, counts: _Floats, seed: int, class_weights: _Floats | None = None
) -> Calibration | None:
    """The correction of a classifier, if it helps by more than chance.

    Each fifth of the rows is corrected as the other rows say. Their loss has to fall by more than chance: in a paired
    t-test with a significance of 5 %.

    Args:
      task: a classification.
      outputs: the logits of rows that the model has not learnt from.
      labels: their class indices, [N].
      counts: how much each of them counts, [N].
      seed: that of the folds, and of the choice of rows where there are more than 10,000.
      class_weights: how much the rows of each class counted in training, [classes]; None where all counted the same.

    Returns:
      The correction that suits these rows; None where it does not help, or there are too few rows to tell.
    """
    if len(labels) < _NUM_FOLDS:
        return None
    chosen = np.random.default_rng(seed).permutation(len(labels))[:_MOST_ROWS]
    outputs, labels, counts = outputs[chosen], labels[chosen], counts[chosen]
    levels = _levels(task, class_weights)
    before = losses(task, outputs, labels)
    after = np.zeros(len(labels))
    for number in range(_NUM_FOLDS):
        is_judged = np.arange(len(labels)) % _NUM_FOLDS == number
        slope, intercepts = _fit(task, outputs[~is_judged], labels[~is_judged], counts[~is_judged], levels)
        after[is_judged] = losses(task, _corrected(slope, intercepts, outputs[is_judged]), labels[is_judged])
    gains = counts * (before - after)
    if not np.ptp(gains) or scipy.stats.ttest_1samp(gains, 0, alternative="greater").pvalue >= _SIGNIFICANCE:
        return None
    slope, intercepts = _fit(task, outputs, labels, counts, levels)
    return Calibration(
        slope,
        tuple(intercepts.tolist()),
        float(np.average(before, weights=counts)),
        float(np.average(after, weights=counts)),
        len(labels),
    )


def _corrected(slope: float, intercepts: _Floats, outputs: Outputs) -> Outputs:
    return slope * outputs + intercepts if len(intercepts) else slope * outputs


def _levels(task: Task, class_weights: _Floats | None) -> _Floats:
    """The intercepts that are likely before any row is seen, with a mean of 0; none where classes get no intercepts."""
    if task is Task.BINARY:
        return np.zeros(1)
    if class_weights is None:
        return np.zeros(0)
    logarithms = np.log(class_weights)
    return logarithms.mean() - logarithms


def _fit(task: Task, outputs: Outputs, labels: _Floats, counts: _Floats, levels: _Floats) -> tuple[float, _Floats]:
    """Slope and intercepts with the smallest loss of all rows, of a slope far from 1 and of intercepts far from the levels."""
    is_binary = task is Task.BINARY
    if is_binary:
        # Platt's targets, which keep the slope finite where the classes are told apart without an error.
        num_positive = np.count_nonzero(labels)
        targets = (num_positive + 1) / (num_positive + 2), 1 / (len(labels) - num_positive + 2)
        labels = np.where(labels > 0, *targets)
    # The level of two classes is told by all rows.
    pull = 0.0 if is_binary else 1 / _SPREAD_OF_LEVELS**2

    def objective(line: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        slope, intercepts = line[0], line[1:]
        corrected = _corrected(slope, intercepts, outputs)
        slopes = counts[:, np.newaxis] * gradients(task, corrected, labels)
        away, apart = np.log(slope) / _SPREAD, intercepts - levels
        by_line = [[(slopes * outputs).sum() + away / (_SPREAD * slope)]]
        if len(intercepts):
            by_line.append(slopes.sum(axis=0) + pull * apart)
        total = float(counts @ losses(task, corrected, labels)) + 0.5 * away**2 + 0.5 * pull * float(apart @ apart)
        return total / len(labels), np.concatenate(by_line) / len(labels)

    bounds = [_SLOPES, *[(None, None)] * len(levels)]
    found = scipy.optimize.minimize(objective, [1.0, *levels], jac=True, method="L-BFGS-B", bounds=bounds).x
    return float(found[0]), found[1:]
