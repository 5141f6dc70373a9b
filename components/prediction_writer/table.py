"""A table as it came, with the predictions for its rows beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from components.prediction_writer.predictions import PredictionColumns
from pipeline.errors import DataError, StorageError
from pipeline.util import files

Batches = Callable[[], Iterator[pa.RecordBatch]]
"""Reads the table from its beginning."""


def write_table(
    batches: Batches, schema: pa.Schema, answers: Iterator[Any], columns: PredictionColumns, destination: Path
) -> int:
    """Writes the table and the predictions as one Parquet file.

    Args:
      batches: the table.
      schema: its columns, as `schema_of` finds them.
      answers: a PredictLog for each row, in the order of the rows.
      columns: the columns of the predictions.
      destination: the file to write or to replace, whole or not at all.

    Returns:
      The number of rows.

    Raises:
      DataError: the table has not as many rows as answers: it has changed.
      StorageError: the destination cannot be written to.
    """
    rows = 0
    writer: pq.ParquetWriter | None = None
    with _replacing(destination) as path:
        try:
            for batch in batches():
                answered = list(islice(answers, batch.num_rows))
                if len(answered) < batch.num_rows:
                    raise changed(destination)
                if not answered:
                    continue
                predictions = columns.of(answered)
                if writer is None:
                    whole = pa.schema([*schema, *predictions], metadata=schema.metadata)
                    writer = pq.ParquetWriter(path, whole)
                arrays = [*_as(schema, batch), *predictions.values()]
                writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=whole))
                rows += batch.num_rows
            if next(answers, None) is not None:
                raise changed(destination)
        finally:
            if writer is not None:
                writer.close()
    return rows


def schema_of(batches: Batches) -> pa.Schema:
    """The columns of a table whose files may differ: all of them, each of a type that holds the values of all files.

    Raises:
      DataError: a column has types in different files that no type holds both of.
    """
    schemas = list(dict.fromkeys(batch.schema for batch in batches()))
    if len(schemas) == 1:
        return schemas[0]
    plain = [pa.schema([field.with_type(_plain(field.type)) for field in schema]) for schema in schemas]
    try:
        return pa.unify_schemas(plain, promote_options="permissive")
    except pa.ArrowException as error:
        raise DataError(
            "A column has values of different types in different files.",
            where="the table to score",
            expected="one type for each column",
            seen=str(error),
            fix="Score the files one by one, or write the column with one type in all of them.",
        ) from error


def _plain(arrow_type: pa.DataType) -> pa.DataType:
    return arrow_type.value_type if pa.types.is_dictionary(arrow_type) else arrow_type


def _as(schema: pa.Schema, batch: pa.RecordBatch) -> Iterator[pa.Array]:
    for field in schema:
        index = batch.schema.get_field_index(field.name)
        yield pa.nulls(batch.num_rows, field.type) if index < 0 else batch.column(index).cast(field.type)


def changed(destination: Path) -> DataError:
    """The error for a table that has other rows than were scored; `destination` is where they should have been written."""
    return DataError(
        "The table has changed while it was scored.",
        where=str(destination),
        expected="the rows that were scored",
        seen="others",
        fix="Score it again when nothing writes to it. Nothing was written.",
    )


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
