"""The rows of a table as its files have them: all columns, in the files' own types, text where a file is text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa

from components.example_gen.columns import FileSummary
from components.example_gen.inputs import format_of_files
from components.example_gen.readers import Reader, open_reader
from components.example_gen.spans import SingleSplit, at_or_below, find_spans, select
from components.example_gen.values import typed
from components.shared.examples.kinds import is_list, kind_of
from pipeline.config import Data


@dataclass(frozen=True)
class RowsAsRead:
    """The rows that ExampleGen reads, before it knows what they mean.

    Attributes:
      reader: a reader of the files' format.
      files: the files, in order.
    """

    reader: Reader
    files: tuple[FileSummary, ...]

    @classmethod
    def open(cls, data: Data, split: SingleSplit) -> RowsAsRead:
        """Finds and scans the files.

        Args:
          data: where the rows are; its `input` is an absolute path, or relative to the working directory.
          split: which of the spans to read, up to `data.newest_span`.

        Raises:
          UsageError: no file matches, or the span does not exist.
          ConfigError: the files' format cannot be derived from their names.
          DataError: a file is damaged.
        """
        spans = select(at_or_below(find_spans(data.input), data.newest_span), split)[split.name]
        paths = [path for span in spans for path in span.files]
        reader = open_reader(format_of_files(data.format, paths), paths, data.csv)
        return cls(reader, tuple(reader.scan(path, ()) for path in paths))

    def batches(self) -> Iterator[pa.RecordBatch]:
        """All rows, in order. Of TFRecord files, single values stand without a list, and bytes that are UTF-8 are text.

        Raises:
          DataError: a file is damaged.
        """
        for file in self.files:
            for batch in self.reader.batches(file.path, file.columns):
                columns = [_single(batch.column(name), name, file) for name in batch.schema.names]
                yield pa.RecordBatch.from_arrays(columns, batch.schema.names)


def _single(column: pa.Array, name: str, file: FileSummary) -> pa.Array:
    if not is_list(column.type) or file.columns[name].has_lists:
        return column
    kind = kind_of(column.type)
    return column if kind is None else typed(column, kind, has_lists=False)
