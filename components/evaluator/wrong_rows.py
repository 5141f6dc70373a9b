"""The rows that a model is most wrong about."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from components.evaluator.predicted_rows import PredictedRows
from components.evaluator.sample import Sample
from components.evaluator.sums import FloatArray
from pipeline.contracts.wrong_rows import Value, WrongRow, WrongRows

_ROWS = 10


class WorstRows:
    """Keeps the rows with the largest losses; of equal ones, those that came first.

    Args:
      metric: that which sums the model up: auc, accuracy or rmse.
    """

    def __init__(self, metric: str) -> None:
        self._is_regression = metric == "rmse"
        self._losses = np.empty(0)
        self._examples = np.empty(0, object)
        self._labels = np.empty(0)
        self._predictions = np.empty(0)
        self._probabilities = np.empty(0)

    def add(self, examples: npt.NDArray[Any], rows: PredictedRows) -> None:
        """Adds serialized tf.Examples, [N], with what was predicted of them."""
        sample = Sample()
        sample.add(rows)
        losses = self._losses_of(sample)
        probabilities = np.exp(-losses) if sample.is_of_classes else np.full(len(rows), np.nan)
        kept = np.argsort(-np.concatenate([self._losses, losses]), kind="stable")[:_ROWS]
        self._losses = np.concatenate([self._losses, losses])[kept]
        self._examples = np.concatenate([self._examples, examples])[kept]
        self._labels = np.concatenate([self._labels, sample.labels])[kept]
        self._predictions = np.concatenate([self._predictions, sample.predictions])[kept]
        self._probabilities = np.concatenate([self._probabilities, probabilities])[kept]

    def rows(self, columns: Collection[str]) -> WrongRows:
        """The rows, the worst first.

        Args:
          columns: the columns whose values are told.
        """
        found = zip(
            self._labels.tolist(),
            self._predictions.tolist(),
            self._probabilities.tolist(),
            self._losses.tolist(),
            self._examples.tolist(),
            strict=True,
        )
        return WrongRows(
            tuple(
                WrongRow(label, prediction, None if np.isnan(probability) else probability, loss, _values(example, columns))
                for label, prediction, probability, loss, example in found
            )
        )

    def _losses_of(self, sample: Sample) -> FloatArray:
        return np.abs(sample.labels - sample.predictions) if self._is_regression else sample.losses


def _values(example: bytes, columns: Collection[str]) -> dict[str, tuple[Value, ...]]:
    features = tf.train.Example.FromString(example).features.feature
    return {name: _of(features[name]) if name in features else () for name in columns}


def _of(feature: tf.train.Feature) -> tuple[Value, ...]:
    kind = feature.WhichOneof("kind")
    if kind is None:
        return ()
    values = getattr(feature, kind).value
    if kind == "bytes_list":
        return tuple(value.decode(errors="replace") for value in values)
    # The shortest number that is the same in 32 bits. NaN is a missing value.
    return tuple(float(str(np.float32(value))) if kind == "float_list" else value for value in values if value == value)
