"""The Keras model: embeddings of categories beside numbers, hidden layers, one output a class or number."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import keras
import numpy as np
import tensorflow as tf
import tensorflow_transform as tft

from pipeline.contracts.schema import Schema
from pipeline.training.features import Bag, Bucketised, FeaturePlan, Text, label_feature
from pipeline.training.layers import Category, CategoryEncoder, PiecewiseLinear, PooledEmbedding
from pipeline.training.preprocessing import CATEGORICAL, NUMERIC, bag_name
from pipeline.training.raw import dtype_name
from pipeline.training.recipe import Recipe
from pipeline.training.settings import TrainerSettings
from pipeline.training.vocabularies import vocabularies_of

_MAX_EMBEDDING = 32
# Boundaries of bins are taken from about as many rows at the most: quantiles hardly move beyond that.
ROWS_FOR_BOUNDARIES = 200_000


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
    vocabularies = vocabularies_of(plan.categorical, transform_output.transform_savedmodel_dir)
    for column, vocabulary in zip(plan.categorical, vocabularies, strict=True):
        size = column.size(len(vocabulary))
        columns.append(Category(column.name, size, column.embedding or embedding_width(size)))
    columns += [Category(bucketised.name, bucketised.size, None) for bucketised in plan.bucketised]
    bags = {bag_name(position): (_bag(bag, transform_output),) for position, bag in enumerate(plan.bags)}
    return {**({CATEGORICAL: tuple(columns)} if columns else {}), **bags}


def _bag(bag: Bag, transform_output: tft.TFTransformOutput) -> Category:
    if isinstance(bag, Bucketised):
        return Category(bag.name, bag.size, embedding_width(bag.size), is_bag=True)
    if isinstance(bag, Text):
        size = bag.size
    else:
        (vocabulary,) = vocabularies_of([bag], transform_output.transform_savedmodel_dir)
        size = bag.size(len(vocabulary))
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
            encode = _encode_bag if categories[name][0].is_bag else _encode_columns
            encoded.append(encode(tensor, categories[name], penalty, recipe.embedding_dropout))
        else:
            numbers = keras.ops.cast(tensor, "float32")
            encoded.append(encoder(numbers) if encoder is not None and name == NUMERIC else numbers)
    hidden = keras.layers.Concatenate()(encoded) if len(encoded) > 1 else encoded[0]
    for units in recipe.hidden_units:
        hidden = keras.layers.Dense(units, activation="relu", kernel_regularizer=penalty)(hidden)
        hidden = keras.layers.Dropout(recipe.dropout)(hidden)
    return keras.Model(dict(inputs), keras.layers.Dense(num_outputs)(hidden))


def _encode_columns(
    indices: keras.KerasTensor, columns: Sequence[Category], penalty: keras.regularizers.Regularizer | None, dropout: float
) -> keras.KerasTensor:
    return CategoryEncoder(columns, penalty, dropout)(indices)


def _encode_bag(
    indices: keras.KerasTensor, columns: Sequence[Category], penalty: keras.regularizers.Regularizer | None, dropout: float
) -> keras.KerasTensor:
    (bag,) = columns
    embedded = PooledEmbedding(bag.size, bag.embedding, embeddings_regularizer=penalty)(indices)
    return keras.layers.Dropout(dropout, noise_shape=(None, 1))(embedded)
