"""What is kept of each evaluated row, for a comparison of models row by row."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from components.evaluator.sums import FloatArray, IntArray

# Keras' epsilon: probabilities are clipped to it before their logarithm is taken.
_EPSILON = 1e-7


class Sample:
    """The labels of rows and a model's predictions of them: a few bytes a row, also where classes are many."""

    def __init__(self) -> None:
        self._labels: list[npt.NDArray[Any]] = []
        self._predictions: list[npt.NDArray[Any]] = []
        self._probabilities: list[npt.NDArray[np.float32]] = []

    def add(self, labels: npt.NDArray[Any], predictions: npt.NDArray[np.float32]) -> None:
        """Adds rows.

        Args:
          labels: one number a row, [N]; class indices where predictions are of classes.
          predictions: scores or numbers, [N, 1], or the probability of each class, [N, classes].
        """
        self._labels.append(labels)
        if predictions.shape[1] == 1:
            self._predictions.append(predictions[:, 0])
        else:
            self._predictions.append(np.argmax(predictions, axis=1))
            self._probabilities.append(predictions[np.arange(len(labels)), labels.astype(np.int64)])

    @property
    def labels(self) -> FloatArray:
        """The labels, [N]."""
        return _joined(self._labels)

    @property
    def predictions(self) -> FloatArray:
        """The scores or predicted numbers, [N]; of classes, the index of the most probable one."""
        return _joined(self._predictions)

    @property
    def is_of_classes(self) -> bool:
        """Whether the model gives a probability to each of several classes."""
        return bool(self._probabilities)

    @property
    def correct(self) -> npt.NDArray[np.bool_]:
        """Whether the class of a row is predicted, [N]; of two classes, by a score above 0.5."""
        predicted = self.predictions
        return (predicted if self.is_of_classes else predicted > 0.5) == self.labels

    @property
    def losses(self) -> FloatArray:
        """The cross-entropy of each row, [N]."""
        if self.is_of_classes:
            return -np.log(np.clip(_joined(self._probabilities), _EPSILON, 1))
        labels, scores = self.labels, np.clip(self.predictions, _EPSILON, 1 - _EPSILON)
        return -(labels * np.log(scores) + (1 - labels) * np.log1p(-scores))

    @property
    def class_counts(self) -> IntArray:
        """How many rows are of each class, [classes]."""
        return np.bincount(self.labels.astype(np.int64))


def _joined(parts: list[npt.NDArray[Any]]) -> FloatArray:
    return np.concatenate(parts).astype(np.float64) if parts else np.zeros(0)
