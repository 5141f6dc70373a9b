"""The loss of each task, of what members put out: logits, or the standardised label."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import scipy.special

from pipeline.config import Task

Outputs = npt.NDArray[np.float64]
"""[N, outputs]: logits of each class, of the positive class where there are two, or the standardised label."""

_SMALLEST_SHARE = 1e-4
_MOST_STEPS, _CLOSE = 50, 1e-4


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


def levelled(
    task: Task,
    outputs: Outputs,
    labels: npt.NDArray[np.floating],
    row_weights: npt.NDArray[np.floating] | None = None,
) -> Outputs:
    """Outputs plus a constant for each of them, which makes the loss of these rows smallest.

    What is left of the loss says how well rows are told from each other, and not how many of them are positive in all.

    Args:
      task: the kind of prediction.
      outputs: what a model puts out.
      labels: [N], class indices or the standardised label.
      row_weights: how much each row counts, [N]; None where all count the same.
    """
    if row_weights is not None and not row_weights.any():
        return outputs
    if task is Task.REGRESSION:
        return outputs - np.average(outputs[:, 0] - labels, weights=row_weights)
    to_probabilities, to_outputs = (scipy.special.expit, scipy.special.logit) if task is Task.BINARY else (_softmax, np.log)
    shares = labels[:, np.newaxis] if task is Task.BINARY else labels[:, np.newaxis] == np.arange(outputs.shape[1])
    # Of a class that no row has, the best level would be minus infinity.
    wanted = to_outputs(np.clip(np.average(shares, axis=0, weights=row_weights), _SMALLEST_SHARE, 1 - _SMALLEST_SHARE))
    level = np.zeros(outputs.shape[1])
    for _ in range(_MOST_STEPS):
        # The constants are right when the mean probabilities are the shares of the classes: the loss has no slope there.
        step = wanted - to_outputs(np.average(to_probabilities(outputs + level), axis=0, weights=row_weights))
        level += step
        if np.abs(step).max() < _CLOSE:
            break
    return outputs + level


def level_free_loss(
    task: Task,
    outputs: Outputs,
    labels: npt.NDArray[np.floating],
    row_weights: npt.NDArray[np.floating] | None = None,
) -> float:
    """The mean loss of levelled outputs by the weights of rows; if none counts, all do. Arguments are those of `levelled`."""
    weights = row_weights if row_weights is not None and row_weights.any() else None
    return float(np.average(losses(task, levelled(task, outputs, labels, weights), labels), weights=weights))


def _softmax(outputs: Outputs) -> Outputs:
    return scipy.special.softmax(outputs, axis=1)
