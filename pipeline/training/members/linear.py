"""A linear model: numbers times weights, and a weight for each category, fitted to the optimum."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import scipy.optimize
import scipy.sparse
import tensorflow as tf

from pipeline.config import Task
from pipeline.training.layers import Category
from pipeline.training.members.losses import Outputs, gradients, losses

PENALTIES = (0.01, 0.1, 1.0, 10.0, 100.0)
"""The penalties to choose from: half of it times the sum of the squared weights is added to the losses of all rows. That of
scikit-learn's LogisticRegression is 1 by default, as is Ridge's."""

_MOST_STEPS = 300
_FARTHEST = 1e30


@dataclass(frozen=True)
class LinearColumns:
    """The columns of a linear model: numbers, then the categories of each column of indices, then those of each bag.

    Attributes:
      numbers: the transformed features that hold numbers.
      indices: those with one index a column, with what each of their columns is.
      bags: those with any number of indices in a row.
    """

    numbers: tuple[str, ...]
    indices: Mapping[str, Sequence[Category]]
    bags: Mapping[str, Category]

    @classmethod
    def of(cls, names: Sequence[str], categories: Mapping[str, Sequence[Category]]) -> LinearColumns:
        """The columns that follow from the transformed features.

        Args:
          names: the names of all features.
          categories: those that hold indices, with what each of their columns is.
        """
        numbers = tuple(name for name in sorted(names) if name not in categories)
        indices = {name: columns for name, columns in sorted(categories.items()) if not columns[0].is_bag}
        bags = {name: columns[0] for name, columns in sorted(categories.items()) if columns[0].is_bag}
        return cls(numbers, indices, bags)

    @property
    def sizes(self) -> list[int]:
        """How many categories each column of `indices` has."""
        return [category.size for columns in self.indices.values() for category in columns]

    def matrix(self, features: Mapping[str, tf.Tensor]) -> scipy.sparse.csr_matrix:
        """Rows by columns.

        Args:
          features: the transformed features by name, [N, values]; of bags padded with 0.
        """
        parts = [scipy.sparse.csr_matrix(features[name].numpy().astype(np.float64)) for name in self.numbers]
        for name, columns in self.indices.items():
            for index, category in zip(features[name].numpy().T, columns, strict=True):
                parts.append(_one_hot(index, category.size))
        parts += [_bag(features[name].numpy(), bag.size) for name, bag in self.bags.items()]
        return scipy.sparse.hstack(parts, format="csr")


class Linear(keras.layers.Layer):
    """A linear model of the transformed features by name, [N, values] each, with outputs [N, outputs].

    Args:
      columns: its columns.
      weights: their weights, [1 + columns, outputs], the constant first.
      options: those of a Keras layer.
    """

    def __init__(self, columns: LinearColumns, weights: npt.NDArray[np.float64], **options: Any) -> None:
        super().__init__(**options)
        self._columns, self._num_outputs = columns, weights.shape[1]
        self._offsets = np.cumsum([0, *columns.sizes[:-1]])
        sizes = [sum(columns.sizes), *(bag.size for bag in columns.bags.values())]
        ends = len(weights) - np.cumsum([0, *reversed(sizes)])[:0:-1]
        self._constant, *others = [self._weight(part) for part in np.split(weights, [1, *ends])]
        self._numbers, self._categories, *self._bags = others

    def _weight(self, values: npt.NDArray[np.float64]) -> keras.Variable:
        return self.add_weight(values.shape, lambda shape, dtype: keras.ops.convert_to_tensor(values, dtype))

    def call(self, features: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """The outputs of rows, [N, outputs]."""
        outputs = tf.convert_to_tensor(self._constant)
        if self._columns.numbers:
            numbers = [tf.cast(features[name], tf.float32) for name in self._columns.numbers]
            outputs = outputs + tf.matmul(_bounded(tf.concat(numbers, axis=1)), self._numbers)
        if self._columns.indices:
            indices = tf.concat([tf.cast(features[name], tf.int64) for name in self._columns.indices], axis=1)
            outputs = outputs + tf.reduce_sum(tf.gather(self._categories, indices + self._offsets), axis=1)
        for name, table in zip(self._columns.bags, self._bags, strict=True):
            present = tf.where(features[name] > 0)
            values = tf.gather(table, tf.gather_nd(features[name], present))
            outputs = outputs + tf.math.unsorted_segment_sqrt_n(values, present[:, 0], tf.shape(features[name], tf.int64)[0])
        return outputs

    def compute_output_shape(self, input_shape: Mapping[str, tuple[int | None, ...]]) -> tuple[int | None, ...]:
        """The shape [N, outputs]."""
        return (None, self._num_outputs)


def fit_linear(
    rows: scipy.sparse.csr_matrix,
    labels: npt.NDArray[np.floating],
    task: Task,
    num_outputs: int,
    penalty: float,
    row_weights: npt.NDArray[np.floating] | None = None,
) -> npt.NDArray[np.float64]:
    """The weights with the smallest loss, [1 + columns, num_outputs], the constant first.

    Args:
      rows: [N, columns].
      labels: [N], class indices or the standardised label.
      task: the kind of prediction.
      num_outputs: how many numbers the model puts out for a row.
      penalty: half of it times the sum of the squared weights but the constant is added to the losses of all rows.
      row_weights: how much each row counts, [N]; None where all count the same.
    """
    counts = np.ones(len(labels)) if row_weights is None else row_weights
    shape = (1 + rows.shape[1], num_outputs)

    def objective(flat: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        weights = flat.reshape(shape)
        outputs = linear_outputs(rows, weights)
        slopes = counts[:, np.newaxis] * gradients(task, outputs, labels)
        total = counts @ losses(task, outputs, labels) + 0.5 * penalty * (weights[1:] ** 2).sum()
        slope = np.concatenate([slopes.sum(axis=0, keepdims=True), rows.T @ slopes + penalty * weights[1:]])
        return total / len(labels), slope.ravel() / len(labels)

    found = scipy.optimize.minimize(
        objective, np.zeros(shape[0] * shape[1]), jac=True, method="L-BFGS-B", options={"maxiter": _MOST_STEPS}
    )
    return found.x.reshape(shape)


def linear_outputs(rows: scipy.sparse.csr_matrix, weights: npt.NDArray[np.float64]) -> Outputs:
    """What a linear model puts out."""
    return rows @ weights[1:] + weights[0]


def _bounded(numbers: tf.Tensor) -> tf.Tensor:
    """Numbers of which a sum has a value, also of a column that was constant in training, whose deviation is 0."""
    return tf.clip_by_value(tf.where(tf.math.is_nan(numbers), 0.0, numbers), -_FARTHEST, _FARTHEST)


def _one_hot(index: npt.NDArray[np.integer], size: int) -> scipy.sparse.csr_matrix:
    rows = np.arange(len(index))
    return scipy.sparse.csr_matrix((np.ones(len(index)), (rows, index)), shape=(len(index), size))


def _bag(bag: npt.NDArray[np.integer], size: int) -> scipy.sparse.csr_matrix:
    """How often each index is in a row, divided by the root of how many there are; of [N, most indices] padded with 0."""
    present = bag > 0
    counts = present.sum(axis=1)
    rows = np.repeat(np.arange(len(bag)), counts)
    return scipy.sparse.csr_matrix((1 / np.sqrt(counts[rows]), (rows, bag[present])), shape=(len(bag), size))
