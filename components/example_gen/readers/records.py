"""The records of a sample of delimited text, for finding out its dialect and explaining its faults. Rows are read by Arrow."""

from __future__ import annotations

import csv
import io
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from components.example_gen.readers.dialect import Dialect

# A field may be of any length; the limit is one of the whole process.
csv.field_size_limit(sys.maxsize)

_MOST_RECORDS = 2000


class Record(NamedTuple):
    """A record that is not blank.

    Attributes:
      line: the number of its first line, from 1.
      cells: its fields.
      next_line: the number of the line after it.
    """

    line: int
    cells: list[str]
    next_line: int


def records(text: io.TextIOBase, dialect: Dialect, *, strict: bool = False) -> Iterator[Record]:
    """The records of a text, without comments and blank lines.

    Args:
      text: the text, with line breaks as universal newlines.
      dialect: how it is cut.
      strict: whether quotes must be where the format allows them.

    Raises:
      csv.Error: `strict`, and a quote is not closed.
    """
    lines = _Lines(text, dialect.comment)
    reader = csv.reader(
        lines,
        delimiter=dialect.delimiter,
        quotechar=dialect.quote,
        quoting=csv.QUOTE_MINIMAL if dialect.quote else csv.QUOTE_NONE,
        escapechar=dialect.escape,
        strict=strict,
    )
    line = 1
    for cells in reader:
        lines.are_within_record = False
        if cells:
            yield Record(line, cells, reader.line_num + 1)
        line = reader.line_num + 1


def sample_of(text: str, dialect: Dialect, *, complete: bool) -> list[Record]:
    """The records of the beginning of a file.

    Args:
      text: the beginning.
      dialect: how it is cut.
      complete: whether the file ends there; if not, its last record is left out, since it may be cut off.
    """
    found = list(islice(records(io.StringIO(text, newline=None), dialect), _MOST_RECORDS))
    return found if complete or len(found) <= 1 else found[:-1]


def usual_width(sample: Sequence[Record]) -> int:
    """How many fields most records have, the greater number where two are equally frequent; 0 for an empty sample."""
    widths = Counter(len(record.cells) for record in sample)
    return max(widths, key=lambda width: (widths[width], width), default=0)


def lines_before_table(sample: Sequence[Record]) -> int:
    """The lines before the header: blank ones, titles, and the one in which Excel is told the delimiter.

    A title has a single field, with a space in it or a blank line after it, so that the header of a column whose values contain
    delimiters is not taken for one; or several fields, but not more than half of those of the rows; or, as spreadsheets write
    it, all of them, of which only the first is filled, with a space in it or a row of empty fields after it.
    """
    width = usual_width(sample)
    for place, record in enumerate(sample):
        fields = len(record.cells)
        is_line = fields == 1 < width and (" " in record.cells[0].strip() or _is_before_blank(sample, place))
        is_title = is_line or 1 < fields <= width / 2 or _is_padded(sample, place, width)
        if not is_title and record.cells[0].lower() != "sep=":
            return record.line - 1
    return 0


def _is_padded(sample: Sequence[Record], place: int, width: int) -> bool:
    first, *others = sample[place].cells
    if width < 3 or len(others) + 1 != width or any(map(str.strip, others)):
        return False
    is_empty = not first.strip()
    after = sample[place + 1].cells if place + 1 < len(sample) else ()
    return is_empty or " " in first.strip() or (bool(after) and not any(map(str.strip, after)))


def _is_before_blank(sample: Sequence[Record], place: int) -> bool:
    return place + 1 < len(sample) and sample[place + 1].line > sample[place].next_line


class _Lines:
    """Lines of which those that are comments are blank. The lines of a record after its first are within quotes, so are none.

    Attributes:
      are_within_record: whether the next line is not the first of its record.
    """

    def __init__(self, text: io.TextIOBase, comment: str | None) -> None:
        self._text, self._comment = text, comment
        self.are_within_record = False

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = next(self._text)
        is_comment = self._comment is not None and not self.are_within_record and line.startswith(self._comment)
        self.are_within_record = True
        return "\n" if is_comment else line
