"""Prediction logs as a table of features, outputs, and the version of the model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2
from tfx_bsl.coders.example_coder import ExamplesToRecordBatchDecoder

from pipeline.contracts.model import SCORED_OUTPUT_KEY, free_name
from pipeline.errors import DataError, StorageError
from pipeline.util import files

BATCH_ROWS = 8192
"""The number of rows in memory at a time, and in a row group of the file."""

# tf.make_ndarray does the same for every type, 20 times as slowly.
_FIELDS = {tf.float32: "float_val", tf.int64: "int64_val", tf.string: "string_val"}


@dataclass(frozen=True)
class Output:
    """An output of the model's signature.

    Attributes:
      name: the output's name.
      column: its column in the table.
      dtype: the type of its values.
      size: the number of values in a row; more than one makes a list.
    """

    name: str
    column: str
    dtype: tf.DType
    size: int

    def field(self) -> pa.Field:
        """The column of the output."""
        value = pa.string() if self.dtype == tf.string else pa.from_numpy_dtype(self.dtype.as_numpy_dtype)
        return pa.field(self.column, value if self.size == 1 else pa.list_(value), metadata={SCORED_OUTPUT_KEY: self.name})

    def column_of(self, logs: list[Any]) -> pa.Array:
        """The output's values in a batch of PredictLogs."""
        values = [value for log in logs for value in self._values(log.response.outputs[self.name])]
        kind = self.field().type
        if self.size == 1:
            return pa.array(values, pa.binary()).cast(kind) if self.dtype == tf.string else pa.array(values, kind)
        offsets = pa.array(np.arange(0, len(values) + 1, self.size, dtype=np.int32))
        return pa.ListArray.from_arrays(offsets, pa.array(values)).cast(kind)

    def _values(self, tensor: Any) -> list[Any]:
        if self.dtype not in _FIELDS:
            return list(tf.make_ndarray(tensor).ravel().tolist())
        if tensor.tensor_content:
            return list(np.frombuffer(tensor.tensor_content, self.dtype.as_numpy_dtype).tolist())
        values = list(getattr(tensor, _FIELDS[self.dtype]))
        # A tensor proto leaves out the repetitions of its last value.
        return values + values[-1:] * (self.size - len(values))


def write_table(logs: list[str], model_version: int, destination: Path) -> int:
    """Writes prediction logs as one Parquet file, in two passes over them: the columns first, then the rows.

    Args:
      logs: gzipped TFRecord files of PredictionLogs, each with one tf.Example and the answer to it.
      model_version: the version of the model that answered.
      destination: the file to write or to replace, whole or not at all.

    Returns:
      The number of rows.

    Raises:
      DataError: there are no rows.
      StorageError: the destination cannot be written to.
    """
    first = next(_batches(logs), None)
    if first is None:
        raise DataError(
            "There are no rows to score.",
            where=str(destination),
            expected="at least one row in the table",
            seen="0 rows",
            fix="Name a table that has rows. Nothing was written.",
        )
    features = _feature_fields(_batches(logs))
    taken = {field.name for field in features}
    outputs = _outputs(first[0], taken)
    version = pa.field(free_name("model_version", taken), pa.int64(), metadata={SCORED_OUTPUT_KEY: "model_version"})
    schema = pa.schema([*features, *(output.field() for output in outputs), version])
    rows = 0
    with _replacing(destination) as path, pq.ParquetWriter(path, schema) as writer:
        for batch in _batches(logs):
            versions = pa.array(np.full(len(batch), model_version))
            columns = [*_features(batch, features), *(output.column_of(batch) for output in outputs), versions]
            writer.write_batch(pa.record_batch(columns, schema=schema))
            rows += len(batch)
    return rows


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    try:
        with files.replacing(path, files.READABLE) as new:
            yield new
    except OSError as error:
        raise StorageError(
            "The predictions could not be written.",
            where=str(path),
            expected="a folder that can be written to, with room for the table",
            seen=error.strerror or str(error),
            fix="Free space or name another file. A file that was there before is unchanged.",
        ) from error


def _batches(paths: Iterable[str]) -> Iterator[list[Any]]:
    """PredictLogs in batches, in their order."""
    for path in paths:
        for records in tf.data.TFRecordDataset(path, "GZIP").batch(BATCH_ROWS).as_numpy_iterator():
            yield [prediction_log_pb2.PredictionLog.FromString(record).predict_log for record in records]


def _decode(logs: list[Any]) -> pa.RecordBatch:
    """The tf.Examples that were answered: for each feature a column of lists, null where a row lacks it."""
    examples = [tensor.string_val[0] for log in logs for tensor in log.request.inputs.values()]
    return ExamplesToRecordBatchDecoder().DecodeBatch(examples)


def _feature_fields(batches: Iterable[list[Any]]) -> list[pa.Field]:
    """The columns of all rows, of single values, or of lists where any row has more than one."""
    values = pa.schema([])
    lists: set[str] = set()
    for logs in batches:
        batch = _decode(logs)
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            values = pa.unify_schemas([values, pa.schema([(name, _value_type(column))])], promote_options="permissive")
            if (pc.max(pc.list_value_length(column)).as_py() or 0) > 1:
                lists.add(name)
    fields = [field.with_type(pa.list_(field.type)) if field.name in lists else field for field in values]
    return sorted(fields, key=lambda field: field.name)


def _value_type(column: pa.Array) -> pa.DataType:
    if not pa.types.is_large_binary(column.type.value_type):
        return column.type.value_type
    try:
        column.flatten().cast(pa.large_string())
        return pa.string()
    except pa.ArrowInvalid:
        return pa.binary()


def _features(logs: list[Any], fields: list[pa.Field]) -> Iterator[pa.Array]:
    batch = _decode(logs)
    names = set(batch.schema.names)
    for field in fields:
        if field.name not in names:
            yield pa.nulls(len(logs), field.type)
        elif pa.types.is_list(field.type):
            yield batch.column(field.name).cast(field.type)
        else:
            yield _single_values(batch.column(field.name)).cast(field.type)


def _single_values(lists: pa.Array) -> pa.Array:
    """Lists of at most one value as values or nulls."""
    filled = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False) > 0
    return lists.flatten().take(pa.array(np.cumsum(filled) - 1, mask=~filled))


def _outputs(log: Any, taken: set[str]) -> list[Output]:
    return [
        Output(
            name,
            free_name(name, taken),
            tf.as_dtype(tensor.dtype),
            int(np.prod([dimension.size for dimension in tensor.tensor_shape.dim], dtype=np.int64)),
        )
        for name, tensor in sorted(log.response.outputs.items())
    ]
