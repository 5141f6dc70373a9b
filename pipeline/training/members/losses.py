"""The loss of each task, of what members put out: logits, or the standardised label."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import scipy.special

from pipeline.config import Task

Outputs = npt.NDArray[np.float64]
"""[N, outputs]: logits of each class, of the positive class where there are two, or the standardised label."""


def losses(task: Task, outputs: Outputs, labels: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """The loss of each row, [N]: the negative logarithm of the label's probability, or half of the squared error.

    Args:
      task: the kind of prediction.
      outputs: what a model puts out.
      labels: [N], class indices or the standardised label.
    """
    if task is Task.REGRESSION:
        return 0.5 * (outputs[:, 0] - labels) ** 2
    if task is Task.BINARY:
        return np.logaddexp(0, outputs[:, 0]) - labels * outputs[:, 0]
    return scipy.special.logsumexp(outputs, axis=1) - outputs[np.arange(len(labels)), labels.astype(int)]


def gradients(task: Task, outputs: Outputs, labels: npt.NDArray[np.floating]) -> Outputs:
    """The gradient of each row's loss by its outputs. Arguments are those of `losses`."""
    if task is Task.REGRESSION:
        return outputs - labels[:, np.newaxis]
    if task is Task.BINARY:
        return scipy.special.expit(outputs) - labels[:, np.newaxis]
    probabilities = scipy.special.softmax(outputs, axis=1)
    probabilities[np.arange(len(labels)), labels.astype(int)] -= 1
    return probabilities
