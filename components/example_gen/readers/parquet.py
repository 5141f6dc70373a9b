"""Parquet, row group by row group."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pyarrow as pa
import pyarrow.parquet as pq

from components.example_gen.columns import FileSummary, check_columns
from components.example_gen.files import damaged, require_content
from components.example_gen.readers.dialect import Dialect
from components.shared.examples.kinds import Kind, is_list, kind_of
from pipeline.errors import DataError

BATCH_ROWS = 16_384
dialect: Dialect | None = None


def scan(path: str) -> FileSummary:
    """Reads the file's footer, which has the number of rows and the types.

    Raises:
      DataError: the file is empty, not Parquet, or a column has a type that a tf.Example cannot hold.
    """
    require_content(path)
    with _open(path) as file:
        schema: pa.Schema = file.schema_arrow
        check_columns(path, schema.names)
        kinds = {field.name: _kind(path, field) for field in schema}
        lists = frozenset(field.name for field in schema if is_list(field.type))
        return FileSummary(path, file.metadata.num_rows, kinds, lists)


def batches(path: str, kinds: Mapping[str, Kind]) -> Iterator[pa.RecordBatch]:
    """The rows in batches of up to 16,384.

    Raises:
      DataError: a row group is damaged, or text in it is not UTF-8.
    """
    with _open(path) as file:
        for group in range(file.num_row_groups):
            try:
                for batch in file.iter_batches(BATCH_ROWS, row_groups=[group], columns=list(kinds)):
                    batch.validate(full=True)
                    yield batch
            except (pa.ArrowException, OSError) as error:
                raise damaged(path, "Parquet, text in UTF-8", error, part=f"row group {group + 1}") from error


def _open(path: str) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise damaged(path, "Parquet", error) from error


def _kind(path: str, field: pa.Field) -> Kind:
    kind = kind_of(field.type)
    if kind is None:
        raise DataError(
            f"The column {field.name!r} has a type that a tf.Example cannot hold.",
            where=path,
            expected="integers, booleans, floats, decimals, strings, binary, dates, timestamps, or lists of one of these",
            seen=str(field.type),
            fix="Leave the column out, or write its parts as columns of their own.",
        )
    return kind
