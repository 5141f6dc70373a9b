"""Rows with labels, predictions and weights, as metrics look at them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from components.evaluator.sums import FloatArray, IntArray
from components.shared.fast_executor import UnsupportedError
from pipeline.errors import DataError


@dataclass(frozen=True)
class PredictedRows:
    """A batch of rows.

    Attributes:
      labels: one finite number a row, [N], integers or floats.
      predictions: finite numbers, [N, outputs].
      weights: how much each row counts, [N].
    """

    labels: npt.NDArray[Any]
    predictions: npt.NDArray[Any]
    weights: npt.NDArray[Any]

    def __len__(self) -> int:
        return len(self.labels)

    def weighed(self, *columns: npt.NDArray[Any]) -> FloatArray:
        """Columns of N numbers side by side, times the weights, [N, columns]."""
        return np.stack(columns, axis=1).astype(np.float64) * self.weights[:, np.newaxis]

    @property
    def ones(self) -> FloatArray:
        """A column of ones, [N]."""
        return np.ones(len(self))

    @property
    def prediction(self) -> npt.NDArray[Any]:
        """The prediction of each row, [N], of a model that makes one a row.

        Raises:
          UnsupportedError: it makes several.
        """
        if self.predictions.shape[1] != 1:
            raise UnsupportedError("a metric for one prediction a row is used with a model that makes several")
        return self.predictions[:, 0]

    @property
    def scores(self) -> FloatArray:
        """The prediction of each row, [N], in double precision, in which TFMA compares it with thresholds and boundaries."""
        return self.prediction.astype(np.float64)

    @property
    def fractions(self) -> npt.NDArray[Any]:
        """The labels, [N], as so much of a positive each.

        Raises:
          DataError: a label is not between 0 and 1.
        """
        self._refuse((self.labels < 0) | (self.labels > 1), expected="numbers between 0 and 1")
        return self.labels

    @property
    def class_ids(self) -> IntArray:
        """The labels as indices of the model's classes, [N].

        Raises:
          DataError: a label is not the index of a class.
          UnsupportedError: the model makes a single prediction a row.
        """
        num_classes = self.predictions.shape[1]
        if num_classes == 1:
            raise UnsupportedError("a metric for classes is used with a model that makes a single prediction")
        wrong = (self.labels < 0) | (self.labels >= num_classes) | (self.labels % 1 != 0)
        self._refuse(wrong, expected=f"class indices from 0 to {num_classes - 1}, as many as the model has classes")
        return self.labels.astype(np.int64)

    def _refuse(self, wrong: npt.NDArray[np.bool_], expected: str) -> None:
        # TFMA fails on such labels too, in the middle of a Beam pipeline.
        if wrong.any():
            raise DataError(
                "The label has values that the metrics cannot be computed for.",
                where="the rows that the model is evaluated on",
                expected=expected,
                seen=str(self.labels[wrong][0]),
                fix="Check the label in the data, and that the task in the configuration suits it.",
            )
