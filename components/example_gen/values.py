"""The values of a column as one Arrow type, whatever type the files have them in."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from components.shared.examples.kinds import Kind, is_list


def arrow_type(kind: Kind, *, has_lists: bool) -> pa.DataType:
    """The type that a column of a kind is given: one type for each kind, or lists of it."""
    scalar = {
        Kind.EMPTY: pa.null(),
        Kind.BOOLEAN: pa.bool_(),
        Kind.INTEGER: pa.int64(),
        Kind.FLOAT: pa.float64(),
        Kind.TIME: pa.timestamp("us"),
        Kind.ZONED_TIME: pa.timestamp("us", "UTC"),
        Kind.TEXT: pa.string(),
    }[kind]
    return pa.list_(scalar) if has_lists else scalar


def typed(column: pa.Array, kind: Kind, *, has_lists: bool) -> pa.Array:
    """The values of a column in the type of its kind.

    Args:
      column: values of the kind or of one that widens to it.
      kind: the kind of the column in the table as a whole.
      has_lists: whether rows may have several values. Where they do not, a list of one value becomes that value, an empty
        one null.

    Returns:
      An array of `arrow_type(kind, has_lists=has_lists)`, but binary in the place of string where bytes are not UTF-8.

    Raises:
      pyarrow.ArrowInvalid: a value is out of range.
    """
    if not is_list(column.type):
        scalars = _scalars(column, kind)
        return _each_in_a_list(scalars) if has_lists else scalars
    if has_lists:
        counts = pc.list_value_length(column).fill_null(0)
        ends = pc.cumulative_sum(counts.cast(pa.int32()))
        offsets = pa.concat_arrays([pa.array([0], pa.int32()), ends])
        return pa.ListArray.from_arrays(offsets, _scalars(column.flatten(), kind), mask=column.is_null())
    return _scalars(_only_values(column), kind)


def longest_list(column: pa.Array) -> int:
    """How many values the longest row has; 1 for a column of scalars."""
    return (pc.max(pc.list_value_length(column)).as_py() or 0) if is_list(column.type) else 1


def _only_values(column: pa.Array) -> pa.Array:
    """The one value of each row, null where it has none."""
    has_value = pc.greater(pc.list_value_length(column), 0).fill_null(False)
    places = pc.subtract(pc.cumulative_sum(has_value.cast(pa.int64())), 1)
    return column.flatten().take(pc.if_else(has_value, places, None))


def _each_in_a_list(values: pa.Array) -> pa.Array:
    offsets = pa.array(range(len(values) + 1), pa.int32())
    return pa.ListArray.from_arrays(offsets, values, mask=values.is_null())


def _scalars(values: pa.Array, kind: Kind) -> pa.Array:
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if kind is Kind.TEXT:
        try:
            return values.cast(pa.string())
        except pa.ArrowInvalid:
            return values.cast(pa.binary())
    if kind in (Kind.TIME, Kind.ZONED_TIME):
        # Arrow takes a time without a zone for UTC, and refuses to drop digits unless told.
        return values.cast(arrow_type(kind, has_lists=False), safe=False)
    return values.cast(arrow_type(kind, has_lists=False), safe=kind is not Kind.FLOAT)
