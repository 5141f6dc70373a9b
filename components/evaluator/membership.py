"""Which slice of a column each evaluated row is in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from components.evaluator.slices import SliceIndex, SliceKey
from components.evaluator.sums import IntArray


class Membership:
    """The rows of the slices by some columns.

    Args:
      slices: the slices, among which are those by each column alone.
      columns: the columns.
    """

    def __init__(self, slices: SliceIndex, columns: Iterable[str]) -> None:
        self._slices = slices
        self._ids: dict[str, list[IntArray]] = {column: [] for column in columns}

    def add(self, numbers: Sequence[IntArray]) -> None:
        """Adds a batch of rows.

        Args:
          numbers: for each slicing spec, the number of the slice that a row belongs to, [N], as the slices number them.
        """
        for column, ids in self._ids.items():
            ids.append(numbers[self._slices.specs.index((column,))])

    def rows(self, column: str) -> Mapping[SliceKey, IntArray]:
        """The numbers of the rows in each slice by a column."""
        ids = np.concatenate([np.zeros(0, np.int64), *self._ids[column]])
        order = np.argsort(ids, kind="stable")
        found, starts = np.unique(ids[order], return_index=True)
        parts = dict(zip(found.tolist(), np.split(order, starts[1:]), strict=True))
        return {key: parts[number] for key, number in self._slices.slices.items() if number in parts}
