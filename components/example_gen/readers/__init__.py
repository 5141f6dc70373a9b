"""Readers of input files by format: the columns and the number of rows of a file, and its rows as Arrow RecordBatches."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Protocol

import pyarrow as pa

from components.example_gen.columns import FileSummary
from components.example_gen.formats import require_format
from components.example_gen.readers import json_lines, parquet, tfrecord
from components.example_gen.readers.csv import CsvReader
from components.example_gen.readers.dialect import Dialect
from components.example_gen.readers.sniffing import find_dialect
from pipeline.config import Csv


class Reader(Protocol):
    """A reader of one format. A file is read twice, since the type of a column depends on all rows of the table."""

    @property
    def dialect(self) -> Dialect | None:
        """The dialect of a table in text; None for other formats."""

    def scan(self, path: str, ignored: Collection[str]) -> FileSummary:
        """Reads as much of a file as is needed for its number of rows and the types of its columns.

        Args:
          path: the file.
          ignored: columns whose values are of no interest: evidence of them is empty.

        Raises:
          DataError: the file is empty or damaged.
        """

    def batches(self, path: str, columns: Collection[str]) -> Iterator[pa.RecordBatch]:
        """The rows of a file, in order, with the values as the file has them.

        Args:
          path: the file.
          columns: those to read, which the file has.

        Raises:
          DataError: the file is damaged, which only reading all of it may show.
        """

    def place_of(self, path: str, row: int) -> str:
        """Where a row is within its file, in words.

        Args:
          path: the file.
          row: the number of the row, from 1.
        """


def open_reader(file_format: str, paths: Sequence[str], csv: Csv) -> Reader:
    """The reader of a table.

    Args:
      file_format: `csv`, `json`, `parquet` or `tfrecord`.
      paths: the table's files.
      csv: what is known of the dialect of files in text; what is not known is found out from them.

    Raises:
      DataError: the dialect of the files cannot be found out, or one differs from the others.
    """
    for path in paths:
        require_format(path, file_format)
    if file_format == "csv":
        return CsvReader(find_dialect(paths, csv))
    readers: dict[str, Reader] = {"json": json_lines, "parquet": parquet, "tfrecord": tfrecord}
    return readers[file_format]
