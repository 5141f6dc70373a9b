"""The rows of all input files as one table."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor as Pool
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import pyarrow as pa

from components.example_gen.columns import FileSummary, reconcile
from components.example_gen.earlier_runs import EarlierRuns
from components.example_gen.inputs import InputSpan, format_of_files
from components.example_gen.readers import Reader, open_reader
from components.example_gen.spans import SingleSplit, at_or_below, find_spans, select
from components.example_gen.values import arrow_type, typed
from components.shared.examples.encoder import ColumnError, encode
from components.shared.examples.kinds import Kind
from components.shared.examples.stored_spans import StoredFile, StoredPart, StoredSpan
from pipeline.config import Data
from pipeline.errors import DataError

_LOG = logging.getLogger(__name__)
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
_ALL_ROWS = SingleSplit(spans=None)


def open_table(data: Data, *, split: SingleSplit = _ALL_ROWS, ignored: Collection[str] = ()) -> Table:
    """Opens the table that ExampleGen would read, without TFX and without a run.

    Args:
      data: where the rows are; its `input` is an absolute path, or relative to the working directory.
      split: which of the spans to read, up to `data.newest_span`; all of them by default.
      ignored: columns to leave out.

    Raises:
      UsageError: no file matches, or the span does not exist.
      ConfigError: the files' format cannot be derived from their names.
      DataError: a file is damaged or has no rows, or the types of a column differ between files.
    """
    spans = select(at_or_below(find_spans(data.input), data.newest_span), split)[split.name]
    paths = [path for span in spans for path in span.files]
    reader = open_reader(format_of_files(data.format, paths), paths, data.csv)
    with ThreadPoolExecutor() as pool:
        files = list(pool.map(reader.scan, paths))
    return Table(reader, [file.without(ignored) for file in files])


@dataclass(frozen=True)
class Rows:
    """Rows as they were read, and as tf.Examples.

    Attributes:
      batch: the columns that the rows' file has, N rows.
      examples: serialized tf.Examples, large_binary [N].
    """

    batch: pa.RecordBatch
    examples: pa.Array

    def __len__(self) -> int:
        return len(self.examples)


class Table:
    """The rows of all files, which are of one format, with columns of one kind throughout.

    Attributes:
      kinds: the kind that each column is stored as, in the order of the columns.
      lists: the columns of which a row may have several values.
      rows: how many rows it has.
      choices: what is worth telling about how a column is read, as a sentence, by the column's name.

    Raises:
      DataError: the types of a column differ between files, or a file has no rows.
    """

    def __init__(self, reader: Reader, files: Sequence[FileSummary]) -> None:
        for file in files:
            if file.rows == 0:
                raise DataError(
                    "An input file has no rows.",
                    where=file.path,
                    expected="at least one row",
                    seen=f"{len(file.kinds)} columns, 0 rows",
                    fix="Write the file again, or remove it.",
                )
        self._reader = reader
        self._files = {file.path: file for file in files}
        self.kinds = reconcile(files)
        self.lists = frozenset().union(*(file.lists for file in files))
        self.rows = sum(file.rows for file in files)
        self.choices: dict[str, str] = {}
        for file in files:
            if absent := self.kinds.keys() - file.kinds.keys():
                _LOG.warning("%s has no column %s: its rows have null there.", file.path, ", ".join(sorted(absent)))

    @classmethod
    def scan(cls, reader: Reader, spans: Mapping[str, Sequence[InputSpan]], earlier: EarlierRuns, pool: Pool) -> Table:
        """Makes the table, for which the files are scanned that no earlier run has read.

        Raises:
          DataError: a file is damaged or has no rows, or the types of a column differ between files.
        """
        known: dict[str, FileSummary] = {}
        for span in {span for of_split in spans.values() for span in of_split}:
            known.update((file.path, file) for file in earlier.summaries(span) or ())
        paths = dict.fromkeys(path for of_split in spans.values() for span in of_split for path in span.files)
        new = [path for path in paths if path not in known]
        known.update(zip(new, pool.map(reader.scan, new), strict=True))
        return cls(reader, [known[path] for path in paths])

    def batches(self, columns: Collection[str] | None = None) -> Iterator[pa.RecordBatch]:
        """The rows of all files, in order, with all columns of the table or with some.

        A column has one type in all batches: bool, int64, double, timestamp[us], timestamp[us, UTC], string or null, as its
        kind is, or list of it for the columns in `lists`. Text that is not UTF-8 is binary in that batch.

        Raises:
          DataError: a file is damaged.
        """
        names = [name for name in self.kinds if columns is None or name in columns]
        for file in self._files.values():
            kinds = {name: kind for name, kind in file.kinds.items() if name in names}
            # Without columns, batches have no rows.
            read = self._reader.batches(file.path, kinds) if kinds else (pa.record_batch({"": pa.nulls(file.rows)}),)
            for batch in read:
                yield pa.RecordBatch.from_arrays([self._column(batch, name) for name in names], names)

    def rows_of(self, span: InputSpan) -> int:
        """How many rows a span has."""
        return sum(self._files[path].rows for path in span.files)

    def encoded(self, span: InputSpan, pool: Pool, ahead: int) -> Iterator[Rows]:
        """The rows of a span with their tf.Examples, in order.

        Args:
          span: one of the table's.
          pool: the threads that encode.
          ahead: batches that are read while one is encoded.

        Raises:
          DataError: a file is damaged, or has a value that a tf.Example cannot hold.
        """
        batches = ((path, batch) for path in span.files for batch in self._reader.batches(path, self._files[path].kinds))
        return _in_order(pool, self._encode, batches, ahead=ahead)

    def stored(self, span: InputSpan, parts: dict[str, StoredPart], splitter: str) -> StoredSpan:
        """The record of a span that has been stored in these parts, divided in this way."""
        files = [self._files[path] for path in span.files]
        return StoredSpan(
            number=span.number,
            content=span.content,
            columns=[StoredFile(rows=file.rows, kinds=file.kinds) for file in files],
            stored={name: self.kinds[name] for file in files for name in file.kinds},
            splitter=splitter,
            parts=parts,
        )

    def _column(self, batch: pa.RecordBatch, name: str) -> pa.Array:
        kind, has_lists = self.kinds[name], name in self.lists
        if name not in batch.schema.names:
            return pa.nulls(batch.num_rows, arrow_type(kind, has_lists=has_lists))
        return typed(batch.column(name), kind, has_lists=has_lists)

    def _encode(self, source: tuple[str, pa.RecordBatch]) -> Rows:
        path, batch = source
        try:
            return Rows(batch, encode(batch, self.kinds))
        except ColumnError as error:
            kind = self.kinds[error.column]
            raise DataError(
                f"The column {error.column!r} has a value that a tf.Example cannot hold.",
                where=path,
                expected=f"{kind.value} that fit into 64 bits" if kind is not Kind.FLOAT else "floats",
                seen=str(error),
                fix="Correct the value, or write the column as text.",
            ) from error


def _in_order(pool: Pool, function: Callable[[_Item], _Result], items: Iterable[_Item], *, ahead: int) -> Iterator[_Result]:
    """Maps in parallel, a few items ahead, where `Executor.map` would read the whole table first."""
    running: deque[Future[_Result]] = deque()
    for item in items:
        running.append(pool.submit(function, item))
        if len(running) > ahead:
            yield running.popleft().result()
    while running:
        yield running.popleft().result()
