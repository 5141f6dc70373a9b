"""The Keras model: embeddings of categories beside numbers, hidden layers, one output a class or number."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf
import tensorflow_transform as tft

from pipeline.contracts.schema import Schema
from pipeline.training.features import Bag, Bucketised, FeaturePlan, Text, label_feature
from pipeline.training.preprocessing import CATEGORICAL, NUMERIC, bag_name
from pipeline.training.raw import dtype_name
from pipeline.training.recipe import Recipe
from pipeline.training.settings import TrainerSettings

_MAX_EMBEDDING = 32
# Boundaries of bins are taken from about as many rows at the most: quantiles hardly move beyond that.
ROWS_FOR_BOUNDARIES = 200_000


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


def embedding_width(size: int) -> int:
    """How wide an embedding is by default: fastai's rule of thumb, 1.6 * size ** 0.56, here 32 at the most."""
    return min(_MAX_EMBEDDING, round(1.6 * size**0.56))


def categories(settings: TrainerSettings, transform_output: tft.TFTransformOutput) -> dict[str, tuple[Category, ...]]:
    """The transformed features that hold indices, with what each of their columns is.

    Args:
      settings: the Trainer's settings.
      transform_output: the transform graph that these settings led to.
    """
    if settings.preprocessing_fn is not None:
        return _categories_by_domain(transform_output)
    plan = feature_plan(settings, transform_output)
    columns = []
    for column in plan.categorical:
        size = column.size(transform_output.vocabulary_size_by_name(column.vocabulary_file))
        columns.append(Category(column.name, size, column.embedding or embedding_width(size)))
    columns += [Category(bucketised.name, bucketised.size, None) for bucketised in plan.bucketised]
    bags = {bag_name(position): (_bag(bag, transform_output),) for position, bag in enumerate(plan.bags)}
    return {**({CATEGORICAL: tuple(columns)} if columns else {}), **bags}


def _bag(bag: Bag, transform_output: tft.TFTransformOutput) -> Category:
    if isinstance(bag, Bucketised):
        return Category(bag.name, bag.size, embedding_width(bag.size), is_bag=True)
    size = bag.size if isinstance(bag, Text) else bag.size(transform_output.vocabulary_size_by_name(bag.vocabulary_file))
    return Category(bag.name, size, bag.embedding or embedding_width(size), is_bag=True)


def _categories_by_domain(transform_output: tft.TFTransformOutput) -> dict[str, tuple[Category, ...]]:
    """Features of which TFT knows the range, because a vocabulary or buckets made them."""
    found = {}
    for name, domain in transform_output.transformed_domains().items():
        if getattr(domain, "is_categorical", False):
            size = transform_output.num_buckets_for_transformed_feature(name)
            width = math.prod(transform_output.transformed_feature_spec()[name].shape)
            found[name] = (Category(name, size, embedding_width(size)),) * width
    return found


def input_layers(transform_output: tft.TFTransformOutput, label: str) -> dict[str, keras.KerasTensor]:
    """An input for each transformed feature but the label, by name: [N, values]; of a bag, rows have as many as the longest."""
    return {
        name: keras.Input((row_width(spec),), name=name, dtype=spec.dtype.name)
        for name, spec in sorted(transform_output.transformed_feature_spec().items())
        if name != label_feature(label)
    }


def row_width(spec: tf.io.FixedLenFeature | tf.io.VarLenFeature) -> int | None:
    """How many values of a transformed feature a row has; None where rows differ."""
    return math.prod(spec.shape) if isinstance(spec, tf.io.FixedLenFeature) else None


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


def number_encoder(
    settings: TrainerSettings, transform_output: tft.TFTransformOutput, features: Mapping[str, tf.Tensor], recipe: Recipe
) -> PiecewiseLinear | None:
    """The encoding of the standardised columns, None where there are none or they stay as they are.

    Args:
      settings: the Trainer's settings.
      transform_output: the transform graph that these settings led to.
      features: the transformed features of training rows, by name, `ROWS_FOR_BOUNDARIES` of them or fewer.
      recipe: of which numeric_bins and keep_numbers are used.
    """
    if not recipe.numeric_bins or settings.preprocessing_fn is not None:
        return None
    num_columns = feature_plan(settings, transform_output).num_standardised
    if not num_columns:
        return None
    # Missing values are the mean there, and would take bins of their own.
    numeric = features[NUMERIC].numpy()
    values, missing = numeric[:, :num_columns], numeric[:, num_columns : 2 * num_columns]
    return PiecewiseLinear.fit(np.where(missing, np.nan, values).astype(np.float32), recipe.numeric_bins, recipe.keep_numbers)


def feature_plan(settings: TrainerSettings, transform_output: tft.TFTransformOutput) -> FeaturePlan:
    """The plan that Transform followed, found again from the types in its graph."""
    dtypes = {name: dtype_name(spec.dtype) for name, spec in transform_output.raw_feature_spec().items()}
    return FeaturePlan.of(settings, dtypes, Schema.of(transform_output.raw_metadata.schema).lists)


def build_model(
    inputs: Mapping[str, keras.KerasTensor],
    categories: Mapping[str, Sequence[Category]],
    num_outputs: int,
    recipe: Recipe,
    encoder: PiecewiseLinear | None = None,
) -> keras.Model:
    """Builds the derived model.

    Args:
      inputs: by transformed feature, [N, values].
      categories: the inputs that hold indices, with what each of their columns is; all others are numbers.
      num_outputs: how many numbers the model puts out for a row.
      recipe: of which hidden_units, dropout, embedding_dropout and l2 are used.
      encoder: the encoding of the standardised columns.

    Returns:
      A model from the inputs to [N, num_outputs] float32: logits of a classifier (of the positive class where there are
      two), the standardised label of a regression.
    """
    penalty = keras.regularizers.L2(recipe.l2) if recipe.l2 else None
    encoded = []
    for name, tensor in inputs.items():
        if name in categories:
            for position, category in enumerate(categories[name]):
                indices = tensor if category.is_bag else tensor[:, position]
                encoded.append(_encode(indices, category, penalty, recipe.embedding_dropout))
        else:
            numbers = keras.ops.cast(tensor, "float32")
            encoded.append(encoder(numbers) if encoder is not None and name == NUMERIC else numbers)
    hidden = keras.layers.Concatenate()(encoded) if len(encoded) > 1 else encoded[0]
    for units in recipe.hidden_units:
        hidden = keras.layers.Dense(units, activation="relu", kernel_regularizer=penalty)(hidden)
        hidden = keras.layers.Dropout(recipe.dropout)(hidden)
    return keras.Model(dict(inputs), keras.layers.Dense(num_outputs)(hidden))


def _encode(
    index: keras.KerasTensor, category: Category, penalty: keras.regularizers.Regularizer | None, dropout: float
) -> keras.KerasTensor:
    if category.embedding is None:
        return keras.ops.one_hot(index, category.size)
    layer = PooledEmbedding if category.is_bag else keras.layers.Embedding
    embedded = layer(category.size, category.embedding, embeddings_regularizer=penalty)(index)
    # A column's embedding is dropped as a whole, so that the model does not lean on one column.
    return keras.layers.Dropout(dropout, noise_shape=(None, 1))(embedded)
