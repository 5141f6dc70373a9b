"""Rows as what can be compared of them, gathered in one pass and bounded memory."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.monitoring.categories import Categories
from pipeline.monitoring.columns import Column, Role
from pipeline.monitoring.numbers import FloatArray, IntArray, Numbers

_DAY = 86_400


@dataclass
class ColumnProfile:
    """What is known of a column.

    Attributes:
      column: the column.
      rows: the rows whose source has the column.
      present: the rows with a value.
      values: the values of all rows.
      fewest: the fewest values of a row that has some.
      most: the most values of a row.
      kind: the type seen: int, float or string; empty before there was a value.
      numbers: the numbers, and the times in seconds since 1970.
      categories: the values of text, or its words.
      parts: the parts of a time, by name.
    """

    column: Column
    rows: int = 0
    present: int = 0
    values: int = 0
    fewest: int = 0
    most: int = 0
    kind: str = ""
    numbers: Numbers = field(default_factory=Numbers)
    categories: Categories = field(default_factory=Categories)
    parts: dict[str, Numbers] = field(default_factory=dict)

    @property
    def missing(self) -> int:
        """The rows without a value."""
        return self.rows - self.present

    def add(self, values: pa.Array | None, num_rows: int) -> None:
        """Adds the column of some rows, [N]; None where all of them lack it."""
        self.rows += num_rows
        if values is None or pa.types.is_null(values.type):
            return
        flat, sizes = _flattened(values)
        if self.column.role in (Role.NUMBER, Role.TIME):
            self._add_numbers(flat, sizes)
        else:
            self._add_text(flat, sizes)

    def _add_numbers(self, flat: pa.Array, sizes: IntArray) -> None:
        numbers = _as_numbers(flat)
        if numbers is None:
            self.kind = "string"
            self._count(sizes)
            return
        finite = np.isfinite(numbers)
        self._count(_kept(sizes, finite))
        if not finite.any():
            return
        self.kind = self.kind or ("float" if pa.types.is_floating(flat.type) else "int")
        self.numbers.add(numbers[finite])
        for name in self.column.parts:
            self.parts.setdefault(name, Numbers()).add(_part(name, numbers[finite]))

    def _add_text(self, flat: pa.Array, sizes: IntArray) -> None:
        text = _as_text(flat)
        if not len(text):
            return
        self.kind = self.kind or _kind(flat.type)
        self._count(sizes)
        if self.column.role is Role.WORDS:
            text = pc.utf8_split_whitespace(pc.utf8_lower(text)).flatten()
            text = text.filter(pc.not_equal(text, ""))
        self.categories.add(text)

    def _count(self, sizes: IntArray) -> None:
        some = sizes[sizes > 0]
        if len(some):
            self.present += len(some)
            self.values += int(some.sum())
            self.fewest = min(self.fewest or int(some.min()), int(some.min()))
            self.most = max(self.most, int(some.max()))


class Profile:
    """What is known of rows.

    Args:
      columns: the columns.
      lacking_is_missing: whether a column that a batch lacks has no value in its rows; otherwise nothing is known of it there.

    Attributes:
      rows: how many there are.
      columns: what is known of each column, by name.
    """

    def __init__(self, columns: Iterable[Column], *, lacking_is_missing: bool = True) -> None:
        self.rows = 0
        self.columns = {each.name: ColumnProfile(each) for each in columns}
        self._lacking_is_missing = lacking_is_missing

    def add(self, batch: pa.RecordBatch) -> None:
        """Adds rows, with values or lists of values in their columns."""
        self.rows += batch.num_rows
        names = set(batch.schema.names)
        for name, profile in self.columns.items():
            if name in names:
                profile.add(batch.column(name), batch.num_rows)
            elif self._lacking_is_missing:
                profile.add(None, batch.num_rows)


def _flattened(values: pa.Array) -> tuple[pa.Array, IntArray]:
    """The values that are there, and how many each row has of them, [N]."""
    if pa.types.is_list(values.type) or pa.types.is_large_list(values.type) or pa.types.is_fixed_size_list(values.type):
        owners = pc.list_parent_indices(values)
        flat = pc.list_flatten(values)
        there = flat.is_valid()
        sizes = np.bincount(np.asarray(owners.filter(there)), minlength=len(values))
        return flat.drop_null(), sizes.astype(np.int64)
    return values.drop_null(), np.asarray(values.is_valid().cast(pa.int64()))


def _kept(sizes: IntArray, kept: np.ndarray) -> IntArray:
    """How many values each row has that are kept."""
    owners = np.repeat(np.arange(len(sizes)), sizes)
    return np.bincount(owners[kept], minlength=len(sizes)).astype(np.int64)


def _as_numbers(values: pa.Array) -> FloatArray | None:
    """Numbers, times as seconds since 1970; None of text."""
    kind = values.type
    if pa.types.is_temporal(kind):
        values = values.cast(pa.timestamp("us")).cast(pa.int64())
        return np.floor(np.asarray(values) / 1e6)
    if pa.types.is_boolean(kind):
        values = values.cast(pa.int64())
    elif not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        return None
    numbers = np.asarray(values)
    if numbers.dtype.kind == "f":
        # As the model sees them, whatever the files hold.
        with np.errstate(over="ignore"):
            numbers = numbers.astype(np.float32)
    return numbers.astype(np.float64)


def _as_text(values: pa.Array) -> pa.Array:
    kind = values.type
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        try:
            return values.cast(pa.large_binary()).cast(pa.large_string())
        except pa.ArrowInvalid:
            return pa.array([value.decode(errors="replace") for value in values.to_pylist()], pa.large_string())
    return values.cast(pa.large_string())


def _kind(kind: pa.DataType) -> str:
    if pa.types.is_floating(kind):
        return "float"
    return "int" if pa.types.is_integer(kind) or pa.types.is_boolean(kind) else "string"


def _part(name: str, seconds: FloatArray) -> FloatArray:
    """A part of times, in UTC, from 0: Monday is the first day of a week."""
    if name == "minute_of_hour":
        return np.floor(seconds / 60) % 60
    if name == "hour_of_day":
        return np.floor(seconds / 3600) % 24
    days = np.floor(seconds / _DAY)
    if name == "day_of_week":
        return (days + 3) % 7
    dates = days.astype("datetime64[D]")
    unit = "datetime64[M]" if name == "day_of_month" else "datetime64[Y]"
    return (dates - dates.astype(unit)).astype(np.int64).astype(np.float64)
