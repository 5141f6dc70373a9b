"""The rows of all input files as one table."""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor as Pool
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import repeat
from typing import TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from components.example_gen.columns import FileSummary
from components.example_gen.decision import decide
from components.example_gen.earlier_runs import EarlierRuns
from components.example_gen.inputs import InputSpan
from components.example_gen.objects import told_by_address
from components.example_gen.readers import Reader
from components.example_gen.rules import ColumnRules
from components.example_gen.spans import SingleSplit
from components.example_gen.table_files import TableFiles
from components.example_gen.text.notation import Notation
from components.example_gen.text.parsing import MisfitError
from components.example_gen.values import arrow_type, has_value, read, typed
from components.shared.examples.encoder import ColumnError, encode
from components.shared.examples.kinds import Kind
from components.shared.examples.stored_spans import StoredFile, StoredPart, StoredSpan
from pipeline.config import Data
from pipeline.contracts.schema import Schema
from pipeline.errors import DataError
from pipeline.util.progress import RowProgress, say
from pipeline.util.yaml_text import in_yaml

_LOG = logging.getLogger(__name__)
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
_ALL_ROWS = SingleSplit(spans=None)
_NOTHING: Mapping[str, str] = {}


def open_table(
    data: Data,
    *,
    split: SingleSplit = _ALL_ROWS,
    ignored: Collection[str] = (),
    features: Mapping[str, str] = _NOTHING,
    model: Schema | None = None,
    required: str | None = None,
    skip_unreadable: bool = False,
) -> Table:
    """Opens the table that ExampleGen would read, without TFX and without a run.

    Args:
      data: where the rows are and what is known of their columns, as for `TableFiles.find`.
      split: which of the spans to read, up to `data.newest_span`; all of them by default.
      ignored: columns to leave out.
      features: kinds of features by column, as the configuration has them.
      model: the schema of the data that a model was trained on, for a table that is for the model: its types go first.
      required: a column; rows without a value of it are left out.
      skip_unreadable: leave out columns of types that a tf.Example cannot hold, too; they are an error otherwise.

    Raises:
      ConveyorError: as of `TableFiles.find`.
      ConfigError: there is no column of a name in `data.columns`.
      DataError: a file has no rows, the types of a column differ between files, or a column is of another type than the
        model's.
    """
    rules = ColumnRules(types=data.columns, dates=data.dates, features=features, ignored=tuple(ignored))
    if model is not None:
        rules = rules.with_schema_of_model(model)
    found = TableFiles.find(data, split)
    files = found.scan(rules.ignored)
    if skip_unreadable:
        unreadable = {name for file in files for name, seen in file.columns.items() if seen.types}
        rules = rules.model_copy(update={"ignored": (*rules.ignored, *sorted(unreadable))})
    with told_by_address(found.copies):
        return Table(found.reader, files, rules, required, found.copies)


@dataclass(frozen=True)
class _Batch:
    """Rows of a file as the file has them, and the number of the first, from 1."""

    path: str
    first_row: int
    batch: pa.RecordBatch


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

    Args:
      reader: reads the files.
      files: what has been seen of each.
      rules: what is known of the columns besides.
      required: a column; rows without a value of it are left out.
      copies: what errors are to call the files, where that is not their path, as for `told_by_address`.

    Attributes:
      names: the columns of all files, also those that are ignored.
      decisions: what each column is read as that is not ignored, in the order of the columns.
      kinds: the kind of each of them.
      lists: the columns of which a row may have several values.
      rows: how many rows the files have, also those that are left out.
      is_delimited: whether the files are delimited text.
      choices: what is worth telling about how a column is read, as a sentence or two, by the column's name.
      unreadable: the types, as Arrow names them, that a tf.Example cannot hold, by the column's name.

    Raises:
      ConfigError: the configuration names a column that is not there.
      DataError: a file has no rows, the types of a column differ between files, or a column does not fit the rules.
    """

    def __init__(
        self,
        reader: Reader,
        files: Sequence[FileSummary],
        rules: ColumnRules,
        required: str | None = None,
        copies: Mapping[str, str] = _NOTHING,
    ) -> None:
        for file in files:
            if file.rows == 0:
                raise DataError(
                    "An input file has no rows.",
                    where=file.path,
                    expected="at least one row",
                    seen=f"{len(file.columns)} columns, 0 rows",
                    fix="Write the file again, or remove it.",
                )
        self._reader = reader
        self._files = {file.path: file for file in files}
        self.names = list(dict.fromkeys(name for file in files for name in file.columns))
        self._rules = rules
        self._required = required
        self._copies = copies
        self._notation = Notation() if reader.dialect is None else reader.dialect.notation
        self.decisions = decide(files, rules)
        self.kinds = {name: decision.kind for name, decision in self.decisions.items()}
        self.lists = {name for file in files for name, seen in file.columns.items() if seen.has_lists}
        self.is_delimited = reader.dialect is not None
        self.rows = sum(file.rows for file in files)
        self.choices = {name: decision.choice for name, decision in self.decisions.items() if decision.choice}
        self.unreadable = {
            name: ", ".join(sorted(seen.types)) for file in files for name, seen in file.columns.items() if seen.types
        }
        for file in files:
            if absent := self.kinds.keys() - file.columns.keys():
                _LOG.warning("%s has no column %s: its rows have null there.", file.path, ", ".join(sorted(absent)))

    @classmethod
    def scan(
        cls,
        reader: Reader,
        spans: Mapping[str, Sequence[InputSpan]],
        earlier: EarlierRuns,
        pool: Pool,
        rules: ColumnRules,
        required: str | None = None,
    ) -> Table:
        """Makes the table, for which the files are scanned that no earlier run has read.

        Raises:
          ConfigError: as for the class.
          DataError: a file is damaged, or as for the class.
        """
        known: dict[str, FileSummary] = {}
        for span in {span for of_split in spans.values() for span in of_split}:
            known.update((file.path, file) for file in earlier.summaries(span) or ())
        paths = dict.fromkeys(path for of_split in spans.values() for span in of_split for path in span.files)
        new = [path for path in paths if path not in known]
        if new:
            say(f"scanning {len(new):,} file{'s' if len(new) > 1 else ''}, {sum(map(os.path.getsize, new)) / 1e6:,.1f} MB")
        scanned = RowProgress("scanning", len(new), "files")
        for summary in pool.map(reader.scan, new, repeat(rules.ignored)):
            known[summary.path] = summary
            scanned.add(1)
        return cls(reader, [known[path] for path in paths], rules, required)

    def batches(self, columns: Collection[str] | None = None) -> Iterator[pa.RecordBatch]:
        """The rows of all files that are not left out, in order, with all columns of the table or with some.

        A column has one type in all batches: bool, int64, double, timestamp[us], timestamp[us, UTC], string or null, as its
        kind is, or list of it for the columns in `lists`. Text that is not UTF-8 is binary in that batch.

        Raises:
          DataError: a file is damaged, or has a value that is not of its column's kind.
        """
        names = [name for name in self.kinds if columns is None or name in columns]
        with told_by_address(self._copies):
            for path in self._files:
                for batch in self._batches([path], names if self._required is None else {*names, self._required}):
                    read = self._kept(self._read(batch))
                    yield pa.RecordBatch.from_arrays([self._held(read, name, path) for name in names], names)

    def rows_of(self, span: InputSpan) -> int:
        """How many rows a span has, also those that are left out."""
        return sum(self._files[path].rows for path in span.files)

    def encoded(self, span: InputSpan, pool: Pool, ahead: int) -> Iterator[Rows]:
        """The rows of a span that are not left out, with their tf.Examples, in order.

        Args:
          span: one of the table's.
          pool: the threads that encode.
          ahead: batches that are read while one is encoded.

        Raises:
          DataError: a file is damaged, or has a value that is not of its column's kind or that a tf.Example cannot hold.
        """
        encoded = _in_order(pool, self._encode, self._batches(span.files, self.kinds), ahead=ahead)
        return (rows for rows in encoded if len(rows))

    def stored(self, span: InputSpan, parts: dict[str, StoredPart], splitter: str) -> StoredSpan:
        """The record of a span that has been stored in these parts, divided in this way."""
        files = [self._files[path] for path in span.files]
        names = list(dict.fromkeys(name for file in files for name in file.columns if name in self.kinds))
        return StoredSpan(
            number=span.number,
            content=span.content,
            columns=[
                StoredFile(rows=file.rows, columns={name: seen.model_dump(mode="json") for name, seen in file.columns.items()})
                for file in files
            ],
            stored={name: self.kinds[name] for name in names},
            day_first={name: order for name in names if (order := self.decisions[name].day_first) is not None},
            splitter=splitter,
            parts=parts,
        )

    def _column(self, batch: pa.RecordBatch, name: str) -> pa.Array:
        kind, has_lists = self.kinds[name], name in self.lists
        if name not in batch.schema.names:
            return pa.nulls(batch.num_rows, arrow_type(kind, has_lists=has_lists))
        return typed(batch.column(name), kind, has_lists=has_lists)

    def _batches(self, paths: Iterable[str], columns: Collection[str]) -> Iterator[_Batch]:
        for path in paths:
            first_row = 1
            names = [name for name in self._files[path].columns if name in columns]
            # Without columns, batches have no rows.
            rows = self._reader.batches(path, names) if names else (pa.record_batch({"": pa.nulls(self._files[path].rows)}),)
            for batch in rows:
                yield _Batch(path, first_row, batch)
                first_row += batch.num_rows

    def _read(self, source: _Batch) -> pa.RecordBatch:
        columns: dict[str, pa.Array] = {}
        for name, decision in self.decisions.items():
            if name in source.batch.schema.names:
                try:
                    columns[name] = read(source.batch.column(name), decision.kind, decision.day_first, self._notation)
                except MisfitError as error:
                    place = self._reader.place_of(source.path, source.first_row + error.position)
                    raise self._misfit(name, f"{source.path}, {place}", error) from error
        return pa.record_batch(columns) if columns else source.batch

    def _kept(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        if self._required is None:
            return batch
        if self._required not in batch.schema.names:
            return batch.slice(0, 0)
        kept = has_value(batch.column(self._required))
        return batch if pc.all(kept).as_py() else batch.filter(kept)

    def _encode(self, source: _Batch) -> Rows:
        batch = self._kept(self._read(source))
        try:
            return Rows(batch, encode(batch, self.kinds))
        except ColumnError as error:
            raise self._not_held(error.column, source.path, error) from error

    def _held(self, batch: pa.RecordBatch, name: str, path: str) -> pa.Array:
        try:
            return self._column(batch, name)
        except pa.ArrowInvalid as error:
            raise self._not_held(name, path, error) from error

    def _not_held(self, name: str, where: str, error: Exception) -> DataError:
        kind = self.kinds[name]
        return DataError(
            f"The column {name!r} has a value that a tf.Example cannot hold.",
            where=where,
            expected=f"{kind.value} that fit into 64 bits" if kind is not Kind.FLOAT else "floats",
            seen=str(error),
            fix="Correct the value."
            if self._rules.is_of_model(name)
            else f"Set data.columns: {{{in_yaml(name)}: text}}, or correct the value.",
        )

    def _misfit(self, name: str, where: str, error: MisfitError) -> DataError:
        kind, rules = self.kinds[name], self._rules
        wanted = "data.columns" if name in rules.types else "the schema" if name in rules.schema_types else "features"
        remedies = ["Correct the value"]
        if kind in (Kind.TIME, Kind.ZONED_TIME):
            wanted = "data.dates" if rules.dates else wanted
            remedies.append(f"set data.dates: {'month_first' if self.decisions[name].day_first else 'day_first'}")
        if not rules.is_model or name in rules.types:
            remedies.append(f"set data.columns: {{{in_yaml(name)}: text}}")
        return DataError(
            f"A value of the column {name!r} cannot be read as its type.",
            where=where,
            expected=f"{kind.value}, as {wanted} says",
            seen=repr(error.value),
            fix=", or ".join(remedies) + ".",
        )


def _in_order(pool: Pool, function: Callable[[_Item], _Result], items: Iterable[_Item], *, ahead: int) -> Iterator[_Result]:
    """Maps in parallel, a few items ahead, where `Executor.map` would read the whole table first."""
    running: deque[Future[_Result]] = deque()
    for item in items:
        running.append(pool.submit(function, item))
        if len(running) > ahead:
            yield running.popleft().result()
    while running:
        yield running.popleft().result()
