"""Boosted trees as a layer of Keras."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from pipeline.training.members.columns import TreeColumns
from pipeline.training.members.forest import Forest
from pipeline.training.members.masks import Masks


class Trees(keras.layers.Layer):
    """Boosted trees over the transformed features by name, [N, values] each, with outputs [N, outputs].

    Args:
      columns: how they take the features.
      forest: the trees.
      options: those of a Keras layer.
    """

    def __init__(self, columns: TreeColumns, forest: Forest | Masks, **options: Any) -> None:
        super().__init__(**options)
        self._columns, self._forest = columns, forest

    def call(self, features: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """The outputs of rows, [N, outputs]."""
        return self._forest(*self._columns(features))

    def compute_output_shape(self, input_shape: Mapping[str, tuple[int | None, ...]]) -> tuple[int | None, ...]:
        """The shape [N, outputs]."""
        return (None, self._forest.num_outputs)
