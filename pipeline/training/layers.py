"""The layers of the derived model: what categories, bags and numbers become before the hidden layers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf


@dataclass(frozen=True)
class Category:
    """One column of indices.

    Attributes:
      name: the name of the raw column, or of the transformed feature where the user's own preprocessing_fn made it.
      size: how many indices there are, from 0.
      embedding: the width of its embedding; None for one-hot.
      is_bag: whether a row has any number of indices, padded with 0 in an input of its own, instead of one in a column.
    """

    name: str
    size: int
    embedding: int | None
    is_bag: bool = False


class CategoryEncoder(keras.layers.Layer):
    """Embeddings of the columns that have one, then the others one-hot: [N, columns] becomes [N, values].

    All embeddings are in one vector, and those of a row are gathered at once: a dozen operations, however many columns there
    are, where a layer for each column would have to be traced, trained and served by itself.

    Args:
      categories: what each column is.
      penalty: that on embeddings, None without.
      dropout: the share of embeddings that are dropped, each as a whole, so that the model does not lean on one column.
      options: those of a Keras layer.
    """

    def __init__(
        self,
        categories: Sequence[Category],
        penalty: keras.regularizers.Regularizer | None,
        dropout: float,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self._sizes = np.array([category.size for category in categories])
        embedded = [position for position, category in enumerate(categories) if category.embedding]
        one_hot = [position for position, category in enumerate(categories) if not category.embedding]
        widths = np.array([categories[position].embedding for position in embedded], np.int64)
        # Of each value that is put out: its embedding, its column, how far an index is from the next, and where the first is.
        self._embedding = np.repeat(np.arange(len(embedded)), widths)
        self._column = np.repeat(np.array(embedded, np.int64), widths)
        self._stride = np.repeat(widths, widths)
        starts = np.cumsum([0, *(self._sizes[embedded] * widths)])
        self._first = _joined(start + np.arange(width) for start, width in zip(starts, widths, strict=False))
        self._one_hot_column = np.repeat(np.array(one_hot, np.int64), self._sizes[one_hot])
        self._one_hot_index = _joined(np.arange(self._sizes[position]) for position in one_hot)
        self._num_embedded = len(embedded)
        self.embeddings = self.add_weight(
            name="embeddings", shape=(int(starts[-1]),), initializer="uniform", regularizer=penalty
        )
        self._dropout = keras.layers.Dropout(dropout)

    def call(self, inputs: keras.KerasTensor, training: bool = False) -> keras.KerasTensor:
        """Encodes [N, columns] as [N, values]."""
        # As Keras does: an index below 0 counts from the end.
        indices = tf.math.floormod(inputs, tf.constant(self._sizes, inputs.dtype))
        encoded = []
        if self._num_embedded:
            places = tf.gather(indices, self._column, axis=1) * tf.constant(self._stride, inputs.dtype)
            values = _gather(tf.convert_to_tensor(self.embeddings.value), places + tf.constant(self._first, inputs.dtype))
            if training:
                kept = self._dropout(tf.ones([tf.shape(inputs)[0], self._num_embedded]), training=True)
                values *= tf.gather(kept, self._embedding, axis=1)
            encoded.append(values)
        if len(self._one_hot_column):
            matches = tf.equal(tf.gather(indices, self._one_hot_column, axis=1), tf.constant(self._one_hot_index, inputs.dtype))
            encoded.append(tf.cast(matches, tf.float32))
        return tf.concat(encoded, axis=1)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """The shape [N, values]."""
        return (input_shape[0], len(self._column) + len(self._one_hot_column))


@tf.custom_gradient
def _gather(values: tf.Tensor, places: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tuple[tf.Tensor, None]]]:
    """tf.gather of a vector, with a dense gradient: an optimizer would look for duplicates among the places first."""

    def gradient(slopes: tf.Tensor) -> tuple[tf.Tensor, None]:
        flat = tf.reshape(slopes, [-1])
        return tf.math.unsorted_segment_sum(flat, tf.reshape(places, [-1]), tf.size(values)), None

    return tf.gather(values, places), gradient


def _joined(parts: Iterable[npt.NDArray[np.int64]]) -> npt.NDArray[np.int64]:
    return np.concatenate([np.empty(0, np.int64), *parts])


class PooledEmbedding(keras.layers.Embedding):
    """The mean of the embeddings of a row's indices, [N, indices] padded with 0; zeros for a row without any."""

    def call(self, inputs: keras.KerasTensor) -> keras.KerasTensor:
        """Encodes [N, indices] as [N, width]."""
        # Only the indices that are there: one long row would make all others long.
        positions = tf.where(inputs > 0)
        embedded = super().call(tf.gather_nd(inputs, positions))
        pooled = tf.math.unsorted_segment_mean(embedded, positions[:, 0], tf.shape(inputs, tf.int64)[0])
        return tf.reshape(pooled, [-1, self.output_dim])

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """The shape [N, width]."""
        return (input_shape[0], self.output_dim)


class PiecewiseLinear(keras.layers.Layer):
    """Numbers as how far they fill each of a row of bins: 0 below a bin, 1 above it, the share of its width within.

    A network can bend at each boundary, and does not extrapolate beyond the last: Gorishniy et al., "On Embeddings for
    Numerical Features in Tabular Deep Learning" (https://arxiv.org/abs/2203.05556).

    Args:
      boundaries: the ascending boundaries of the bins, [columns, bins + 1]; further columns of the input are passed on.
      keep_numbers: put the numbers, cut off at the first and the last boundary, beside the bins.
      options: those of a Keras layer.
    """

    def __init__(self, boundaries: npt.NDArray[np.float32], keep_numbers: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self._boundaries = boundaries
        self._keep_numbers = keep_numbers

    @classmethod
    def fit(cls, values: npt.NDArray[np.float32], num_bins: int, keep_numbers: bool = False) -> PiecewiseLinear:
        """Bins of about as many rows each.

        Args:
          values: [N, columns], NaN where missing.
          num_bins: for each column.
          keep_numbers: as the layer has it.
        """
        present = [column[np.isfinite(column)] for column in values.T]
        shares = np.linspace(0, 1, num_bins + 1)
        boundaries = [np.quantile(column, shares) if len(column) else 0 * shares for column in present]
        return cls(np.array(boundaries, np.float32), keep_numbers)

    def call(self, inputs: keras.KerasTensor) -> keras.KerasTensor:
        """Encodes [N, columns + others] as [N, columns * bins + others], or as [N, columns * (bins + 1) + others]."""
        num_columns, num_boundaries = self._boundaries.shape
        lower, width = self._boundaries[:, :-1], np.diff(self._boundaries)
        above = inputs[:, :num_columns, None] - lower
        # A value of many rows makes bins without width: a number is below all of them or above.
        share = keras.ops.where(width > 0, above / np.where(width > 0, width, 1), keras.ops.cast(above >= 0, "float32"))
        filled = keras.ops.reshape(keras.ops.clip(share, 0, 1), (-1, num_columns * (num_boundaries - 1)))
        numbers = keras.ops.clip(inputs[:, :num_columns], self._boundaries[:, 0], self._boundaries[:, -1])
        return keras.ops.concatenate([filled, *[numbers] * self._keep_numbers, inputs[:, num_columns:]], axis=1)
