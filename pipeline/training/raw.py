"""Raw columns as tensors, sparse or dense."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
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


def to_matrix(columns: Sequence[tf.Tensor | tf.SparseTensor]) -> tf.Tensor:
    """The first number of each row of some columns side by side, [N, columns] float64, NaN where missing.

    Columns of a kind are taken together: the graph of a wide table has few operations.

    Args:
      columns: raw columns of numbers as tf.Transform passes them, at least one.
    """
    groups: dict[tuple[bool, tf.DType], list[int]] = defaultdict(list)
    for position, column in enumerate(columns):
        groups[isinstance(column, tf.SparseTensor), column.dtype].append(position)
    parts = []
    for (is_sparse, _), positions in groups.items():
        group = [columns[position] for position in positions]
        parts.append(
            _sparse_to_matrix(group) if is_sparse else _to_float(tf.stack([to_dense(column) for column in group], axis=1))
        )
    return in_order(parts, [position for positions in groups.values() for position in positions])


def are_missing(columns: Sequence[tf.Tensor]) -> tf.Tensor:
    """Which values of some columns, [N] each, are missing: [N, columns], boolean."""
    parts, order = stack_by_type(columns)
    return in_order([is_missing(part) for part in parts], order)


def stack_by_type(columns: Sequence[tf.Tensor]) -> tuple[list[tf.Tensor], list[int]]:
    """Columns, [N] each, of the same type side by side.

    Returns:
      A matrix for each type, [N, columns of the type], and which column each of theirs is.
    """
    groups: dict[tf.DType, list[int]] = defaultdict(list)
    for position, column in enumerate(columns):
        groups[column.dtype].append(position)
    matrices = [tf.stack([columns[position] for position in positions], axis=1) for positions in groups.values()]
    return matrices, [position for positions in groups.values() for position in positions]


def to_texts(columns: Sequence[tf.Tensor]) -> tf.Tensor:
    """Columns of texts and integers, [N] each, as texts side by side, [N, columns]."""
    parts, order = stack_by_type(columns)
    return in_order([part if part.dtype == tf.string else tf.as_string(part) for part in parts], order)


def in_order(parts: Sequence[tf.Tensor], order: Sequence[int]) -> tf.Tensor:
    """Matrices side by side, their columns in another order.

    Args:
      parts: [N, columns] each, at least one.
      order: the position that each column of theirs is to have.
    """
    together = tf.concat(parts, axis=1) if len(parts) > 1 else parts[0]
    return together if list(order) == sorted(order) else tf.gather(together, np.argsort(order), axis=1)


def _sparse_to_matrix(columns: Sequence[tf.SparseTensor]) -> tf.Tensor:
    num_values = tf.concat(tf.shape_n([column.values for column in columns], tf.int64), axis=0)
    indices, values = (tf.concat([getattr(column, part) for column in columns], axis=0) for part in ("indices", "values"))
    positions = tf.stack([indices[:, 0], tf.repeat(tf.range(len(columns), dtype=tf.int64), num_values)], axis=1)
    counts = (indices[:, 1] == 0) & tf.logical_not(is_missing(values))
    missing = tf.fill([columns[0].dense_shape[0], len(columns)], tf.constant(math.nan, tf.float64))
    numbers = tf.cast(tf.boolean_mask(values, counts), tf.float64)
    return tf.tensor_scatter_nd_update(missing, tf.boolean_mask(positions, counts), numbers)


def to_vector(tensor: tf.Tensor | tf.SparseTensor, size: int) -> tf.Tensor:
    """The first `size` values of each row, [N, size] float64, NaN where a row has fewer.

    Args:
      tensor: a raw column of numbers as tf.Transform passes it: sparse, or dense of shape [N, ...].
      size: how many values a row should have.
    """
    if not isinstance(tensor, tf.SparseTensor):
        return _to_float(tf.reshape(tensor, [-1, size]))
    first = tf.sparse.slice(tensor, [0, 0], tf.stack([tensor.dense_shape[0], tf.constant(size, tf.int64)]))
    dense = tf.sparse.to_dense(first, default_value=tf.constant(MISSING[tensor.dtype], tensor.dtype))
    padded = tf.pad(dense, [[0, 0], [0, size]], constant_values=MISSING[tensor.dtype])[:, :size]
    return _to_float(tf.reshape(padded, [-1, size]))


@dataclass(frozen=True)
class Values:
    """The values that rows have, one after the other; missing ones are left out.

    Attributes:
      values: [M].
      rows: [M] int64, the row of each value, ascending.
      num_rows: a scalar, int64.
    """

    values: tf.Tensor
    rows: tf.Tensor
    num_rows: tf.Tensor

    @classmethod
    def of(cls, tensor: tf.Tensor | tf.SparseTensor) -> Values:
        """The values of a raw column as tf.Transform passes it: sparse, or dense of shape [N, ...]."""
        if isinstance(tensor, tf.SparseTensor):
            values, rows, num_rows = tensor.values, tensor.indices[:, 0], tensor.dense_shape[0]
        else:
            num_rows = tf.shape(tensor, tf.int64)[0]
            by_row = tf.reshape(tensor, tf.stack([num_rows, -1]))
            rows = tf.repeat(tf.range(num_rows), tf.shape(by_row)[1])
            values = tf.reshape(by_row, [-1])
        present = tf.logical_not(is_missing(values))
        return cls(tf.boolean_mask(values, present), tf.boolean_mask(rows, present), num_rows)

    def to_rows(self, values: tf.Tensor) -> tf.SparseTensor:
        """Something of each value, [M], by row: [N, most values in a row]."""
        ragged = tf.RaggedTensor.from_value_rowids(values, self.rows, self.num_rows, validate=False)
        return ragged.to_sparse()

    def mean(self, values: tf.Tensor) -> tf.Tensor:
        """The mean of something of each value, [M, ...], over each row, [N, ...]; 0 for a row without a value."""
        return tf.math.unsorted_segment_mean(values, self.rows, self.num_rows)

    def summary(self) -> tf.Tensor:
        """Mean, least, greatest and number of each row's values, [N, 4] float64; the first three NaN without a value."""
        values = tf.cast(self.values, tf.float64)
        count = tf.math.unsorted_segment_sum(tf.ones_like(values), self.rows, self.num_rows)
        numbers = [
            reduce(values, self.rows, self.num_rows)
            for reduce in (tf.math.unsorted_segment_mean, tf.math.unsorted_segment_min, tf.math.unsorted_segment_max)
        ]
        missing = tf.constant(math.nan, tf.float64)
        return tf.stack([*(tf.where(count > 0, number, missing) for number in numbers), count], axis=1)


def parse_first(
    examples: tf.Tensor, specs: Mapping[str, tf.io.VarLenFeature | tf.io.FixedLenFeature], whole: Container[str]
) -> dict[str, tf.Tensor | tf.SparseTensor]:
    """Columns of serialized tf.Examples: some as they are, and of each other column the first value of each row, [N].

    Columns of a type are taken together; those of a fixed shape are as `to_dense` takes them.

    Args:
      examples: [N] string.
      specs: the specs of the columns.
      whole: the columns of which all values are wanted, as tf.Transform passes them.
    """
    single = {name: spec for name, spec in specs.items() if isinstance(spec, tf.io.VarLenFeature) and name not in whole}
    columns = _parse(examples, specs, single)
    groups: dict[tf.DType, list[str]] = defaultdict(list)
    for name, spec in single.items():
        groups[spec.dtype].append(name)
    for dtype, names in groups.items():
        first = _first_values([columns[name] for name in names], tf.constant(MISSING[dtype], dtype))
        columns.update(zip(names, tf.unstack(first, len(names), axis=1), strict=True))
    return columns


def _parse(
    examples: tf.Tensor, specs: Mapping[str, tf.io.VarLenFeature | tf.io.FixedLenFeature], padded: Container[str]
) -> dict[str, tf.Tensor | tf.SparseTensor]:
    """What tf.io.parse_example returns, some columns padded with `MISSING`, [N, most values].

    That makes four operations for each padded column: four fifths of those that a graph of a thousand columns has.
    """
    sparse = [name for name, spec in sorted(specs.items()) if isinstance(spec, tf.io.VarLenFeature) and name not in padded]
    dense = sorted(set(specs).difference(sparse))
    missing = {dtype: tf.constant(MISSING[dtype], dtype) for dtype in {specs[name].dtype for name in dense}}
    indices, values, shapes, matrices, _, _ = tf.raw_ops.ParseExampleV2(
        serialized=examples,
        names=tf.constant([], tf.string),
        sparse_keys=tf.constant(sparse, tf.string),
        dense_keys=tf.constant(dense, tf.string),
        ragged_keys=tf.constant([], tf.string),
        dense_defaults=[missing[specs[name].dtype] if name in padded else _default(specs[name]) for name in dense],
        num_sparse=len(sparse),
        sparse_types=[specs[name].dtype for name in sparse],
        ragged_value_types=[],
        ragged_split_types=[],
        dense_shapes=[tf.TensorShape([None] if name in padded else specs[name].shape) for name in dense],
    )
    return {
        **{name: tf.SparseTensor(*parts) for name, *parts in zip(sparse, indices, values, shapes, strict=True)},
        **dict(zip(dense, matrices, strict=True)),
    }


def _default(spec: tf.io.FixedLenFeature) -> tf.Tensor:
    """What rows without a column of a fixed shape get; nothing where they must have it."""
    if spec.default_value is None:
        return tf.constant([], spec.dtype)
    return tf.constant(spec.default_value, spec.dtype, spec.shape)


def _first_values(columns: Sequence[tf.Tensor], missing: tf.Tensor) -> tf.Tensor:
    """The first column of each matrix [N, width], [N, columns], missing where it has none."""
    widths = tf.reshape(tf.concat(tf.shape_n(columns), axis=0), [-1, 2])[:, 1]
    values = tf.concat([*columns, tf.fill([tf.shape(columns[0])[0], 1], missing)], axis=1)
    first = tf.where(widths > 0, tf.cumsum(widths, exclusive=True), tf.reduce_sum(widths))
    return tf.gather(values, first, axis=1)


def to_raw(tensor: tf.Tensor, spec: tf.io.VarLenFeature | tf.io.FixedLenFeature) -> tf.Tensor | tf.SparseTensor:
    """The opposite of `to_dense`: a column as the transform graph takes it.

    Args:
      tensor: [N] or [N, values], with `MISSING` where a row has no value; where their number is not fixed, it ends the row.
      spec: the spec of the raw column.
    """
    if isinstance(spec, tf.io.FixedLenFeature):
        return tf.reshape(tensor, [-1, *spec.shape])
    by_row = tensor[:, tf.newaxis] if tensor.shape.rank == 1 else tensor
    missing = is_missing(by_row)
    if by_row.shape[1] is None:
        missing = tf.cumsum(tf.cast(missing, tf.int32), axis=1) > 0
    present = tf.logical_not(missing)
    return tf.SparseTensor(tf.where(present), tf.boolean_mask(by_row, present), tf.shape(by_row, tf.int64))


def to_columns(tensor: tf.Tensor | tf.SparseTensor, width: int | None) -> tf.Tensor:
    """A transformed feature as the model takes it: [N, width], or where rows differ [N, most values], padded with 0."""
    if isinstance(tensor, tf.SparseTensor):
        return tf.sparse.to_dense(tensor)
    return tf.reshape(tensor, [-1, width])


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


def _to_float(tensor: tf.Tensor) -> tf.Tensor:
    return tf.where(is_missing(tensor), tf.constant(math.nan, tf.float64), tf.cast(tensor, tf.float64))
