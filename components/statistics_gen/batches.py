"""Reads serialized tf.Examples as Arrow batches."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache

import numpy as np
import pyarrow as pa
import tensorflow as tf
from tfx_bsl.coders.example_coder import ExamplesToRecordBatchDecoder

from components.shared.examples.kinds import Kind
from components.shared.examples.tfrecord import compression_of

# Large enough for a batch's fixed costs not to matter; larger ones gain nothing.
BATCH_SIZE = 16_384
# The number of batches that are parsed in parallel.
_AT_ONCE = 2

_Columns = dict[str, tuple[tf.Tensor, ...]]
"""By name: values and row splits; of text: the bytes of all values, their lengths, and row splits."""


def read_batches(files: Iterable[str], kinds: Mapping[str, Kind] | None = None) -> Iterator[pa.RecordBatch]:
    """Reads TFRecord files.

    Args:
      files: paths; those whose names end in .gz are compressed.
      kinds: the kinds that the columns are stored as. TensorFlow then parses several batches in parallel; where they are not
        known (None), tfx_bsl decodes one batch after the other.

    Yields:
      Batches of up to `BATCH_SIZE` rows, in the files' order; a column has a list for each row, null where the row lacks
      it, and is absent where every row of the batch lacks it.
    """
    for compression, paths in itertools.groupby(files, compression_of):
        examples = tf.data.TFRecordDataset(list(paths), compression).batch(BATCH_SIZE)
        yield from _decoded(examples) if kinds is None else _parsed(examples, kinds)


def _decoded(examples: tf.data.Dataset) -> Iterator[pa.RecordBatch]:
    decoder = ExamplesToRecordBatchDecoder()
    # The next batch is read while this one is decoded.
    for batch in examples.prefetch(1).as_numpy_iterator():
        yield decoder.DecodeBatch(batch)


def _parsed(examples: tf.data.Dataset, kinds: Mapping[str, Kind]) -> Iterator[pa.RecordBatch]:
    parse = _parser(tuple(sorted((name, _dtype(kind)) for name, kind in kinds.items() if kind is not Kind.EMPTY)))
    rows_and_columns = examples.map(lambda batch: (tf.size(batch), parse(batch)), _AT_ONCE, deterministic=True)
    for num_rows, columns in rows_and_columns.prefetch(1).as_numpy_iterator():
        lists = {name: _lists(*parts) for name, parts in columns.items()}
        present = {name: column for name, column in lists.items() if column.null_count < num_rows}
        # A batch of rows without any value has rows all the same.
        yield pa.RecordBatch.from_struct_array(
            pa.StructArray.from_arrays([*present.values()], names=[*present])
            if present
            else pa.array([{}] * num_rows, pa.struct([]))
        )


def _dtype(kind: Kind) -> tf.DType:
    return {Kind.TEXT: tf.string, Kind.FLOAT: tf.float32}.get(kind, tf.int64)


@cache
def _parser(dtypes: tuple[tuple[str, tf.DType], ...]) -> Callable[[tf.Tensor], _Columns]:
    """A function from serialized tf.Examples to columns, traced once."""
    features = {name: tf.io.RaggedFeature(dtype, row_splits_dtype=tf.int64) for name, dtype in dtypes}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)
    def parse(examples: tf.Tensor) -> _Columns:
        parsed = tf.io.parse_example(examples, features) if features else {}
        return {name: (*_flat(column.values), column.row_splits) for name, column in parsed.items()}

    return parse


def _flat(values: tf.Tensor) -> tuple[tf.Tensor, ...]:
    """Values as memory that Arrow can use without a copy; strings, which numpy has as Python objects, as one string."""
    return (tf.strings.reduce_join(values), tf.strings.length(values)) if values.dtype == tf.string else (values,)


def _lists(*parts: np.ndarray | bytes) -> pa.Array:
    """A column, large_list [N], made of the parts that `_Columns` describes; null where a row has no value."""
    *flat, splits = parts
    if len(flat) == 1:
        values = pa.array(flat[0])
    else:
        data, lengths = flat
        offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
        values = pa.Array.from_buffers(pa.large_binary(), len(lengths), [None, pa.py_buffer(offsets), pa.py_buffer(data)])
    is_present = pa.array(np.diff(splits) > 0).buffers()[1]
    return pa.Array.from_buffers(
        pa.large_list(values.type), len(splits) - 1, [is_present, pa.py_buffer(splits)], children=[values]
    )
