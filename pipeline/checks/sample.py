"""A sample of the rows that a run would read."""

from __future__ import annotations

import codecs
import io
import os
import tempfile
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import pyarrow as pa

from components.example_gen.files import DECOMPRESSION_ERRORS, open_binary
from components.example_gen.inputs import format_of_files
from components.example_gen.readers import open_reader
from components.example_gen.readers.dialect import Dialect
from components.example_gen.readers.encodings import marked_encoding
from components.example_gen.readers.heads import Head
from components.example_gen.readers.records import records
from components.example_gen.rules import ColumnRules
from components.example_gen.spans import at_or_below, find_spans, select
from components.example_gen.table import Table
from components.shared.examples import tfrecord
from components.shared.examples.kinds import Kind
from pipeline.config import Data
from pipeline.errors import ConveyorError, DataError

_NO_ROWS = pa.table({})
_MOST_FILES = 8
_HEAD_BYTES = 1 << 18
_WHOLE_BYTES = 1 << 20
_HEAD_ROWS = 2_000
# Of a header, one row, and one that may be cut off.
_FEWEST_RECORDS = 3
_WITH_TYPES = ("parquet", "tfrecord")
# In these, the beginning of a file names all of its columns.
_WITH_HEADERS = ("csv", "parquet")


@dataclass(frozen=True)
class Sample:
    """Rows of a table.

    Attributes:
      columns: the columns that the rows have, in order.
      has_all_columns: whether the table can have no others.
      kinds: the kind of each column's values, as far as the rows tell; empty where they leave too much open.
      is_whole: whether these are all rows of the table.
      has_types: whether the types of columns are written in the files, so that no other row changes them.
      rows: the rows, with one column at the most: the one that was asked for.
    """

    columns: tuple[str, ...]
    has_all_columns: bool
    kinds: dict[str, Kind]
    is_whole: bool
    has_types: bool
    rows: pa.Table


def files_of(data: Data) -> list[str]:
    """The files that a run would read, oldest first.

    Args:
      data: where the rows are; its `input` is an absolute pattern.

    Raises:
      UsageError: no file matches, or the spans do not suit `data.split` and `data.newest_span`.
    """
    chosen = select(at_or_below(find_spans(data.input), data.newest_span), data.split)
    return list(dict.fromkeys(path for spans in chosen.values() for span in spans for path in span.files))


def read_sample(data: Data, files: Sequence[str], rules: ColumnRules, column: str, *, every_file: bool = False) -> Sample:
    """Reads the beginnings of some files as ExampleGen would read them.

    Args:
      data: how the files are read.
      files: all that a run would read; at least one.
      rules: what is known of columns. Names among them that are no column are passed over.
      column: the column of which the values are read, besides what all columns are.
      every_file: read all files, for the names of their columns; otherwise the first, the last and some between them.

    Raises:
      ConfigError: the files' format cannot be told.
      DataError: a file is damaged, or types differ.
    """
    file_format = format_of_files(data.format, files)
    some = list(files) if every_file else _some(files)
    reader = open_reader(file_format, some, data.csv)
    with _beginnings(some, file_format, reader.dialect) as beginnings:
        is_whole = all(beginnings.values()) and len(some) == len(files)
        summaries = []
        for path, is_all in beginnings.items():
            try:
                summaries.append(reader.scan(path, rules.ignored))
            except DataError:
                # The beginning of JSON that is not an object a line is not JSON.
                if is_all or file_format != "json":
                    raise
                return Sample((), False, {}, False, False, _NO_ROWS)
        names = tuple(dict.fromkeys(name for summary in summaries for name in summary.columns))
        try:
            known = _known(rules, names)
            kinds = dict(Table(reader, summaries, known).kinds)
            others = tuple(name for name in names if name != column)
            rows = (
                _rows(Table(reader, summaries, known.model_copy(update={"ignored": others}))) if column in kinds else _NO_ROWS
            )
        except DataError:
            # Later values may tell what these leave open, such as the order of day and month.
            if is_whole:
                raise
            kinds, rows = {}, _NO_ROWS
    return Sample(
        columns=names,
        has_all_columns=is_whole or (len(some) == len(files) and file_format in _WITH_HEADERS),
        kinds=kinds,
        is_whole=is_whole,
        has_types=file_format in _WITH_TYPES,
        rows=rows,
    )


def _rows(table: Table) -> pa.Table:
    # Text that is not UTF-8 is binary in its batch.
    return pa.concat_tables([pa.Table.from_batches([batch]) for batch in table.batches()], promote_options="permissive")


def _known(rules: ColumnRules, names: Collection[str]) -> ColumnRules:
    types = {name: kind for name, kind in rules.types.items() if name in names}
    return rules.model_copy(update={"types": types, "ignored": tuple(name for name in rules.ignored if name in names)})


def _some(files: Sequence[str]) -> list[str]:
    if len(files) <= _MOST_FILES:
        return list(files)
    last = len(files) - 1
    return [files[round(place * last / (_MOST_FILES - 1))] for place in range(_MOST_FILES)]


@contextmanager
def _beginnings(files: Sequence[str], file_format: str, dialect: Dialect | None) -> Iterator[dict[str, bool]]:
    """The files' beginnings in a folder of their own: whether each is the whole file, by its path.

    Errors name the files themselves.
    """
    with tempfile.TemporaryDirectory(prefix="conveyor-sample-") as folder:
        originals, beginnings = {}, {}
        for number, path in enumerate(files):
            target = Path(folder, f"{number:06}-{os.path.basename(path)}")
            originals[str(target)] = path
            # The name stays, for the format goes by it; whether a file is compressed goes by its content.
            beginnings[str(target)] = is_all = os.path.getsize(path) <= _WHOLE_BYTES or not _copied(
                path, target, file_format, dialect
            )
            if is_all:
                target.symlink_to(os.path.abspath(path))
        try:
            yield beginnings
        except ConveyorError as error:
            for copy, path in originals.items():
                for part in ("what", "where", "expected", "seen", "fix"):
                    setattr(error, part, getattr(error, part).replace(copy, path))
            raise


def _copied(path: str, target: Path, file_format: str, dialect: Dialect | None) -> bool:
    """Copies the beginning of a file, unless that is all of it, or is damaged, as reading all of it will tell."""
    try:
        if file_format == "parquet":
            return _copy_rows(path, target)
        if file_format == "tfrecord":
            return _copy_records(path, target)
        return _copy_text(path, target, dialect)
    except (*DECOMPRESSION_ERRORS, pa.ArrowException, tfrecord.BrokenRecordError, UnicodeError):
        target.unlink(missing_ok=True)
        return False


def _copy_text(path: str, target: Path, dialect: Dialect | None) -> bool:
    head = Head.read(path, _HEAD_BYTES)
    encoding = head.encoding(dialect) if dialect else marked_encoding(head.content) or "utf-8"
    # The last character may be cut off.
    text = codecs.getincrementaldecoder(encoding)().decode(head.content)
    kept = _whole_records(text, dialect) if dialect else text[: text.rfind("\n") + 1] or text
    if head.complete or not kept:
        return False
    target.write_bytes(kept.encode(encoding))
    return True


def _whole_records(text: str, dialect: Dialect) -> str:
    """The text without its last record, which may be cut off; empty where too little is left."""
    found = list(records(io.StringIO(text, newline=None), dialect))
    if len(found) < _FEWEST_RECORDS:
        return ""
    return "".join(islice(io.StringIO(text, newline=None), found[-1].line - 1))


def _copy_records(path: str, target: Path) -> bool:
    with open_binary(path) as file:
        read = tfrecord.read(file)
        head = list(islice(read, _HEAD_ROWS))
        is_whole = next(read, None) is None
    if not is_whole:
        target.write_bytes(tfrecord.frame(pa.array(head, pa.large_binary())))
    return not is_whole


def _copy_rows(path: str, target: Path) -> bool:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        rows = next(file.iter_batches(_HEAD_ROWS), None)
        if rows is None or file.metadata.num_rows == len(rows):
            return False
        pq.write_table(pa.Table.from_batches([rows]), target)
        return True
