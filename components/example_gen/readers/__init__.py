"""Reading input files of any format: what a file holds, and its rows as Arrow RecordBatches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol

import pyarrow as pa

from components.example_gen.columns import FileSummary
from components.example_gen.readers import csv, parquet, tfrecord
from components.shared.examples.kinds import Kind


class Reader(Protocol):
    """A format. A file is read twice: columns have one type in the whole table, which only all of its rows tell."""

    def scan(self, path: str) -> FileSummary:
        """Reads what is needed to know the rows and columns of a file.

        Raises:
          DataError: the file is empty, damaged or holds what a tf.Example cannot.
        """

    def batches(self, path: str, kinds: Mapping[str, Kind]) -> Iterator[pa.RecordBatch]:
        """The rows of a file, in order.

        Args:
          path: of the file.
          kinds: what its columns hold, as `scan` found.

        Raises:
          DataError: the file is damaged in a way that only reading it whole shows.
        """


READERS: dict[str, Reader] = {"csv": csv, "parquet": parquet, "tfrecord": tfrecord}
