"""Values of a column in the one form that profiles compare them in."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from components.shared.examples.kinds import Kind, is_list

Hashes = npt.NDArray[np.uint64]

NULL_HASH = np.uint64(0x9E3779B97F4A7C15)
"""Stands for a missing value among the hashes of a column."""

SEPARATOR = "\x1f"
"""Stands between the values of a list in its normal form."""


def normalised(column: pa.Array, kind: Kind) -> pa.Array:
    """A column of a batch with the table's type and one form of a missing value.

    Args:
      column: N values or lists of values.
      kind: the column's kind in the table.

    Returns:
      float64 without NaN and -0.0 for floats, int64 for booleans, integers and times (microseconds since 1970), otherwise
      large_binary; lists as text, their values other than null and NaN joined. What a tf.Example holds no feature for is null:
      NaN, empty text, a list without values.
    """
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if is_list(column.type):
        return _lists_as_text(column)
    if kind is Kind.FLOAT:
        # -0.0 + 0.0 is 0.0: equal numbers have one form.
        numbers = pc.add(column.cast(pa.float64(), safe=False), 0.0)
        return pc.if_else(pc.is_nan(numbers), pa.scalar(None, pa.float64()), numbers)
    if kind in (Kind.BOOLEAN, Kind.INTEGER):
        return column.cast(pa.int64())
    if kind in (Kind.TIME, Kind.ZONED_TIME):
        zone = getattr(column.type, "tz", None)
        return column.cast(pa.timestamp("us", zone), safe=False).cast(pa.int64())
    if kind is Kind.EMPTY:
        return pa.nulls(len(column), pa.large_binary())
    text = column.cast(pa.large_binary())
    empty = pc.equal(pc.binary_length(text), 0).fill_null(False).to_numpy(zero_copy_only=False)
    return text.take(pa.array(np.arange(len(text)), mask=empty)) if empty.any() else text


def hashes(values: pa.Array) -> Hashes:
    """A hash of each value, the same in every process: of normalised values without nulls."""
    if pa.types.is_large_binary(values.type):
        return pd.util.hash_array(np.array(values.to_pylist(), dtype=object), categorize=False)
    return mixed(values.to_numpy(zero_copy_only=False).view(np.uint64))


def as_floats(column: pa.ChunkedArray) -> npt.NDArray[np.float64] | None:
    """A column of normalised numbers, NaN where one is missing; None for text."""
    values = column.combine_chunks()
    if pa.types.is_large_binary(values.type):
        return None
    return values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)


def mixed(numbers: Hashes) -> Hashes:
    """Numbers spread over all 64 bits: the finaliser of SplitMix64 (https://prng.di.unimi.it/splitmix64.c)."""
    with np.errstate(over="ignore"):
        numbers = numbers + np.uint64(0x9E3779B97F4A7C15)
        numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return numbers ^ (numbers >> np.uint64(31))


def _lists_as_text(column: pa.Array) -> pa.Array:
    words = [[_as_text(value) for value in values or () if _is_present(value)] for values in column.to_pylist()]
    joined = [SEPARATOR.join(of_row).encode(errors="surrogateescape") if of_row else None for of_row in words]
    return pa.array(joined, pa.large_binary())


def _is_present(value: object) -> bool:
    return value is not None and not (isinstance(value, float) and math.isnan(value))


def _as_text(value: object) -> str:
    return value.decode(errors="surrogateescape") if isinstance(value, bytes) else str(value)
