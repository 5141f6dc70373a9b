"""CSV: UTF-8 text, comma-separated, a header, fields in double quotes where they contain commas, quotes or line breaks.

Arrow infers a column's type from the first block of a file and fails on a later one that differs. Here all values of a
column decide: blocks are read as text, and the narrowest kind that parses all values is the column's. An empty field is null.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pyarrow as pa
import pyarrow.compute as pc

from components.example_gen.columns import FileSummary
from components.example_gen.readers.delimited import DelimitedFile
from components.example_gen.readers.dialect import Dialect
from components.shared.examples.kinds import Kind

_TEXT = pa.string()
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
        return FileSummary(path, rows, kinds or dict.fromkeys(DelimitedFile(path, self.dialect).names, Kind.EMPTY))

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
        file = DelimitedFile(path, self.dialect)
        yield from file.batches(file.names)


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
