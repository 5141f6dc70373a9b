"""Finding out the dialect of a table from the beginnings of its files.

Delimiter, quote and comments are those under which the records of the sample are most alike in their number of fields, and the
fields most often look like values. This is the measure of G.J.J. van den Burg, A. Nazábal and C. Sutton, "Wrangling messy CSV
files by detecting row and type patterns", Data Mining and Knowledge Discovery 33 (2019): the product of a score for patterns of
rows and one for types.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

from components.example_gen.readers.dialect import Dialect
from components.example_gen.readers.encodings import find_encoding
from components.example_gen.readers.header import has_header, header_of, require_header
from components.example_gen.readers.heads import HEAD_BYTES, Head
from components.example_gen.readers.marks import decimal_mark, thousands_mark
from components.example_gen.readers.records import Record, lines_before_table, usual_width
from pipeline.config import Csv
from pipeline.errors import DataError

_FIRST_HEAD_BYTES = 1 << 22
_MOST_FILES = 8
_NOTHING = 1e-3
# Tables with these delimiters are often written without quotes, so that a quote at the beginning of a field may mean itself.
_WITHOUT_QUOTES = ("\t", "|")
# In the order in which they are preferred where they do equally well.
_DELIMITERS = ("\t", "|", ";", ",")
_VALUE = re.compile(r"\s*|[-+]?[\d.,'\u00a0 ]*\d([eE][-+]?\d+)?\s?[%€$£]?|[\w .:/+@%#()?!*&°-]*|\w[^\"\t|]*[,;] [^\"\t|]*")
_NUMBER = re.compile(r"\s*[-+]?\d*[.,]?\d+([eE][-+]?\d+)?\s*")


def find_dialect(paths: Sequence[str], csv: Csv) -> Dialect:
    """The dialect of a table.

    Args:
      paths: its files.
      csv: what is known of it; what is not is found out.

    Raises:
      DataError: the encoding cannot be told, or a file is of another dialect than the others.
    """
    first = [Head.read(path, HEAD_BYTES if number else _FIRST_HEAD_BYTES) for number, path in enumerate(paths[:_MOST_FILES])]
    dialect = Dialect(
        encoding=csv.encoding or find_encoding(paths[0], (head.content for head in _all_heads(first, paths))),
        encoding_is_set=csv.encoding is not None,
        nulls=None if csv.nulls is None else tuple(csv.nulls),
    )
    dialect = _best(first, dialect, csv)
    samples = [_table(head.sample(dialect)) for head in first]
    dialect = replace(
        dialect,
        header=_header(samples, csv),
        decimal=csv.decimal or decimal_mark(samples, dialect.delimiter),
    )
    dialect = replace(dialect, thousands=csv.thousands or thousands_mark(samples, dialect.decimal))
    names = header_of(zip(paths, samples, strict=False)) if csv.header is None and dialect.header else None
    for head in _all_heads(first, paths):
        _require_same(head, dialect, csv, paths[0])
        if names is not None:
            require_header(head.path, _table(head.sample(dialect)), names)
    return dialect


def _all_heads(first: Sequence[Head], paths: Sequence[str]) -> Iterator[Head]:
    """The beginnings of all files, of which those after the first are read one at a time."""
    yield from first
    yield from map(Head.read, paths[len(first) :])


def _table(sample: list[Record]) -> list[Record]:
    before = lines_before_table(sample)
    return [record for record in sample if record.line > before]


def _header(samples: Sequence[list[Record]], csv: Csv) -> bool | tuple[str, ...]:
    if isinstance(csv.header, list):
        return tuple(csv.header)
    return csv.header if csv.header is not None else has_header(samples)


def _best(heads: Sequence[Head], dialect: Dialect, csv: Csv) -> Dialect:
    """The dialect with the cuts under which the sample scores highest, the first of equals."""
    text = "\n".join(head.text(dialect) for head in heads)
    delimiters = [csv.delimiter] if csv.delimiter else [each for each in _DELIMITERS if each in text] or [","]
    candidates = [
        replace(dialect, delimiter=delimiter, quote=quote, escape=escape, comment=comment)
        for comment, delimiter in itertools.product(_comments(text, csv), delimiters)
        for quote in _quotes(heads, replace(dialect, delimiter=delimiter), csv)
        for escape in _escapes(text, quote)
    ]
    scores = [sum(_score(head.sample(candidate)) for head in heads) for candidate in candidates]
    ranked = sorted(range(len(candidates)), key=lambda place: -scores[place])
    best = next(candidates[place] for place in ranked if _has_no_rows_as_comments(heads, candidates[place], csv))
    if csv.delimiter is None and all(usual_width(head.sample(best)) <= 1 for head in heads):
        spaced = replace(best, delimiter=" ")
        return spaced if _is_of_numbers([head.sample(spaced) for head in heads]) else replace(best, delimiter=",")
    return best


def _comments(text: str, csv: Csv) -> Sequence[str | None]:
    if csv.comment:
        return [csv.comment]
    return [None, "#"] if re.search(r"(?m)^#", text) else [None]


def _has_no_rows_as_comments(heads: Sequence[Head], dialect: Dialect, csv: Csv) -> bool:
    """Whether some line that would be a comment has not as many fields as the rows."""
    if dialect.comment is None or csv.comment:
        return True
    width = usual_width([record for head in heads for record in head.sample(dialect)])
    lines = [record.cells for head in heads for record in head.sample(replace(dialect, comment=None))]
    return any(len(cells) != width for cells in lines if cells[0].startswith(dialect.comment))


def _quotes(heads: Sequence[Head], dialect: Dialect, csv: Csv) -> Sequence[str | None]:
    """The quotes that may be in use."""
    if csv.quote is not None:
        return [csv.quote or None]
    between = re.escape(dialect.delimiter)
    if dialect.delimiter in _WITHOUT_QUOTES:
        # All that was read of the files counts: where a quote means itself, reading it as one loses rows.
        text = "\n".join(head.decoded(dialect) for head in heads)
        starts = len(re.findall(rf'(?:\A|[\r\n]|{between})"', text)) if '"' in text else 0
        wholes = len(re.findall(rf'(?:\A|[\r\n]|{between})"(?:[^"]|"")*"(?=[\r\n]|{between}|\Z)', text)) if starts else 0
        # The last field of a head may be cut off.
        if starts - wholes > sum(not head.complete for head in heads):
            return [None]
    sample = "\n".join(head.text(dialect) for head in heads)
    return ['"', "'"] if re.search(rf"(?m)(^|{between})'", sample) else ['"']


def _escapes(text: str, quote: str | None) -> Sequence[str | None]:
    # A backslash before the quote that ends a field is part of the field.
    return ["\\", None] if quote and re.search(rf"\\{quote}[^\t|;,\r\n{quote}]", text) else [None]


def _score(sample: Sequence[Record]) -> float:
    widths = Counter(len(record.cells) for record in sample)
    if not widths:
        return 0.0
    patterns = sum(count * max(_NOTHING, (width - 1) / width) for width, count in widths.items()) / len(widths)
    cells = Counter(cell for record in sample for cell in record.cells)
    values = sum(count for cell, count in cells.items() if _VALUE.fullmatch(cell))
    return patterns * max(_NOTHING, values / cells.total())


def _is_of_numbers(samples: Sequence[list[Record]]) -> bool:
    """Whether all records have as many fields, of which most are numbers, as no column of words would."""
    widths = {len(record.cells) for sample in samples for record in sample}
    cells = [cell for sample in samples for record in sample for cell in record.cells]
    return len(widths) == 1 and max(widths) > 1 and 2 * sum(bool(_NUMBER.fullmatch(cell)) for cell in cells) > len(cells)


def _require_same(head: Head, dialect: Dialect, csv: Csv, first: str) -> None:
    if head.path == first or csv.delimiter or usual_width(head.sample(dialect)) > 1:
        return
    own = _best([head], dialect, csv)
    if own.delimiter != dialect.delimiter and usual_width(head.sample(own)) > 1:
        raise DataError(
            "A file of the table has another delimiter than the others.",
            where=head.path,
            expected=f"{dialect.delimiter!r}, as in {first}",
            seen=repr(own.delimiter),
            fix="Write the file with the delimiter of the others, or leave it out of data.input.",
        )
