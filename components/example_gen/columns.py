"""The types of columns: what Arrow's types become in a tf.Example, and how files that differ are reconciled.

| in the input                   | in the tf.Example                          |
| ------------------------------ | ------------------------------------------ |
| integers, booleans             | int64_list                                 |
| floats, decimals               | float_list                                 |
| strings, binary                | bytes_list                                 |
| dates, timestamps              | int64_list: seconds since 1970-01-01 UTC   |
| lists of these                 | as many values                             |
| null, the empty string in text | no feature                                 |
"""

from __future__ import annotations

import difflib
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
import pyarrow as pa
from pyarrow import types

from pipeline.errors import DataError


class Kind(str, Enum):
    """What the values of a column are; its value is how a person would call them."""

    EMPTY = "no values"
    BOOLEAN = "booleans"
    INTEGER = "integers"
    FLOAT = "floats"
    TIME = "times"
    ZONED_TIME = "times with a zone"
    TEXT = "text"


@dataclass(frozen=True)
class FileSummary:
    """What a file holds.

    Attributes:
      path: of the file.
      rows: how many it has.
      kinds: its columns, in order, and what each holds.
    """

    path: str
    rows: int
    kinds: dict[str, Kind]


# Kinds that files may mix in one column, each list from the narrowest to the one that holds them all.
_FAMILIES = ([Kind.BOOLEAN, Kind.INTEGER, Kind.FLOAT], [Kind.TIME, Kind.ZONED_TIME], [Kind.TEXT])


def kind_of(arrow_type: pa.DataType) -> Kind | None:
    """The kind of an Arrow type, of its elements if it is a list; None for a type that a tf.Example cannot hold."""
    if types.is_dictionary(arrow_type):
        return kind_of(arrow_type.value_type)
    if is_list(arrow_type):
        return None if is_list(arrow_type.value_type) else kind_of(arrow_type.value_type)
    tests = (
        (types.is_null, Kind.EMPTY),
        (types.is_boolean, Kind.BOOLEAN),
        (types.is_integer, Kind.INTEGER),
        (types.is_floating, Kind.FLOAT),
        (types.is_decimal, Kind.FLOAT),
        (types.is_date, Kind.TIME),
        (types.is_timestamp, Kind.TIME),
        (_is_text, Kind.TEXT),
    )
    return next((kind for test, kind in tests if test(arrow_type)), None)


def is_list(arrow_type: pa.DataType) -> bool:
    """Whether a column of this type holds several values a row."""
    return bool(types.is_list(arrow_type) or types.is_large_list(arrow_type) or types.is_fixed_size_list(arrow_type))


def convert(values: pa.Array, kind: Kind) -> pa.Array:
    """Values as a tf.Example stores them.

    Args:
      values: of a type whose kind is `kind` or one that widens to it; no list, no nulls.
      kind: of the column in the table as a whole.

    Returns:
      int64 for booleans, integers and times (seconds since 1970-01-01 UTC), float32 for floats, large_binary for text.

    Raises:
      pyarrow.ArrowInvalid: a value is out of range.
    """
    if types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if kind is Kind.FLOAT:
        return values.cast(pa.float64(), safe=False).cast(pa.float32(), safe=False)
    if kind in (Kind.TIME, Kind.ZONED_TIME):
        return _seconds(values)
    return values.cast(pa.large_binary() if kind is Kind.TEXT else pa.int64())


def check_columns(path: str, names: Sequence[str]) -> None:
    """Refuses columns that could not be told apart.

    Raises:
      DataError: two columns have one name, or one has none.
    """
    repeated = sorted({name for name in names if names.count(name) > 1})
    if "" in names:
        raise DataError(
            "A column has no name.",
            where=f"{path}, column {list(names).index('') + 1}",
            expected="a name for every column",
            seen=", ".join(name or "(none)" for name in names),
            fix="name the column, or leave it out (with pandas: to_csv(..., index=False))",
        )
    if repeated:
        raise DataError(
            "Several columns have the same name.",
            where=path,
            expected="a name of its own for every column",
            seen=", ".join(f"{name} ({names.count(name)} times)" for name in repeated),
            fix="rename or remove the repeated columns",
        )


def reconcile(files: Sequence[FileSummary]) -> dict[str, Kind]:
    """The columns of the table that the files form together. Integers widen to floats; an absent column is null.

    Raises:
      DataError: files disagree on what a column holds.
    """
    kinds: dict[str, set[Kind]] = defaultdict(set)
    for file in files:
        for name, kind in file.kinds.items():
            kinds[name].add(kind)
    return {name: _common(name, found - {Kind.EMPTY}, files) for name, found in kinds.items()}


def require_label(label: str, columns: Mapping[str, Kind], where: str) -> None:
    """Makes sure that there is a label to learn from.

    Args:
      label: the column's name.
      columns: of the table.
      where: the input pattern, for the message.

    Raises:
      DataError: no file has such a column, or it holds no value.
    """
    if columns.get(label, Kind.EMPTY) is not Kind.EMPTY:
        return
    if label in columns:
        raise DataError(
            f"The label {label!r} has no values.",
            where=where,
            expected="a value in at least some rows",
            seen="nulls only",
            fix="check how the column is made, or name another as `label` in the configuration",
        )
    close = difflib.get_close_matches(label, columns, n=1)
    raise DataError(
        f"The label {label!r} is not in the data." + (f" Did you mean {close[0]!r}?" if close else ""),
        where=where,
        expected=f"a column {label!r}",
        seen=", ".join(columns),
        fix="correct `label` in the configuration, or add the column to the data",
    )


def _common(column: str, kinds: set[Kind], files: Sequence[FileSummary]) -> Kind:
    if not kinds:
        return Kind.EMPTY
    family = next((family for family in _FAMILIES if kinds <= set(family)), None)
    if family is None:
        raise _disagreement(column, files)
    return max(kinds, key=family.index)


def _is_text(arrow_type: pa.DataType) -> bool:
    tests = (types.is_string, types.is_large_string, types.is_binary, types.is_large_binary, types.is_fixed_size_binary)
    return any(test(arrow_type) for test in tests)


def _seconds(values: pa.Array) -> pa.Array:
    """Seconds since 1970, rounded down also before it."""
    if types.is_date32(values.type):
        return pa.array(values.cast(pa.int32()).to_numpy().astype(np.int64) * 86_400)
    unit = "ms" if types.is_date64(values.type) else values.type.unit
    return pa.array(values.cast(pa.int64()).to_numpy() // {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit])


def _disagreement(column: str, files: Sequence[FileSummary]) -> DataError:
    by_kind: dict[Kind, list[str]] = defaultdict(list)
    for file in files:
        if file.kinds.get(column, Kind.EMPTY) is not Kind.EMPTY:
            by_kind[file.kinds[column]].append(os.path.basename(file.path))
    most_first = sorted(by_kind.items(), key=lambda item: -len(item[1]))
    seen = "; ".join(
        f"{kind.value} in {names[0]}" + (f" and {len(names) - 1} more" if len(names) > 1 else "") for kind, names in most_first
    )
    rarest = next(file for file in files if file.kinds.get(column) is most_first[-1][0])
    return DataError(
        f"The type of the column {column!r} differs from file to file.",
        where=rarest.path,
        expected=f"{most_first[0][0].value}, as in most files",
        seen=seen,
        fix="write the column with one type in all files",
    )
