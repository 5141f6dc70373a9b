"""Raw columns as tensors, sparse or dense."""

from __future__ import annotations

import math
from collections.abc import Mapping

import tensorflow as tf

from pipeline.contracts import model
from pipeline.contracts.model import ColumnType

_NAMES: Mapping[tf.DType, ColumnType] = {tf.float32: "float", tf.int64: "int", tf.string: "string"}

MISSING: Mapping[tf.DType, int | float | bytes] = {dtype: model.MISSING[name] for dtype, name in _NAMES.items()}
"""The missing value of each type in a dense tensor."""


def dtype_name(dtype: tf.DType) -> ColumnType:
    """The name of a type that a tf.Example can hold."""
    return _NAMES[dtype]


def to_dense(tensor: tf.Tensor | tf.SparseTensor) -> tf.Tensor:
    """The first value of each row, [N], with `MISSING` where a row has none.

    Args:
      tensor: a raw column as tf.Transform passes it: sparse, or dense of shape [N] or [N, values].
    """
    if isinstance(tensor, tf.SparseTensor):
        rows = tensor.dense_shape[0]
        first = tf.sparse.slice(tensor, [0, 0], tf.stack([rows, tf.constant(1, tf.int64)]))
        dense = tf.sparse.to_dense(first, default_value=tf.constant(MISSING[tensor.dtype], tensor.dtype))
        # Where no row of a batch has a value the slice has no columns.
        return tf.reshape(tf.pad(dense, [[0, 0], [0, 1]], constant_values=MISSING[tensor.dtype])[:, :1], [-1])
    return tensor[:, 0] if tensor.shape.rank and tensor.shape.rank > 1 else tensor


def to_raw(tensor: tf.Tensor, spec: tf.io.VarLenFeature | tf.io.FixedLenFeature) -> tf.Tensor | tf.SparseTensor:
    """The opposite of `to_dense`: a column as the transform graph takes it.

    Args:
      tensor: [N], with `MISSING` where a row has no value.
      spec: the spec of the raw column.
    """
    if isinstance(spec, tf.io.FixedLenFeature):
        return tf.reshape(tensor, [-1, *spec.shape])
    present = tf.logical_not(is_missing(tensor))
    rows = tf.where(present)
    return tf.SparseTensor(
        indices=tf.concat([rows, tf.zeros_like(rows)], axis=1),
        values=tf.boolean_mask(tensor, present),
        dense_shape=tf.stack([tf.size(tensor, out_type=tf.int64), tf.constant(1, tf.int64)]),
    )


def optional(spec: tf.io.VarLenFeature | tf.io.FixedLenFeature) -> tf.io.VarLenFeature | tf.io.FixedLenFeature:
    """A spec that parses rows without a value too: where the schema fixes a shape, they get `MISSING`."""
    if isinstance(spec, tf.io.VarLenFeature):
        return spec
    missing = [MISSING[spec.dtype]] * math.prod(spec.shape)
    return tf.io.FixedLenFeature(spec.shape, spec.dtype, default_value=missing if spec.shape else missing[0])


def is_missing(tensor: tf.Tensor) -> tf.Tensor:
    """Which values are missing; infinities count as missing too. Same shape as the argument, boolean."""
    if tensor.dtype.is_floating:
        return tf.logical_not(tf.math.is_finite(tensor))
    return tf.equal(tensor, tf.constant(MISSING[tensor.dtype], tensor.dtype))
