"""The transformed features as trees take them: numbers with NaN where they are missing, and categories."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from pipeline.training.features import FeaturePlan
from pipeline.training.layers import Category
from pipeline.training.preprocessing import CATEGORICAL, NUMERIC, WAVES_OF_A_PART

MAX_WORDS_OF_A_BAG = 256
"""Of a bag, the values that trees know: its most frequent ones."""
_MIN_ROWS_OF_A_WORD = 5


@dataclass(frozen=True)
class TreeColumns:
    """Which columns trees have, and how they follow from the transformed features.

    Attributes:
      plan: the derived plan, which says where numbers are missing; None for features of the user's own preprocessing_fn.
      categories: the features that hold indices, with what each of their columns is.
      words: for each bag, the indices that get a column of their own, ascending.
    """

    plan: FeaturePlan | None
    categories: Mapping[str, Sequence[Category]]
    words: Mapping[str, npt.NDArray[np.int64]]

    @classmethod
    def fit(
        cls, plan: FeaturePlan | None, categories: Mapping[str, Sequence[Category]], features: Mapping[str, tf.Tensor]
    ) -> TreeColumns:
        """Chooses the columns.

        Args:
          plan: the derived plan, None for the user's own features.
          categories: the features that hold indices, with what each of their columns is.
          features: the transformed features of training rows by name, [N, values]; of bags padded with 0.
        """
        bags = [name for name, columns in categories.items() if columns[0].is_bag]
        return cls(plan, categories, {name: _frequent(features[name].numpy()) for name in bags})

    def __call__(self, features: Mapping[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        """The columns of some rows.

        Args:
          features: the transformed features by name, [N, values].

        Returns:
          Numbers, [N, columns] float32, and categories, [N, columns] int32.
        """
        numbers, categories = [], []
        for name, tensor in sorted(features.items()):
            if name in self.words:
                numbers.append(self._bag(name, tensor))
            elif name in self.categories:
                ordered, unordered = self._indices(name, tensor)
                numbers += ordered
                categories.append(unordered)
            elif name == NUMERIC and self.plan is not None:
                numbers += _with_missing(tensor, self.plan)
            else:
                numbers.append(tf.cast(tensor, tf.float32))
        if not categories:
            categories.append(tf.zeros([tf.shape(numbers[0])[0], 0], tf.int32))
        if not numbers:
            numbers.append(tf.zeros([tf.shape(categories[0])[0], 0]))
        return _joined(numbers), _joined(categories)

    def _indices(self, name: str, tensor: tf.Tensor) -> tuple[list[tf.Tensor], tf.Tensor]:
        """Indices of quantiles as numbers, where there are any, and all others."""
        num_ordered = len(self.plan.bucketised) if self.plan is not None and name == CATEGORICAL else 0
        if not num_ordered:
            return [], tf.cast(tensor, tf.int32)
        num_unordered = len(self.categories[name]) - num_ordered
        quantiles = tf.cast(tensor[:, num_unordered:], tf.float32)
        return [tf.where(quantiles > 0, quantiles, math.nan)], tf.cast(tensor[:, :num_unordered], tf.int32)

    def _bag(self, name: str, tensor: tf.Tensor) -> tf.Tensor:
        """How often each of the words is in a row, and how many there are, [N, words + 1] float32."""
        words = self.words[name]
        columns = np.full(self.categories[name][0].size + 1, len(words), np.int64)
        columns[words] = np.arange(len(words))
        present = tf.where(tensor > 0)
        column = tf.gather(columns, tf.gather_nd(tensor, present))
        num_rows = tf.shape(tensor, tf.int64)[0]
        shape = tf.stack([num_rows, tf.constant(len(words) + 1, tf.int64)])
        counts = tf.scatter_nd(tf.stack([present[:, 0], column], axis=1), tf.ones_like(column, tf.float32), shape)
        total = tf.reduce_sum(counts, axis=1, keepdims=True)
        return tf.concat([counts[:, :-1], total], axis=1)


def _with_missing(numeric: tf.Tensor, plan: FeaturePlan) -> list[tf.Tensor]:
    """What there is of: standardised numbers, NaN where missing; the angle of each part of a time, likewise; vectors."""
    num_standardised = plan.num_standardised
    num_waves = WAVES_OF_A_PART * sum(len(time.parts) for time in plan.time)
    first_wave, first_vector = 2 * num_standardised, 2 * num_standardised + num_waves
    parts = []
    if num_standardised:
        standardised, missing = numeric[:, :num_standardised], numeric[:, num_standardised:first_wave]
        parts.append(tf.where(missing > 0, math.nan, standardised))
    if num_waves:
        parts.append(_angles(numeric[:, first_wave:first_vector]))
    if plan.vectors:
        parts.append(numeric[:, first_vector:])
    return parts


def _angles(waves: tf.Tensor) -> tf.Tensor:
    # Sine and cosine of the first harmonic: by the angle, a cycle is divided with one threshold.
    sine, cosine = waves[:, ::WAVES_OF_A_PART], waves[:, WAVES_OF_A_PART // 2 :: WAVES_OF_A_PART]
    angle = tf.math.floormod(tf.math.atan2(sine, cosine), 2 * math.pi)
    return tf.where((sine == 0) & (cosine == 0), math.nan, angle)


def _joined(parts: Sequence[tf.Tensor]) -> tf.Tensor:
    return tf.concat(parts, axis=1) if len(parts) > 1 else parts[0]


def _frequent(bag: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The indices that are in the most rows, of [N, most values in a row] padded with 0; ascending."""
    rows = np.repeat(np.arange(len(bag)), bag.shape[1])
    pairs = np.unique(np.stack([rows, bag.ravel()])[:, bag.ravel() > 0], axis=1)
    counts = np.bincount(pairs[1], minlength=1)
    order = np.argsort(-counts, kind="stable")[:MAX_WORDS_OF_A_BAG]
    return np.sort(order[counts[order] >= _MIN_ROWS_OF_A_WORD]).astype(np.int64)
