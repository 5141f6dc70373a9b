"""The weights of members: those with which their outputs add up to the smallest loss on rows that none has learnt from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import scipy.optimize

from pipeline.config import Task
from pipeline.training.members.losses import Outputs, gradients, losses

_SMALLEST_WEIGHT = 0.05
# Worth as many rows' losses: on few rows, by chance alone one of several good members looks much better than the others.
_EVIDENCE = 8.0
# Of a standardised label: a loss that is as good as none.
_LEAST_LOSS = 1e-12


def best_weights(
    task: Task,
    outputs: Sequence[Outputs],
    labels: npt.NDArray[np.floating],
    row_weights: npt.NDArray[np.floating] | None = None,
    prior: npt.NDArray[np.float64] | None = None,
) -> npt.NDArray[np.float64]:
    """The weights of members, [members], 0 for those that do not help; they add up to 1.

    The loss of a sum of logits is convex in the weights, as is that of a sum of numbers, so there is one best sum.

    Args:
      task: the kind of prediction.
      outputs: what each member puts out for rows that it has not learnt from.
      labels: [N], class indices or the standardised label of these rows.
      row_weights: how much each of these rows counts, [N]; None where all count the same.
      prior: the weights that few rows hardly move them from, [members], which add up to 1; None for equal ones.
    """
    stacked = np.stack(outputs)
    start = np.full(len(outputs), 1 / len(outputs)) if prior is None else prior
    if len(outputs) == 1 or not len(labels):
        return start
    counts = np.ones(len(labels)) if row_weights is None else row_weights
    unit = _unit(task, outputs, labels, counts)

    def objective(weights: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        added = np.tensordot(weights, stacked, axes=1)
        slopes = np.tensordot(stacked, counts[:, np.newaxis] * gradients(task, added, labels), axes=2) / unit
        away = weights - start
        total = counts @ losses(task, added, labels) / unit + 0.5 * _EVIDENCE * away @ away
        return float(total) / len(labels), (slopes + _EVIDENCE * away) / len(labels)

    # SLSQP gives up among numbers as large as what a bad member loses beside one that is all but perfect.
    scale = max(1.0, objective(start)[0])
    found = scipy.optimize.minimize(
        lambda weights: tuple(each / scale for each in objective(weights)),
        start,
        jac=True,
        method="SLSQP",
        options={"ftol": 1e-9},
        bounds=[(0, 1)] * len(start),
        constraints={"type": "eq", "fun": lambda weights: weights.sum() - 1, "jac": np.ones_like},
    ).x
    kept = np.where(found >= _SMALLEST_WEIGHT, found, 0)
    return kept / kept.sum()


def _unit(task: Task, outputs: Sequence[Outputs], labels: npt.NDArray[np.floating], counts: npt.NDArray[np.floating]) -> float:
    """What loss is a nat of evidence: of a number, the variance that the best member leaves, as if its errors were normal."""
    if task is not Task.REGRESSION:
        return 1.0
    return 2 * max(_LEAST_LOSS, min(float((counts * losses(task, values, labels)).mean()) for values in outputs))
