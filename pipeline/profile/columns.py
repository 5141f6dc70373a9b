"""One column of a table, described by all of its values."""

from __future__ import annotations

import datetime
import math
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.shared.examples.kinds import Kind, is_list
from pipeline.profile.sketches import Distinct
from pipeline.profile.values import NULL_HASH, Hashes, hashes, mixed, normalised

MOST_COUNTED = 1000
"""Up to so many different values, the rows of each are counted."""

DAY = 86_400_000_000
"""A day in microseconds."""

Value = str | int | float


def as_datetime(microseconds: int) -> datetime.datetime | None:
    """A time in microseconds since 1970 as Python has it; None outside of the years 1 to 9999."""
    try:
        return datetime.datetime(1970, 1, 1) + datetime.timedelta(microseconds=microseconds)
    except OverflowError:
        return None


@dataclass(frozen=True)
class ColumnProfile:
    """A column of a table.

    Attributes:
      name: the column's name.
      kind: the kind of its values; of their elements where they are lists.
      is_list: whether a row has several values.
      rows: how many rows the table has.
      missing: how many of them have no value.
      distinct: how many different values there are, estimated where `is_exact` is false.
      is_exact: whether `distinct` is exact.
      counts: the rows of each value, where there are at most `MOST_COUNTED` different ones; otherwise empty.
      smallest: the smallest number, or the earliest time in microseconds since 1970; None for text and where nothing is there.
      largest: the largest one.
      is_whole: whether all values are whole numbers; of times, whole days.
      is_ascending: whether every row has a value that is not smaller than the one before; numbers and times.
      is_descending: whether every row has a value that is not larger than the one before.
      words: text: the mean number of words in a value.
      longest: text: the most bytes in a value.
      digest: equal for columns that are equal in every row.
    """

    name: str
    kind: Kind
    is_list: bool
    rows: int
    missing: int
    distinct: int
    is_exact: bool
    counts: dict[Value, int]
    smallest: float | None
    largest: float | None
    is_whole: bool
    is_ascending: bool
    is_descending: bool
    words: float
    longest: int
    digest: int

    @property
    def present(self) -> int:
        """How many rows have a value."""
        return self.rows - self.missing

    @property
    def has_gaps(self) -> bool:
        """Whether some rows have no value, or an infinite one, to learn to predict."""
        ends = (self.smallest, self.largest)
        return self.missing > 0 or any(end is not None and not math.isfinite(end) for end in ends)

    @property
    def distinct_share(self) -> float:
        """Different values by rows that have one: 1 where each occurs once."""
        return min(1.0, self.distinct / self.present) if self.present else 0.0

    @property
    def is_number(self) -> bool:
        """Whether rows have a number each."""
        return not self.is_list and self.kind in (Kind.BOOLEAN, Kind.INTEGER, Kind.FLOAT)

    @property
    def is_time(self) -> bool:
        """Whether rows have a time each."""
        return not self.is_list and self.kind in (Kind.TIME, Kind.ZONED_TIME)


@dataclass
class ColumnReader:
    """Describes a column while its batches pass."""

    name: str
    kind: Kind
    _distinct: Distinct = field(default_factory=Distinct)
    _counts: Counter[Value] = field(default_factory=Counter)
    _rows: int = 0
    _missing: int = 0
    _is_list: bool = False
    _is_whole: bool = True
    _ascending: bool = True
    _descending: bool = True
    _last: float | None = None
    _smallest: float | None = None
    _largest: float | None = None
    _words: int = 0
    _longest: int = 0
    _digest: int = 0

    def add(self, column: pa.Array | None, rows: int) -> tuple[pa.Array, Hashes]:
        """Takes the next rows.

        Args:
          column: the values of a batch; None where the batch has no such column.
          rows: how many rows the batch has.

        Returns:
          The values in their normal form, and a hash of each row's.
        """
        if column is None:
            column = pa.nulls(rows)
            values = normalised(column, Kind.EMPTY).cast(self._normal_type())
        else:
            self._is_list = self._is_list or is_list(column.type)
            values = normalised(column, self.kind)
        encoded = values.dictionary_encode()
        unique, indices = encoded.dictionary, encoded.indices
        of_unique = np.append(hashes(unique), NULL_HASH)
        positions = indices.fill_null(len(unique)).to_numpy(zero_copy_only=False)
        of_rows = of_unique[positions]
        counts = np.bincount(positions, minlength=len(unique) + 1)[: len(unique)]
        self._distinct.add(of_unique[:-1], counts)
        self._count(unique, counts)
        self._measure(values, unique, counts)
        self._add_to_digest(of_rows)
        self._rows += rows
        self._missing += values.null_count
        return values, of_rows

    def profile(self) -> ColumnProfile:
        """The column as a whole."""
        in_order = self._missing == 0 and self._rows > 0 and self._last is not None
        return ColumnProfile(
            name=self.name,
            kind=self.kind,
            is_list=self._is_list,
            rows=self._rows,
            missing=self._missing,
            distinct=min(self._distinct.count, self._rows - self._missing),
            is_exact=self._distinct.is_exact,
            counts=dict(self._counts) if self._distinct.count <= MOST_COUNTED else {},
            smallest=self._smallest,
            largest=self._largest,
            is_whole=self._is_whole and self._smallest is not None,
            is_ascending=in_order and self._ascending,
            is_descending=in_order and self._descending,
            words=self._words / max(1, self._rows - self._missing),
            longest=self._longest,
            digest=self._digest,
        )

    def _normal_type(self) -> pa.DataType:
        if self.kind is Kind.FLOAT:
            return pa.float64()
        return pa.large_binary() if self.kind in (Kind.TEXT, Kind.EMPTY) or self._is_list else pa.int64()

    def _count(self, unique: pa.Array, counts: np.ndarray) -> None:
        if self._distinct.count > MOST_COUNTED or len(unique) > MOST_COUNTED:
            self._counts.clear()
            return
        for value, count in zip(unique.to_pylist(), counts.tolist(), strict=True):
            self._counts[value.decode(errors="backslashreplace") if isinstance(value, bytes) else value] += count

    def _measure(self, values: pa.Array, unique: pa.Array, counts: np.ndarray) -> None:
        if not len(unique):
            return
        if pa.types.is_large_binary(values.type):
            self._longest = max(self._longest, pc.max(pc.binary_length(unique)).as_py())
            words = pc.count_substring_regex(unique, r"\S+").to_numpy(zero_copy_only=False)
            self._words += int((words * counts).sum())
            return
        numbers = values.drop_null().to_numpy(zero_copy_only=False)
        self._smallest = float(min(numbers.min(), numbers[0] if self._smallest is None else self._smallest))
        self._largest = float(max(numbers.max(), numbers[0] if self._largest is None else self._largest))
        if values.type == pa.float64():
            self._is_whole = self._is_whole and bool(np.isfinite(numbers).all() and (numbers == np.trunc(numbers)).all())
        elif self.kind in (Kind.TIME, Kind.ZONED_TIME):
            self._is_whole = self._is_whole and not (numbers % DAY).any()
        followed = numbers if self._last is None else np.concatenate([[self._last], numbers])
        self._ascending = self._ascending and bool((followed[1:] >= followed[:-1]).all())
        self._descending = self._descending and bool((followed[1:] <= followed[:-1]).all())
        self._last = numbers[-1]

    def _add_to_digest(self, of_rows: Hashes) -> None:
        with np.errstate(over="ignore"):
            places = np.arange(self._rows, self._rows + len(of_rows), dtype=np.uint64) * np.uint64(2) + np.uint64(1)
            added = (of_rows * mixed(places)).sum(dtype=np.uint64)
        self._digest = (self._digest + int(added)) % 2**64
