"""Splitters, which divide the rows of a table between splits, batch by batch."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from components.example_gen.order import order_of
from components.example_gen.table import Rows
from components.shared.examples.encoder import encode
from components.shared.examples.kinds import Kind

TRAIN, EVAL = "train", "eval"
_HASH_RANGE = 1 << 64
_NO_VALUES: bytes = encode(pa.record_batch({"": pa.nulls(1)}), {"": Kind.EMPTY})[0].as_py()

Hashes = npt.NDArray[np.uint64]


class Splitter(Protocol):
    """Divides rows into parts."""

    def split(self, rows: Rows) -> dict[str, pa.Array]:
        """Serialized tf.Examples (large_binary) by the name of their part, in their order."""


@dataclass(frozen=True)
class Whole:
    """Leaves the rows together, since their span decides on the split."""

    PART = "all"

    def split(self, rows: Rows) -> dict[str, pa.Array]:
        """All rows under one name."""
        return {self.PART: rows.examples}


@dataclass(frozen=True)
class Hashed:
    """Assigns a row to `train` or `eval` by its content alone: not by its place, its file or the file's format.

    As in TFX's stock ExampleGen the hash is SHA-256 of the serialized example, so equal rows share a split.

    Attributes:
      threshold: rows with a smaller hash are in `eval`.
    """

    threshold: int

    def split(self, rows: Rows) -> dict[str, pa.Array]:
        """The rows of `train` and of `eval`."""
        return _divided(rows, hashes_of(rows.examples) < np.uint64(self.threshold))


@dataclass(frozen=True)
class Stratified:
    """Assigns a row to `train` or `eval` by its content, with a threshold for each class.

    Attributes:
      column: the column of the classes; None where there is one threshold for all, under the key 0.
      kinds: the kinds of the table's columns.
      thresholds: the threshold by the hash of the class.
    """

    column: str | None
    kinds: Mapping[str, Kind] = field(repr=False)
    thresholds: Mapping[int, int]

    def split(self, rows: Rows) -> dict[str, pa.Array]:
        """The rows of `train` and of `eval`."""
        known, thresholds = (np.array(values, np.uint64) for values in zip(*sorted(self.thresholds.items()), strict=True))
        classes = classes_of(rows.batch, self.column, self.kinds)
        return _divided(rows, hashes_of(rows.examples) < thresholds[np.searchsorted(known, classes)])


@dataclass(frozen=True)
class Grouped:
    """Assigns rows with the same values in some columns to one split; rows without any of these values each on its own.

    Attributes:
      columns: the columns.
      kinds: the kinds of the table's columns.
      threshold: groups with a smaller hash are in `eval`.
      threshold_of_rows: rows without a group with a smaller hash are in `eval`.
    """

    columns: tuple[str, ...]
    kinds: Mapping[str, Kind] = field(repr=False)
    threshold: int
    threshold_of_rows: int

    def split(self, rows: Rows) -> dict[str, pa.Array]:
        """The rows of `train` and of `eval`."""
        groups, has_group = groups_of(rows.batch, self.columns, self.kinds)
        in_eval = groups < np.uint64(self.threshold)
        if not has_group.all():
            alone = hashes_of(rows.examples.filter(pa.array(~has_group)))
            in_eval[~has_group] = alone < np.uint64(self.threshold_of_rows)
        return _divided(rows, in_eval)


@dataclass(frozen=True)
class Chronological:
    """Assigns rows to `train` before a boundary and to `eval` from the boundary on; rows without a value to `train`.

    Attributes:
      column: the column that orders the rows.
      kind: its kind.
      last: rows between this value and the boundary are in neither split; None for no gap.
      boundary: the first value of `eval`.
    """

    column: str
    kind: Kind
    last: int | float | None
    boundary: int | float

    def split(self, rows: Rows) -> dict[str, pa.Array]:
        """The rows of `train` and of `eval`."""
        values, has_value = order_of(rows.batch, self.column, self.kind)
        in_eval = has_value & (values >= self.boundary)
        in_train = ~in_eval if self.last is None else ~has_value | (values <= self.last)
        return _divided(rows, in_eval, in_train)


def identity(splitter: Splitter) -> str:
    """A digest of all that decides to which part a row belongs, but the row and the kinds of its columns."""
    return hashlib.sha256(repr(splitter).encode()).hexdigest()


def threshold_for(fraction: float) -> int:
    """The threshold below which this share of all possible hashes lies."""
    return int(fraction * _HASH_RANGE)


def hashes_of(examples: pa.Array) -> Hashes:
    """A hash of each serialized example: the first 8 bytes of its SHA-256."""
    digests = b"".join(hashlib.sha256(example).digest()[:8] for example in examples.to_pylist())
    return np.frombuffer(digests, "<u8")


def classes_of(batch: pa.RecordBatch, column: str | None, kinds: Mapping[str, Kind]) -> Hashes:
    """A hash of the class of each row; 0 for all rows where no column has classes."""
    return np.zeros(len(batch), np.uint64) if column is None else groups_of(batch, (column,), kinds)[0]


def groups_of(
    batch: pa.RecordBatch, columns: tuple[str, ...], kinds: Mapping[str, Kind]
) -> tuple[Hashes, npt.NDArray[np.bool_]]:
    """A hash of the values that each row has in some columns, and whether it has any of them.

    The hash is that of the tf.Example of these columns: a value is the same in every format and in every file.
    """
    there = [name for name in columns if name in batch.schema.names]
    keys = encode(batch.select(there), kinds) if there else pa.array([_NO_VALUES] * len(batch), pa.large_binary())
    keys = keys.dictionary_encode()
    positions = keys.indices.to_numpy()
    has_any = np.array([key != _NO_VALUES for key in keys.dictionary.to_pylist()], np.bool_)
    return hashes_of(keys.dictionary)[positions], has_any[positions]


def _divided(rows: Rows, in_eval: npt.NDArray[np.bool_], in_train: npt.NDArray[np.bool_] | None = None) -> dict[str, pa.Array]:
    in_train = ~in_eval if in_train is None else in_train
    return {TRAIN: rows.examples.filter(pa.array(in_train)), EVAL: rows.examples.filter(pa.array(in_eval))}
