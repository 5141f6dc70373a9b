"""How good predictions are likely to be before labels come: by what the model itself says of its chances.

Where probabilities are calibrated and what the label depends on has not changed, a row with a score of 0.7 is positive seven
times out of ten. So the metric is that of rows each of which is so much of a positive and the rest a negative (confidence-based
performance estimation: Garg and others, Leveraging unlabeled data to predict out-of-distribution performance, ICLR 2022). It
does not see that the same row means something else now.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from pipeline.config import Task


def estimated(task: Task, scores: npt.NDArray[np.float64], counts: npt.NDArray[np.number]) -> float:
    """The primary metric that calibrated probabilities promise: of two classes the AUC, of several the accuracy.

    Args:
      task: the task.
      scores: the probability of the positive class, or of the predicted one of several, [N].
      counts: how many rows have each, [N].

    Returns:
      NaN for a regression, whose predictions say nothing of their errors, and without rows.
    """
    if task is Task.REGRESSION or not counts.sum():
        return math.nan
    if task is Task.MULTICLASS:
        return float(np.average(scores, weights=counts))
    order = np.argsort(scores, kind="stable")
    positives = (scores * counts)[order]
    negatives = ((1 - scores) * counts)[order]
    starts = np.unique(scores[order], return_index=True)[1]
    positives, negatives = (np.add.reduceat(each, starts) for each in (positives, negatives))
    total = positives.sum() * negatives.sum()
    below = np.cumsum(negatives) - negatives / 2
    return float((positives * below).sum() / total) if total else math.nan
