"""CSV: UTF-8 text, comma-separated, a header, fields in double quotes where they contain commas, quotes or line breaks.

Arrow infers a column's type from the first block of a file and fails on a later one that differs. Here all values of a
column decide: blocks are read as text, and the narrowest kind that parses all values is the column's. An empty field is null.
"""

from __future__ import annotations

import csv
import io
import zlib
from collections.abc import Iterator, Mapping
from typing import NoReturn

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as arrow_csv

from components.example_gen.columns import FileSummary, check_columns
from components.example_gen.files import damaged, is_gzip, open_binary, require_content
from components.example_gen.readers.dialect import Dialect
from components.shared.examples.kinds import Kind
from pipeline.errors import DataError

BLOCK_BYTES = 4 << 20
_TEXT = pa.string()
_FORMAT = "comma-separated UTF-8 text"
_INT64_DIGITS = 19
_FIRST_VALUES = 100


class CsvReader:
    """Reads the files of a table that have one dialect.

    Args:
      dialect: theirs.
    """

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect

    def scan(self, path: str) -> FileSummary:
        """Reads the whole file for its columns, their kinds and the number of rows.

        Raises:
          DataError: the file is empty, ragged, not UTF-8, not CSV, or its header repeats a name.
        """
        rows = 0
        kinds: dict[str, Kind] = {}
        for batch in self.texts(path):
            rows += batch.num_rows
            for name in batch.schema.names:
                kinds[name] = _widen(kinds.get(name, Kind.EMPTY), batch.column(name))
        return FileSummary(path, rows, kinds or dict.fromkeys(_header(path), Kind.EMPTY))

    def batches(self, path: str, kinds: Mapping[str, Kind]) -> Iterator[pa.RecordBatch]:
        """The rows in blocks of about 4 MiB of text.

        Raises:
          DataError: as for `scan`.
        """
        for batch in self.texts(path):
            columns = [_parse(batch.column(name), kinds[name]) for name in kinds]
            yield pa.RecordBatch.from_arrays(columns, list(kinds))

    def texts(self, path: str) -> Iterator[pa.RecordBatch]:
        """The cells as text (string), in blocks of about 4 MiB; an empty field is null.

        Raises:
          DataError: the file is empty, ragged, not UTF-8, not CSV, or its header repeats a name.
        """
        require_content(path)
        names = _header(path)
        check_columns(path, names)
        try:
            with (
                pa.input_stream(path, compression="gzip" if is_gzip(path) else None) as stream,
                arrow_csv.open_csv(
                    stream,
                    arrow_csv.ReadOptions(block_size=BLOCK_BYTES),
                    arrow_csv.ParseOptions(newlines_in_values=True),
                    arrow_csv.ConvertOptions(
                        column_types=dict.fromkeys(names, _TEXT),
                        null_values=[""],
                        strings_can_be_null=True,
                    ),
                ) as reader,
            ):
                yield from reader
        except (pa.ArrowException, OSError) as error:
            _explain(path, error)


def _header(path: str) -> list[str]:
    try:
        with io.TextIOWrapper(open_binary(path), encoding="utf-8-sig", newline="") as file:
            return next(csv.reader(file), [])
    except (UnicodeDecodeError, csv.Error, EOFError, OSError, zlib.error) as error:
        _explain(path, error)


def _widen(known: Kind, values: pa.Array) -> Kind:
    """The kind of a column in which these values follow values of a known kind."""
    if known is Kind.TEXT or values.null_count == len(values):
        return known
    kind = _infer(values.drop_null())
    if known in (Kind.EMPTY, kind):
        return kind
    return Kind.FLOAT if {known, kind} == {Kind.INTEGER, Kind.FLOAT} else Kind.TEXT


def _infer(values: pa.Array) -> Kind:
    for kind in (Kind.BOOLEAN, Kind.INTEGER, Kind.FLOAT, Kind.TIME, Kind.ZONED_TIME):
        # Arrow takes long to fail on many values, and for most columns the first values rule out a wrong kind.
        if _holds(values.slice(0, _FIRST_VALUES), kind) and _holds(values, kind):
            return kind
    return Kind.TEXT


def _holds(values: pa.Array, kind: Kind) -> bool:
    """Whether all texts, of which there is at least one, are of a kind."""
    if kind is Kind.BOOLEAN:
        return bool(pc.all(pc.is_in(pc.utf8_lower(values), value_set=pa.array(["true", "false"]))).as_py())
    try:
        _parse(values, kind)
    except pa.ArrowInvalid:
        return False
    if kind is Kind.INTEGER:  # Arrow takes hexadecimal numbers, too
        return not pc.any(pc.match_substring(values, "x", ignore_case=True)).as_py()
    return kind is not Kind.FLOAT or not _beyond_int64(values)


def _beyond_int64(values: pa.Array) -> bool:
    """Whether there is a whole number too long for an integer: probably an identifier, of which a float would lose digits."""
    if pc.max(pc.binary_length(values)).as_py() < _INT64_DIGITS:
        return False
    whole = values.filter(pc.match_substring_regex(values, r"^\s*-?\d{19,}\s*$"))
    return len(whole) > 0 and not _holds(whole, Kind.INTEGER)


def _parse(values: pa.Array, kind: Kind) -> pa.Array:
    """Text as values of a kind, spaces around numbers and times ignored."""
    arrow_type = {
        Kind.BOOLEAN: pa.bool_(),
        Kind.INTEGER: pa.int64(),
        Kind.FLOAT: pa.float64(),
        Kind.TIME: pa.timestamp("us"),
        Kind.ZONED_TIME: pa.timestamp("us", "UTC"),
    }.get(kind, _TEXT)
    try:
        return values.cast(arrow_type)
    except pa.ArrowInvalid:
        return pc.utf8_trim_whitespace(values).cast(arrow_type)


def _explain(path: str, error: Exception) -> NoReturn:
    """Finds the line that Arrow could not read, as its own message names a block only.

    Raises:
      DataError: always.
    """
    try:
        _check_encoding(path)
        _check_records(path)
    except (EOFError, OSError, zlib.error) as compression_error:
        raise damaged(path, "a whole gzip file", compression_error) from error
    raise damaged(path, _FORMAT, error) from error


def _check_encoding(path: str) -> None:
    offset = 0
    with open_binary(path) as file:
        for number, line in enumerate(file, start=1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as error:
                raise DataError(
                    "An input file is not UTF-8 text.",
                    where=f"{path}, line {number}",
                    expected=_FORMAT,
                    seen=f"the byte 0x{line[error.start]:02x} at offset {offset + error.start}: "
                    + line[max(0, error.start - 20) : error.start + 20].decode("utf-8", "backslashreplace"),
                    fix=f"Convert the file, for example: iconv -f LATIN1 -t UTF-8 {path}",
                ) from error
            offset += len(line)


def _check_records(path: str) -> None:
    with io.TextIOWrapper(open_binary(path), encoding="utf-8-sig", newline="") as file:
        records = csv.reader(file, strict=True)
        names = next(records, [])
        line = records.line_num
        try:
            for record in records:
                line += 1
                if record and len(record) != len(names):
                    raise DataError(
                        "A row has more or fewer fields than the header.",
                        where=f"{path}, line {line}",
                        expected=f"{len(names)} fields",
                        seen=f"{len(record)} fields: {','.join(record)[:80]}",
                        fix="Correct the row; a field that contains a comma needs double quotes.",
                    )
                line = records.line_num
        except csv.Error as error:
            raise DataError(
                "A quoted field does not end as it must in CSV.",
                where=f"{path}, in the record that begins in line {line + 1}",
                expected='a field in double quotes, quotes inside it doubled: "a ""b"" c"',
                seen=str(error),
                fix="Correct the quotes in that record.",
            ) from error
