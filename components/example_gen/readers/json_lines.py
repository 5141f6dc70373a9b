"""JSON: an object for each row, one a line or in any layout, or all of them in one array.

Numbers, booleans and lists have their types; text is text, also where it looks like a number, but may be times, for which JSON
has no type. Numbers and booleans beside text become text. A key that an object lacks is null. Objects within objects are not
read.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from itertools import islice
from typing import Any, NoReturn

import numpy as np
import pyarrow as pa

from components.example_gen.columns import FileSummary, check_columns
from components.example_gen.evidence import Evidence, Seen
from components.example_gen.files import DECOMPRESSION_ERRORS, broken, damaged, open_binary, read_head
from components.example_gen.readers.dialect import Dialect
from components.example_gen.readers.encodings import marked_encoding
from components.example_gen.text.forms import Form
from components.example_gen.text.notation import Notation
from pipeline.errors import DataError

BATCH_ROWS = 16_384
dialect: Dialect | None = None

_CHUNK_CHARS = 1 << 20
_MARK_BYTES = 4
_ARRAY = re.compile(r"\s*\[")
_BETWEEN = re.compile(r"[\s,]+")
_HALF_OF_PAIR = re.compile(r"\\u[dD][89a-fA-F]")
_INT64 = range(-(2**63), 2**63)
_INT64_CHARS = len(str(-(2**63)))
_TYPES = {bool: pa.bool_(), int: pa.int64(), float: pa.float64(), str: pa.string()}
_TIMES = (Form.TIME, Form.ZONED_TIME, Form.DAY_FIRST, Form.MONTH_FIRST, Form.EITHER_ORDER)
_SHOWN = 80
_MOST_ROW_CHARS = 1 << 28
_LONGEST_WORD = len("-Infinity")


def scan(path: str, ignored: Collection[str]) -> FileSummary:
    """Reads the whole file for its columns, the types of their values and the number of rows.

    Raises:
      DataError: the file is empty or damaged, or a row is not an object.
    """
    rows = 0
    columns: dict[str, Evidence] = {}
    for batch in _row_batches(path):
        rows += len(batch)
        for name in _names(batch):
            seen = Evidence() if name in ignored else _evidence([row[name] for row in batch if name in row])
            columns[name] = columns[name] + seen if name in columns else seen
    check_columns(path, [name for name in columns if name not in ignored])
    return FileSummary(path, rows, columns)


def batches(path: str, columns: Collection[str]) -> Iterator[pa.RecordBatch]:
    """The rows in batches of up to 16,384, with the columns that occur in a batch.

    Raises:
      DataError: the file is damaged.
    """
    for batch in _row_batches(path):
        names = [name for name in _names(batch) if name in columns]
        arrays = [_array([row.get(name) for row in batch]) for name in names]
        # A batch without columns has rows all the same, which an array of objects without fields keeps.
        empty = pa.array([{}] * len(batch), pa.struct([]))
        yield pa.RecordBatch.from_arrays(arrays, names) if names else pa.RecordBatch.from_struct_array(empty)


def place_of(path: str, row: int) -> str:
    """The number of a row."""
    return f"row {row:,}"


def _names(batch: list[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(name for row in batch for name in row))


def _evidence(values: list[Any]) -> Evidence:
    scalars, has_lists = _scalars(values)
    by_type = _by_type(scalars)
    if unsupported := by_type.keys() - _TYPES.keys():
        return Evidence(types=frozenset("struct" if each is dict else "list of lists" for each in unsupported))
    seen = Evidence(has_lists=has_lists)
    for each, of_type in by_type.items():
        seen += _FORMS[each](pa.array(of_type, _TYPES[each]))
    return seen


def _forms_of_numbers(values: pa.Array) -> Evidence:
    """The forms of whole numbers or booleans."""
    return Evidence.of_text(values.cast(pa.string()), Notation())


def _forms_of_floats(values: pa.Array) -> Evidence:
    """The forms of floats, all of which are fractions, infinite or none, also `1.0`."""
    numbers = values.to_numpy()
    special = Evidence.of_text(values.filter(pa.array(~np.isfinite(numbers))).cast(pa.string()), Notation())
    finite = int(np.isfinite(numbers).sum())
    return special + Evidence(forms={Form.FRACTION: Seen(count=finite, example="")} if finite else {})


def _forms_of_texts(texts: pa.Array) -> Evidence:
    """The forms of texts, of which those that are no times are text."""
    forms: dict[Form, Seen] = {}
    for form, seen in Evidence.of_text(texts, Notation()).forms.items():
        kept = form if form in _TIMES else Form.TEXT
        forms[kept] = forms[kept] + seen if kept in forms else seen
    return Evidence(forms=forms)


_FORMS: Mapping[type, Callable[[pa.Array], Evidence]] = {
    bool: _forms_of_numbers,
    int: _forms_of_numbers,
    float: _forms_of_floats,
    str: _forms_of_texts,
}


def _array(values: list[Any]) -> pa.Array:
    """Values as scalars or lists of their type, or of text where they differ: numbers as Arrow writes them."""
    scalars, has_lists = _scalars(values)
    by_type = _by_type(scalars)
    if len(by_type) == 1:
        present = pa.array(scalars, _TYPES[next(iter(by_type))])
    else:
        texts = {each: iter(pa.array(of_type, _TYPES[each]).cast(pa.string()).to_pylist()) for each, of_type in by_type.items()}
        present = pa.array([next(texts[type(value)]) for value in scalars], pa.string() if texts else pa.null())
    if not has_lists:
        is_present = np.fromiter((value is not None for value in values), bool, len(values))
        return present.take(pa.array(np.cumsum(is_present) - 1, mask=~is_present))
    lengths = [
        None if each is None else sum(value is not None for value in each) if isinstance(each, list) else 1 for each in values
    ]
    offsets = pa.array(np.cumsum([0, *(length or 0 for length in lengths)]), pa.int32())
    return pa.ListArray.from_arrays(offsets, present, mask=pa.array([length is None for length in lengths]))


def _scalars(values: list[Any]) -> tuple[list[Any], bool]:
    """The values in rows and in lists, without nulls; whether there are lists."""
    has_lists = any(isinstance(value, list) for value in values)
    if has_lists:
        values = [inner for value in values for inner in (value if isinstance(value, list) else [value])]
    return [value for value in values if value is not None], has_lists


def _by_type(scalars: list[Any]) -> dict[type, list[Any]]:
    return {each: [value for value in scalars if type(value) is each] for each in set(map(type, scalars))}


def _whole(digits: str) -> int | str:
    """A whole number; beyond 64 bits it becomes text, which keeps its digits."""
    if len(digits) > _INT64_CHARS:
        return digits
    number = int(digits)
    return number if number in _INT64 else digits


def _row_batches(path: str) -> Iterator[list[dict[str, Any]]]:
    encoding = marked_encoding(read_head(path, _MARK_BYTES)) or "utf-8"
    try:
        with io.TextIOWrapper(open_binary(path), encoding=encoding) as file:
            rows = _Rows(path, file)
            while batch := list(islice(rows, BATCH_ROWS)):
                yield batch
    except UnicodeDecodeError as error:
        raise damaged(path, f"JSON in {encoding}", error) from error
    except DECOMPRESSION_ERRORS as error:
        raise broken(path, error) from error


class _Rows:
    """The objects of a text, one after the other or in an array.

    Args:
      path: the file, for messages.
      file: its text.
    """

    def __init__(self, path: str, file: io.TextIOBase) -> None:
        self._path, self._file = path, file
        self._decode = json.JSONDecoder(parse_int=_whole).raw_decode
        self._text = file.read(_CHUNK_CHARS)
        self._place, self._line = 0, 1
        start = _ARRAY.match(self._text)
        self._is_array = start is not None
        if start:
            self._move(start.end())

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return self

    def __next__(self) -> dict[str, Any]:
        while True:
            if between := _BETWEEN.match(self._text, self._place):
                self._move(between.end())
            if self._text.startswith("]", self._place) and self._is_array:
                self._end()
            try:
                row, end = self._decode(self._text, self._place)
            except (json.JSONDecodeError, RecursionError) as error:
                if self._may_be_cut(error) and self._read_on():
                    continue
                if self._place < len(self._text):
                    raise self._broken("a row as an object", f"{getattr(error, 'msg', error)}: {self._rest()}") from error
                if self._is_array:
                    raise self._broken("a bracket at the end of the array", "the end of the file") from error
                raise StopIteration from None
            if not isinstance(row, dict):
                raise self._broken("a row as an object", self._rest())
            if _HALF_OF_PAIR.search(self._text, self._place, end):
                self._check_characters(row)
            self._move(end)
            return row

    def _move(self, place: int) -> None:
        self._line += self._text.count("\n", self._place, place)
        self._place = place

    def _check_characters(self, row: dict[str, Any]) -> None:
        try:
            json.dumps(row, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            half = f"\\u{ord(error.object[error.start]):04x}"
            raise self._broken("characters, each whole", f"half of a character, {half}: {self._rest()}") from error

    def _may_be_cut(self, error: json.JSONDecodeError | RecursionError) -> bool:
        """Whether the error may be that of a row whose end has not been read yet."""
        if isinstance(error, RecursionError) or len(self._text) - self._place > _MOST_ROW_CHARS:
            return False
        return error.msg.startswith("Unterminated string") or error.pos >= len(self._text) - _LONGEST_WORD

    def _read_on(self) -> bool:
        """Reads more of the file, twice as much each time, so that a long row is not read over and over."""
        more = self._file.read(max(_CHUNK_CHARS, len(self._text) - self._place))
        self._text, self._place = self._text[self._place :] + more, 0
        return bool(more)

    def _end(self) -> NoReturn:
        self._place += 1
        self._is_array = False
        if self._rest().strip() or self._file.read().strip():
            raise self._broken("nothing after the array", self._rest())
        raise StopIteration

    def _rest(self) -> str:
        return self._text[self._place : self._place + _SHOWN]

    def _broken(self, expected: str, seen: str) -> DataError:
        return DataError(
            "A file of JSON has a row that cannot be read.",
            where=f"{self._path}, line {self._line}",
            expected=f'{expected}, such as {{"x": 1, "y": "a"}}',
            seen=" ".join(seen.split()),
            fix="Correct that row, or write the file again.",
        )
