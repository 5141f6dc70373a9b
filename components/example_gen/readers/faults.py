"""What is wrong with a file of delimited text, by line: Arrow's own messages name a block only."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NoReturn

from components.example_gen.files import DECOMPRESSION_ERRORS, broken, damaged, open_binary
from components.example_gen.readers.dialect import Dialect
from components.example_gen.readers.encodings import find_encoding
from components.example_gen.readers.records import Record, records
from pipeline.errors import DataError

_AROUND = 20
_SHOWN = 80
_ENCODING_LINES = 1000


@dataclass(frozen=True)
class Text:
    """A file of delimited text.

    Attributes:
      path: the file.
      encoding: its encoding.
      dialect: that of its table.
      skipped: the lines before the header or the first record.
    """

    path: str
    encoding: str
    dialect: Dialect
    skipped: int

    def records(self) -> Iterator[Record]:
        """The records from the header or the first row on.

        Raises:
          csv.Error: a quote is not closed.
        """
        with io.TextIOWrapper(open_binary(self.path), encoding=self.encoding, errors="replace") as file:
            yield from (record for record in records(file, self.dialect, strict=True) if record.line > self.skipped)


def explain(text: Text, width: int, error: Exception) -> NoReturn:
    """Raises the error for a file that Arrow could not read.

    Args:
      text: the file.
      width: how many fields each record should have.
      error: Arrow's.

    Raises:
      DataError: always.
    """
    try:
        _check_encoding(text)
        _check_records(text, width)
    except DECOMPRESSION_ERRORS as compression_error:
        raise broken(text.path, compression_error) from error
    raise damaged(text.path, "text with delimiters", error) from error


def require_closed_quotes(text: Text) -> None:
    """Checks that a quoted field does not go on to the end of the file.

    Raises:
      DataError: one does.
    """
    _check_records(text, None)


def _check_encoding(text: Text) -> None:
    if text.encoding not in ("utf-8", "utf-8-sig"):
        _check_other_encoding(text)
        return
    offset = 0
    with open_binary(text.path) as file:
        for number, line in enumerate(file, start=1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as error:
                raise DataError(
                    "An input file is not UTF-8 text.",
                    where=f"{text.path}, line {number}",
                    expected="text in UTF-8, as at the beginning of the table's files",
                    seen=f"the byte 0x{line[error.start]:02x} at offset {offset + error.start}: "
                    + line[max(0, error.start - _AROUND) : error.start + _AROUND].decode("utf-8", "backslashreplace"),
                    fix=_encoding_to_set(text.path),
                ) from error
            offset += len(line)


def _check_other_encoding(text: Text) -> None:
    number = 0
    try:
        with io.TextIOWrapper(open_binary(text.path), encoding=text.encoding) as file:
            for _ in file:
                number += 1
    except UnicodeError as error:
        raise DataError(
            f"An input file is not text in {text.encoding}.",
            where=f"{text.path}, after line {number}",
            expected=f"text in {text.encoding}",
            seen=str(error),
            fix="Set data.csv.encoding to the encoding of the file.",
        ) from error


def _encoding_to_set(path: str) -> str:
    with open_binary(path) as file:
        lines = [line for line in file if not line.isascii()][:_ENCODING_LINES]
    try:
        return f"Set data.csv.encoding to {find_encoding(path, [b''.join(lines)])}."
    except DataError as error:
        return f"{error.fix} {error.seen}"


def _check_records(text: Text, width: int | None) -> None:
    """Checks the fields of each record, unless `width` is None, and the quotes around them."""
    line = text.skipped + 1
    quote = text.dialect.quote or '"'
    try:
        for record in text.records():
            line = record.next_line
            if width is not None and len(record.cells) != width:
                raise _ragged(text, record, width)
    except csv.Error as error:
        raise DataError(
            "A quoted field does not end as it must in CSV.",
            where=f"{text.path}, in the record that begins in line {line}",
            expected=f"a field in quotes, quotes inside it doubled: {quote}a {quote * 2}b{quote * 2} c{quote}",
            seen=str(error),
            fix='Correct the quotes in that record, or set data.csv.quote to "" if quotes mean nothing in the table.',
        ) from error


def _ragged(text: Text, record: Record, width: int) -> DataError:
    shown = text.dialect.delimiter.join(record.cells)
    fix = (
        f"Correct the row: {width} fields, empty ones for values that are missing, and quotes around a field that contains "
        f"{text.dialect.delimiter!r}."
    )
    if width == 1:
        fix = (
            f"Put quotes around fields that contain {text.dialect.delimiter!r}, or, if the table has one column, set "
            r"data.csv.delimiter to a character that no field contains, such as '\t'."
        )
    names = text.dialect.header
    if isinstance(names, tuple):
        fix = f"Set data.csv.header to as many names as the table has columns: it has {len(names)}."
    if shown.startswith("#") and text.dialect.comment is None:
        fix = "Set data.csv.comment to '#' if such lines are comments."
    return DataError(
        "A row has more or fewer fields than the header.",
        where=f"{text.path}, line {record.line}",
        expected=f"{width} fields",
        seen=f"{len(record.cells)} fields: {shown[:_SHOWN]}",
        fix=fix,
    )
