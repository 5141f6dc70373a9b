"""The rows of a table as its files have them: all columns, in the files' own types, text where a file is text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa

from components.example_gen.columns import FileSummary
from components.example_gen.decision import decide
from components.example_gen.objects import told_by_address
from components.example_gen.rules import ColumnRules
from components.example_gen.spans import SingleSplit
from components.example_gen.table_files import TableFiles
from components.example_gen.text.notation import Notation
from components.example_gen.values import read, typed
from components.shared.examples.kinds import Kind, is_list, kind_of
from pipeline.config import Data

_TIMES = (Kind.TIME, Kind.ZONED_TIME)


@dataclass(frozen=True)
class RowsAsRead:
    """The rows that ExampleGen reads, before it knows what they mean.

    Attributes:
      found: the files.
      files: what has been seen of each, in order.
    """

    found: TableFiles
    files: tuple[FileSummary, ...]

    @classmethod
    def open(cls, data: Data, split: SingleSplit) -> RowsAsRead:
        """Finds and scans the files.

        Args:
          data: where the rows are; its `input` is a path, absolute or relative to the working directory, or an address.
          split: which of the spans to read, up to `data.newest_span`.

        Raises:
          ConveyorError: as of `TableFiles.find`.
        """
        found = TableFiles.find(data, split)
        return cls(found, tuple(found.scan()))

    def batches(self) -> Iterator[pa.RecordBatch]:
        """All rows, in order. Of TFRecord files, single values stand without a list, and bytes that are UTF-8 are text.

        A column of JSON has one type in all batches, that of its values in all files; times are text.

        Raises:
          DataError: a file is damaged.
        """
        lists = {name for file in self.files for name, seen in file.columns.items() if seen.has_lists}
        kinds = {} if self.found.reader.dialect is not None else self._kinds()
        with told_by_address(self.found.copies):
            for file in self.files:
                for batch in self.found.reader.batches(file.path, file.columns):
                    columns = [_as_in_table(batch.column(name), kinds.get(name), name in lists) for name in batch.schema.names]
                    yield pa.RecordBatch.from_arrays(columns, batch.schema.names) if columns else batch

    def _kinds(self) -> dict[str, Kind]:
        """The kinds of the columns in which each value has a type of its own, where all may be stored."""
        unsupported = [name for file in self.files for name, seen in file.columns.items() if seen.types]
        typed_by_file = [name for file in self.files for name, seen in file.columns.items() if seen.kinds]
        rules = ColumnRules(dates="day_first", ignored=(*unsupported, *typed_by_file))
        decisions = decide(self.files, rules)
        return {name: Kind.TEXT if each.kind in _TIMES else each.kind for name, each in decisions.items()}


def _as_in_table(column: pa.Array, kind: Kind | None, has_lists: bool) -> pa.Array:
    if kind is not None:
        return typed(read(column, kind, None, Notation()), kind, has_lists=has_lists)
    kind = kind_of(column.type)
    return column if kind is None or has_lists or not is_list(column.type) else typed(column, kind, has_lists=False)
