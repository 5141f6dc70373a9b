"""A file of delimited text, cut into cells by Arrow: the header and the rows alike."""

from __future__ import annotations

import io
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import islice
from typing import Any, Literal

import pyarrow as pa
from pyarrow import csv as arrow_csv

from components.example_gen.files import compression_of
from components.example_gen.readers.cleaning import Cleaned, needs_cleaning
from components.example_gen.readers.dialect import Dialect
from components.example_gen.readers.faults import Text, explain, require_closed_quotes
from components.example_gen.readers.header import column_names
from components.example_gen.readers.heads import Head
from components.example_gen.readers.records import Record, lines_before_table, usual_width
from pipeline.errors import DataError

BLOCK_BYTES = 4 << 20
_MOST_BLOCK_BYTES = 1 << 30
_GROWTH = 8
_FEWEST_ROWS = 2
_STRADDLING = "straddl"


class DelimitedFile:
    """The columns of a file and its cells as text.

    Args:
      path: the file.
      dialect: that of its table.

    Attributes:
      names: the names of its columns, in order.

    Raises:
      DataError: the file is empty or damaged, has no header where others have one, or is not in the table's encoding.
    """

    def __init__(self, path: str, dialect: Dialect) -> None:
        self._path, self._dialect = path, dialect
        self._head = Head.read(path)
        self._encoding = self._head.encoding(dialect)
        sample = self._head.sample(dialect)
        self._skipped = lines_before_table(sample)
        self._has_header = dialect.header is True
        self._width = usual_width(sample)
        cells = self._first_cells()
        if isinstance(dialect.header, tuple):
            cells = list(dialect.header)
        elif self._has_header and (extra := _field_without_name(cells, sample)):
            # Arrow takes the header for a row that is too short.
            self._skipped, self._has_header = _lines_with_header(sample, self._skipped), False
            cells = [*cells, ""] if extra == "last" else ["", *cells]
        self._unnamed_last = len(cells) > 1 and not cells[-1].strip() and _is_last_empty(sample, len(cells))
        self._all = column_names(cells)
        self.names = self._all[:-1] if self._unnamed_last else self._all
        self._text = Text(path, self._encoding, dialect, self._skipped)

    def batches(self, columns: Collection[str]) -> Iterator[pa.RecordBatch]:
        """The cells of some columns as text (string), in blocks of about 4 MiB; an empty field is null.

        Raises:
          DataError: the file is damaged, ragged, or not in the table's encoding.
        """
        done, block_bytes = 0, BLOCK_BYTES
        while True:
            try:
                for batch in self._from_row(done, columns, block_bytes):
                    done += batch.num_rows
                    yield batch
                return
            except (pa.ArrowException, OSError, UnicodeError) as error:
                # A record that is longer than a block.
                if _STRADDLING not in str(error) or block_bytes >= _MOST_BLOCK_BYTES:
                    explain(self._text, len(self._all), error)
                block_bytes *= _GROWTH

    def line_of(self, row: int) -> int:
        """The line that a row begins in, both from 1.

        Args:
          row: one that the file has.
        """
        return next(islice(self._text.records(), row - 1 + self._has_header, None)).line

    def _from_row(self, first: int, columns: Collection[str], block_bytes: int) -> Iterator[pa.RecordBatch]:
        names = [name for name in self.names if name in columns]
        if not self._all:
            return
        wanted = [*names, self._all[-1]] if self._unnamed_last else names
        to_skip = first + self._has_header
        last = None
        with self._open(wanted, block_bytes) as reader:
            for batch in reader:
                skipped = min(to_skip, batch.num_rows)
                to_skip -= skipped
                batch = batch.slice(skipped)
                if self._unnamed_last:
                    self._require_nothing(batch.column(len(names)))
                if batch.num_rows:
                    last = batch
                    yield batch.select(names)
        if last is not None:
            self._require_closed_quotes(last)

    def _require_closed_quotes(self, last: pa.RecordBatch) -> None:
        """Arrow takes a quote that is never closed for one that ends with the file; the field then has line breaks."""
        if any("\n" in cell or "\r" in cell for cell in last.slice(last.num_rows - 1).to_pylist()[0].values() if cell):
            require_closed_quotes(self._text)

    def _first_cells(self) -> list[str]:
        """The fields of the first record, or as many empty texts where it is no header; none in a file without text."""
        text = self._head.decoded(self._dialect).encode() + b"\n"
        lines = Cleaned(io.BytesIO(text), self._dialect) if needs_cleaning(self._dialect) else io.BytesIO(text)
        options = arrow_csv.ReadOptions(
            skip_rows=self._skipped, autogenerate_column_names=not self._has_header, block_size=len(text) + 1
        )
        # Of rows that are cut off or damaged, reading them all will tell.
        parsing = self._parse_options(invalid_row_handler=lambda _: "skip")
        try:
            names: list[str] = arrow_csv.open_csv(pa.PythonFile(lines, mode="r"), options, parsing).schema.names
        except pa.ArrowInvalid:
            return []
        return names if self._has_header else ["" for _ in names]

    @contextmanager
    def _open(self, columns: list[str], block_bytes: int) -> Iterator[arrow_csv.CSVStreamingReader]:
        with ExitStack() as stack:
            stream = stack.enter_context(pa.input_stream(self._path, compression=compression_of(self._path)))
            if self._encoding not in ("utf-8", "utf-8-sig"):
                stream = pa.transcoding_input_stream(stream, self._encoding, "utf-8")
            if needs_cleaning(self._dialect):
                stream = pa.PythonFile(Cleaned(stream, self._dialect), mode="r")
            yield stack.enter_context(
                arrow_csv.open_csv(
                    stream,
                    arrow_csv.ReadOptions(block_size=block_bytes, skip_rows=self._skipped, column_names=self._all),
                    self._parse_options(),
                    arrow_csv.ConvertOptions(
                        column_types=dict.fromkeys(self._all, pa.string()),
                        include_columns=columns,
                        null_values=["", *(self._dialect.nulls or ())],
                        strings_can_be_null=True,
                    ),
                )
            )

    def _parse_options(self, **arguments: Any) -> arrow_csv.ParseOptions:
        return arrow_csv.ParseOptions(
            delimiter=self._dialect.delimiter,
            quote_char=self._dialect.quote or False,
            escape_char=self._dialect.escape or False,
            newlines_in_values=True,
            # In a table of one column a blank line is a row without a value.
            ignore_empty_lines=self._width != 1,
            **arguments,
        )

    def _require_nothing(self, column: pa.Array) -> None:
        if column.null_count < len(column):
            raise DataError(
                "Rows have values in a last column that has no name.",
                where=self._path,
                expected=f"{len(self.names)} fields in each row, or a name for the last column",
                seen=next(value for value in column.to_pylist() if value is not None),
                fix="Give the column a name in the header, or remove the values.",
            )


def _field_without_name(cells: list[str], sample: Sequence[Record]) -> Literal["first", "last"] | None:
    """Which field the header lacks where it has one fewer than all rows: that of a delimiter at their ends, or of row names."""
    rows = [record.cells for record in sample if len(record.cells) > 1][1:]
    if len(rows) < _FEWEST_ROWS or len(cells) == 1 or any(len(row) != len(cells) + 1 for row in rows):
        return None
    return "first" if any(row[-1].strip() for row in rows) else "last"


def _lines_with_header(sample: Sequence[Record], skipped: int) -> int:
    return next(record.next_line for record in sample if record.line > skipped) - 1


def _is_last_empty(sample: Sequence[Record], width: int) -> bool:
    return not any(record.cells[-1].strip() for record in sample if len(record.cells) == width)
