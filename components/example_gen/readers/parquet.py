"""Parquet, row group by row group."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from components.example_gen.columns import FileSummary, check_columns
from components.example_gen.evidence import Evidence
from components.example_gen.files import damaged, require_content
from components.example_gen.readers.dialect import Dialect

BATCH_ROWS = 16_384
dialect: Dialect | None = None


def scan(path: str, ignored: Collection[str]) -> FileSummary:
    """Reads the file's footer, which has the number of rows and the types.

    Raises:
      DataError: the file is empty or not Parquet, or its columns cannot be told apart.
    """
    require_content(path)
    with _open(path) as file:
        schema: pa.Schema = file.schema_arrow
        check_columns(path, [name for name in schema.names if name not in ignored])
        columns = {field.name: Evidence() if field.name in ignored else Evidence.of_type(field.type) for field in schema}
        return FileSummary(path, file.metadata.num_rows, columns)


def batches(path: str, columns: Collection[str]) -> Iterator[pa.RecordBatch]:
    """The rows in batches of up to 16,384.

    Raises:
      DataError: a row group is damaged, or text in it is not UTF-8.
    """
    with _open(path) as file:
        for group in range(file.num_row_groups):
            try:
                for batch in file.iter_batches(BATCH_ROWS, row_groups=[group], columns=list(columns)):
                    batch.validate(full=True)
                    yield batch
            except (pa.ArrowException, OSError) as error:
                raise damaged(path, "Parquet, text in UTF-8", error, part=f"row group {group + 1}") from error


def place_of(path: str, row: int) -> str:
    """The number of a row."""
    return f"row {row:,}"


def _open(path: str) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise damaged(path, "Parquet", error) from error
