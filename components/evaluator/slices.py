"""The slices of TFMA by feature keys, numbered, for whole batches of rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from tensorflow_model_analysis.proto import metrics_for_slice_pb2
from tensorflow_model_analysis.slicer import slicer_lib as slicer

from components.evaluator.sums import IntArray
from components.shared.fast_executor import UnsupportedError

# As TFMA names a slice: pairs of column and value, sorted; () for all rows together.
SliceKey = tuple[tuple[str, Any], ...]


@dataclass(frozen=True)
class Column:
    """A feature of a batch of rows, where each row has one value or none.

    Attributes:
      values: the values of the rows that have one, in the order of the rows.
      present: whether each row has a value, [N].
    """

    values: pa.Array
    present: np.ndarray

    @classmethod
    def of(cls, batch: pa.RecordBatch, name: str) -> Column:
        """A feature of decoded examples; one that the batch lacks has no values.

        Raises:
          UnsupportedError: a row has several values.
        """
        index = batch.schema.get_field_index(name)
        if index < 0 or pa.types.is_null(batch.column(index).type):
            return cls(pa.array([]), np.zeros(batch.num_rows, bool))
        lists = batch.column(index)
        counts = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)
        if (counts > 1).any():
            raise UnsupportedError(f"the column {name!r} has rows with several values")
        return cls(lists.flatten(), counts == 1)


class SliceIndex:
    """The slices that divide rows by each spec, numbered in the order in which they are first seen.

    Args:
      specs: the feature keys of each slicing spec; an empty spec for all rows together.
    """

    def __init__(self, specs: Iterable[Sequence[str]]) -> None:
        # As a set, for a spec given twice counts once, and the order of its columns does not matter.
        self._specs = sorted({tuple(sorted(set(spec))) for spec in specs})
        self._ids: dict[SliceKey, int] = {}

    @property
    def columns(self) -> set[str]:
        """The columns that rows are divided by."""
        return {column for spec in self._specs for column in spec}

    @property
    def specs(self) -> Sequence[tuple[str, ...]]:
        """The columns of each spec, in the order in which rows are numbered by them."""
        return self._specs

    @property
    def slices(self) -> Mapping[SliceKey, int]:
        """The slices seen, with their numbers."""
        return self._ids

    def number(self, columns: Mapping[str, Column], num_rows: int) -> list[IntArray]:
        """The slices of a batch of rows.

        Args:
          columns: at least those in `columns`.
          num_rows: N.

        Returns:
          For each slicing spec the number of the slice that a row belongs to, [N]; -1 where it belongs to none because it
          lacks a value.

        Raises:
          UnsupportedError: a value is NaN, or bytes that are not UTF-8.
        """
        codes = {name: _codes(name, columns[name]) for name in self.columns}
        return [self._number(spec, codes, num_rows) for spec in self._specs]

    def _number(self, spec: tuple[str, ...], codes: Mapping[str, tuple[IntArray, list[Any]]], num_rows: int) -> IntArray:
        combined = np.zeros(num_rows, np.int64)
        member = np.ones(num_rows, bool)
        for name in spec:
            column_codes, values = codes[name]
            combined = combined * len(values) + column_codes
            member &= column_codes >= 0
        ids = np.full(num_rows, -1, np.int64)
        seen, inverse = np.unique(combined[member], return_inverse=True)
        ids[member] = np.array([self._id(spec, codes, code) for code in seen.tolist()], np.int64)[inverse]
        return ids

    def _id(self, spec: tuple[str, ...], codes: Mapping[str, tuple[IntArray, list[Any]]], combined: int) -> int:
        key = []
        for name in reversed(spec):
            values = codes[name][1]
            combined, code = divmod(combined, len(values))
            key.append((name, values[code]))
        return self._ids.setdefault(tuple(reversed(key)), len(self._ids))


def value_of(key: SliceKey) -> str:
    """The value that the rows of a slice by one column have, as the results of an evaluation have it."""
    (single,) = slicer.serialize_slice_key(key).single_slice_keys
    return value_in(single)


def value_in(single: metrics_for_slice_pb2.SingleSliceKey) -> str:
    """The value in the results of an evaluation."""
    value = getattr(single, single.WhichOneof("kind") or "bytes_value")
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _codes(name: str, column: Column) -> tuple[IntArray, list[Any]]:
    """A number for each row's value, [N], -1 without one, and the values by number."""
    codes = np.full(len(column.present), -1, np.int64)
    if not column.present.any():
        return codes, []
    encoded = column.values.dictionary_encode()
    codes[column.present] = encoded.indices.to_numpy()
    values = encoded.dictionary.to_pylist()
    if any(value != value for value in values):
        raise UnsupportedError(f"the column {name!r} has NaN among the values to slice by")
    try:
        return codes, [value.decode() if isinstance(value, bytes) else value for value in values]
    except UnicodeDecodeError:
        raise UnsupportedError(f"the column {name!r} has values that are not UTF-8") from None
