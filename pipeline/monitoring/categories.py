"""The values of a column of text, counted in one pass and bounded memory."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from pipeline.monitoring.numbers import IntArray

MOST_VALUES = 50_000
"""Where a column has more different values, only the sizes of groups of values are kept."""
_GROUPS = 4096


class Categories:
    """How often each value occurs; of more than `MOST_VALUES` values, how often those of each of 4,096 groups by hash."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._groups: IntArray | None = None

    def add(self, values: pa.Array) -> None:
        """Counts values, [N] of text, none of which is null."""
        counted = values.value_counts()
        names, counts = counted.field("values"), np.asarray(counted.field("counts"))
        if self._groups is not None:
            np.add.at(self._groups, _groups_of(names.to_numpy(zero_copy_only=False)), counts)
            return
        for name, count in zip(names.to_pylist(), counts.tolist(), strict=True):
            self._counts[name] = self._counts.get(name, 0) + count
        if len(self._counts) > MOST_VALUES:
            self._groups, self._counts = self._grouped(), {}

    @property
    def is_grouped(self) -> bool:
        """Whether there are too many different values to keep them."""
        return self._groups is not None

    @property
    def counts(self) -> dict[str, int]:
        """How often each value occurs; empty where there are too many."""
        return self._counts

    @property
    def rows(self) -> int:
        """How many values have been counted."""
        return int(self._groups.sum()) if self._groups is not None else sum(self._counts.values())

    def top(self, most: int) -> list[tuple[str, int]]:
        """The most frequent values with their counts, most frequent first."""
        return sorted(self._counts.items(), key=lambda each: (-each[1], each[0]))[:most]

    def unseen(self, known: Categories) -> IntArray | None:
        """How often each value occurs that another column does not have, [values]; None where that column's are not kept.

        Of values in groups, those in groups without a value of the other column are counted, which are too few rather than too
        many.
        """
        if known.is_grouped:
            return None
        if self._groups is not None:
            return self._groups[(self._groups > 0) & (known._grouped() == 0)]
        return np.array([count for value, count in self._counts.items() if value not in known._counts], np.int64)

    def _grouped(self) -> IntArray:
        if self._groups is not None:
            return self._groups
        groups = np.zeros(_GROUPS, np.int64)
        if self._counts:
            np.add.at(groups, _groups_of(np.array(list(self._counts), object)), list(self._counts.values()))
        return groups


def common_values(columns: Sequence[Categories]) -> tuple[list[str], IntArray]:
    """The values, or groups of values, that columns have together.

    Returns:
      Their names, [values], empty for groups; and how often each column has them, [columns, values].
    """
    if any(each.is_grouped for each in columns):
        table = np.stack([each._grouped() for each in columns])
        return [""] * _GROUPS, table
    names = sorted({value for each in columns for value in each.counts})
    return names, np.array([[each.counts.get(name, 0) for name in names] for each in columns], np.int64).reshape(
        len(columns), len(names)
    )


def _groups_of(values: npt.NDArray[np.object_]) -> IntArray:
    """The group of each text, [N], the same in every process."""
    hashed: IntArray = (pd.util.hash_array(values, categorize=False) % np.uint64(_GROUPS)).astype(np.int64)
    return hashed
