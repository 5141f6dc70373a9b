"""What is kept of each evaluated row, for a comparison of models row by row."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from components.evaluator.predicted_rows import PredictedRows
from components.evaluator.sums import FloatArray, IntArray

# Keras' epsilon: probabilities are clipped to it before their logarithm is taken.
_EPSILON = 1e-7


class Sample:
    """The labels and weights of rows and a model's predictions of them: a few bytes a row, also where classes are many.

    Args:
      threshold: of two classes, the score above which the model calls a row positive.
    """

    def __init__(self, threshold: float = 0.5) -> None:
        self._threshold = threshold
        self._labels: list[npt.NDArray[Any]] = []
        self._weights: list[npt.NDArray[Any]] = []
        self._predictions: list[npt.NDArray[Any]] = []
        self._probabilities: list[npt.NDArray[np.float32]] = []
        self._ranks: list[npt.NDArray[np.int64]] = []

    def add(self, rows: PredictedRows) -> None:
        """Adds rows, whose labels are class indices where the model gives a probability to each of several classes."""
        self._labels.append(rows.labels)
        self._weights.append(rows.weights)
        if rows.predictions.shape[1] == 1:
            self._predictions.append(rows.prediction)
        else:
            self._predictions.append(np.argmax(rows.predictions, axis=1))
            probabilities = rows.predictions[np.arange(len(rows)), rows.labels.astype(np.int64)]
            self._probabilities.append(probabilities)
            self._ranks.append(np.count_nonzero(rows.predictions > probabilities[:, np.newaxis], axis=1))

    def of(self, rows: IntArray) -> Sample:
        """Some of the rows, by their numbers."""
        part = Sample(self._threshold)
        for name, values in vars(self).items():
            if isinstance(values, list):
                setattr(part, name, [_whole(values)[rows]] if values else [])
        return part

    def __len__(self) -> int:
        return sum(map(len, self._labels))

    @property
    def labels(self) -> FloatArray:
        """The labels, [N]."""
        return _joined(self._labels)

    @property
    def weights(self) -> FloatArray:
        """How much each row counts, [N]."""
        return _joined(self._weights)

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
        """Whether the class of a row is predicted, [N]."""
        return (self.predictions if self.is_of_classes else self.called_positive) == self.labels

    @property
    def called_positive(self) -> npt.NDArray[np.bool_]:
        """Of two classes, which rows the model calls positive, [N]."""
        return self.predictions > self._threshold

    @property
    def ranks(self) -> FloatArray:
        """How many classes are more probable than the row's own, [N]."""
        return _joined(self._ranks)

    @property
    def losses(self) -> FloatArray:
        """The cross-entropy of each row, [N]."""
        if self.is_of_classes:
            return -np.log(np.clip(_joined(self._probabilities), _EPSILON, 1))
        labels, scores = self.labels, np.clip(self.predictions, _EPSILON, 1 - _EPSILON)
        return -(labels * np.log(scores) + (1 - labels) * np.log1p(-scores))

    @property
    def class_counts(self) -> FloatArray:
        """The weight of the rows of each class, [classes]."""
        return np.bincount(self.labels.astype(np.int64), self.weights).astype(np.float64)


def _joined(parts: list[npt.NDArray[Any]]) -> FloatArray:
    return _whole(parts).astype(np.float64) if parts else np.zeros(0)


def _whole(parts: list[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """The parts as one array, which takes their place: of thousands of slices, each asks for its rows."""
    if len(parts) > 1:
        parts[:] = [np.concatenate(parts)]
    return parts[0]
