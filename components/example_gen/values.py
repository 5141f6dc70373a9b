"""The values of a column as one Arrow type, whatever type the files have them in."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from components.example_gen.text.notation import Notation
from components.example_gen.text.parsing import MisfitError, parse
from components.shared.examples.kinds import Kind, is_list, is_text


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


def read(column: pa.Array, kind: Kind, day_first: bool | None, notation: Notation) -> pa.Array:
    """The values of a column as its kind has them: text is parsed, other values become text, and the rest stays as it is.

    Args:
      column: values as the file has them, scalars or lists.
      kind: the kind that the column is read as.
      day_first: of times in text, whether the day goes before the month where both are numbers.
      notation: how numbers and nulls are written in text.

    Raises:
      MisfitError: a text is not of this kind; its position is that of the row.
    """
    if kind is Kind.EMPTY:
        return pa.nulls(len(column))
    if is_list(column.type):
        values = column.flatten()
        try:
            changed = read(values, kind, day_first, notation)
        except MisfitError as error:
            raise MisfitError(pc.list_parent_indices(column)[error.position].as_py(), error.value) from error
        return column if changed is values else _regrouped(column, changed)
    value_type = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if kind is Kind.INTEGER and pa.types.is_floating(value_type):
        return _whole(column)
    if kind in (Kind.BOOLEAN, Kind.TIME, Kind.ZONED_TIME) and (
        pa.types.is_integer(value_type) or pa.types.is_floating(value_type)
    ):
        column, value_type = column.cast(pa.string()), pa.string()
    if is_text(value_type) == (kind is Kind.TEXT):
        return column
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    return column.cast(pa.string()) if kind is Kind.TEXT else parse(_utf8(column), kind, day_first, notation)


def _whole(numbers: pa.Array) -> pa.Array:
    """Floats as the integers that they are; what is no number is null."""
    numbers = numbers.cast(pa.float64())
    numbers = pc.if_else(pc.is_nan(numbers), None, numbers)
    try:
        return numbers.cast(pa.int64())
    except pa.ArrowInvalid:
        is_whole = pc.and_(pc.equal(pc.trunc(numbers), numbers), pc.less(pc.abs(numbers), 2.0**63)).fill_null(True)
        position = pc.index(is_whole, False).as_py()
        raise MisfitError(position, numbers[position].as_py()) from None


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
        return _regrouped(column, _scalars(column.flatten(), kind))
    return _scalars(_only_values(column), kind)


def has_value(column: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """Whether each row has a value to learn from: not null, empty, NaN or too large for a feature, a 32-bit float.

    Args:
      column: [N] values, or lists of them.

    Returns:
      [N] booleans without nulls.
    """
    present = column.is_valid()
    if is_list(column.type):
        return pc.and_(present, pc.greater(pc.list_value_length(column), 0).fill_null(False))
    values = column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
    if pa.types.is_floating(values.type):
        return pc.and_(present, pc.is_finite(values.cast(pa.float32(), safe=False)).fill_null(False))
    if is_text(values.type):
        return pc.and_(present, pc.greater(pc.binary_length(values), 0).fill_null(False))
    return present


def longest_list(column: pa.Array) -> int:
    """How many values the longest row has; 1 for a column of scalars."""
    return (pc.max(pc.list_value_length(column)).as_py() or 0) if is_list(column.type) else 1


def _regrouped(lists: pa.Array, values: pa.Array) -> pa.Array:
    """Lists of the same lengths with other values."""
    ends = pc.cumulative_sum(pc.list_value_length(lists).fill_null(0).cast(pa.int32()))
    return pa.ListArray.from_arrays(pa.concat_arrays([pa.array([0], pa.int32()), ends]), values, mask=lists.is_null())


def _utf8(texts: pa.Array) -> pa.Array:
    """Text as strings; bytes that are not UTF-8 are a misfit."""
    try:
        return texts.cast(pa.string())
    except pa.ArrowInvalid as error:
        for position, value in enumerate(texts.cast(pa.binary()).to_pylist()):
            if value is not None and value.decode("utf-8", "replace").encode() != value:
                raise MisfitError(position, value) from error
        raise


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
