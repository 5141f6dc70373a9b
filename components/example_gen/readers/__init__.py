"""Readers of input files by format: the columns and the number of rows of a file, and its rows as Arrow RecordBatches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol

import pyarrow as pa

from components.example_gen.columns import FileSummary
from components.example_gen.readers import csv, parquet, tfrecord
from components.shared.examples.kinds import Kind


class Reader(Protocol):
    """A reader of one format. A file is read twice, since the type of a column depends on all rows of the table."""

    def scan(self, path: str) -> FileSummary:
        """Reads as much of a file as is needed for its number of rows and the kinds of its columns.

        Raises:
          DataError: the file is empty or damaged, or contains values that a tf.Example cannot.
        """

    def batches(self, path: str, kinds: Mapping[str, Kind]) -> Iterator[pa.RecordBatch]:
        """The rows of a file, in order.

        Args:
          path: the file.
          kinds: the kinds of its columns, as `scan` found them.

        Raises:
          DataError: the file is damaged, which only reading all of it may show.
        """


READERS: dict[str, Reader] = {"csv": csv, "parquet": parquet, "tfrecord": tfrecord}
