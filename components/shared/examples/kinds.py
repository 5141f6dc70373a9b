"""The kinds of values in columns: what Arrow's types become in a tf.Example.

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

from enum import Enum

import numpy as np
import pyarrow as pa
from pyarrow import types


class Kind(str, Enum):
    """The kind of values in a column; its value is the name that messages use."""

    EMPTY = "no values"
    BOOLEAN = "booleans"
    INTEGER = "integers"
    FLOAT = "floats"
    TIME = "times"
    ZONED_TIME = "times with a zone"
    TEXT = "text"


def kind_of(arrow_type: pa.DataType) -> Kind | None:
    """The kind of an Arrow type, of its elements if it is a list; None for a type that a tf.Example cannot hold."""
    if types.is_dictionary(arrow_type):
        return kind_of(arrow_type.value_type)
    if is_list(arrow_type):
        return None if is_list(arrow_type.value_type) else kind_of(arrow_type.value_type)
    if types.is_timestamp(arrow_type) and arrow_type.tz is not None:
        return Kind.ZONED_TIME
    tests = (
        (types.is_null, Kind.EMPTY),
        (types.is_boolean, Kind.BOOLEAN),
        (types.is_integer, Kind.INTEGER),
        (types.is_floating, Kind.FLOAT),
        (types.is_decimal, Kind.FLOAT),
        (types.is_date, Kind.TIME),
        (types.is_timestamp, Kind.TIME),
        (is_text, Kind.TEXT),
    )
    return next((kind for test, kind in tests if test(arrow_type)), None)


def is_list(arrow_type: pa.DataType) -> bool:
    """Whether a column of this type has several values in a row."""
    return bool(types.is_list(arrow_type) or types.is_large_list(arrow_type) or types.is_fixed_size_list(arrow_type))


def is_text(arrow_type: pa.DataType) -> bool:
    """Whether a type is that of text, in characters or in bytes."""
    tests = (types.is_string, types.is_large_string, types.is_binary, types.is_large_binary, types.is_fixed_size_binary)
    return any(test(arrow_type) for test in tests)


def convert(values: pa.Array, kind: Kind) -> pa.Array:
    """Values as a tf.Example stores them.

    Args:
      values: values of this kind or of one that widens to it; neither lists nor nulls.
      kind: the kind of the column in the table as a whole.

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


def _seconds(values: pa.Array) -> pa.Array:
    """Seconds since 1970, rounded down also before it."""
    if types.is_date32(values.type):
        return pa.array(values.cast(pa.int32()).to_numpy().astype(np.int64) * 86_400)
    unit = "ms" if types.is_date64(values.type) else values.type.unit
    return pa.array(values.cast(pa.int64()).to_numpy() // {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit])
