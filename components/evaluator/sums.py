"""Sums of row values by slice, in bulk: dense where every slice has a number, sparse where few of many bins are filled."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]

# Sparse sums are merged when this many entries have come in: some 100 MB at the most.
_PENDING_ENTRIES = 1 << 20


class SliceSums:
    """Sums of `width` values a row, by slice."""

    def __init__(self, width: int) -> None:
        self._sums: FloatArray = np.zeros((0, width))

    def add(self, slices: Sequence[IntArray], values: FloatArray) -> None:
        """Adds rows.

        Args:
          slices: for each slicing spec, the number of the slice that a row belongs to, [N]; -1 where it belongs to none.
          values: [N, width].
        """
        for ids in slices:
            self._grow(int(ids.max(initial=-1)) + 1)
            for column in range(values.shape[1]):
                # Shifted by one, so that rows without a slice are counted apart, in a bin of their own.
                counted = np.bincount(ids + 1, weights=values[:, column])[1:]
                self._sums[: len(counted), column] += counted

    def of(self, slice_id: int) -> FloatArray:
        """The sums of one slice, [width]; zeros for a slice without rows."""
        self._grow(slice_id + 1)
        return self._sums[slice_id]

    def _grow(self, size: int) -> None:
        missing = size - len(self._sums)
        if missing > 0:
            self._sums = np.concatenate([self._sums, np.zeros((missing, self._sums.shape[1]))])


class BinnedSums:
    """Sums of `width` values a row, by slice and bin. Only bins that have rows take memory."""

    def __init__(self, num_bins: int, width: int) -> None:
        self._num_bins = num_bins
        self._pending: list[tuple[IntArray, FloatArray]] = []
        self._num_pending = 0
        self._keys: IntArray = np.zeros(0, np.int64)
        self._sums: FloatArray = np.zeros((0, width))

    def add(self, slices: Sequence[IntArray], bins: IntArray, values: FloatArray) -> None:
        """Adds rows.

        Args:
          slices: for each slicing spec, the number of the slice that a row belongs to, [N]; -1 where it belongs to none.
          bins: between 0 and num_bins - 1, [N].
          values: [N, width].
        """
        for ids in slices:
            member = ids >= 0
            self._pending.append(merged(ids[member] * self._num_bins + bins[member], values[member]))
            self._num_pending += len(self._pending[-1][0])
        if self._num_pending > _PENDING_ENTRIES:
            self._merge()

    def of(self, slice_id: int) -> tuple[IntArray, FloatArray]:
        """The bins of one slice that have rows, ascending, [K], and their sums, [K, width]."""
        self._merge()
        start, end = np.searchsorted(self._keys, [slice_id * self._num_bins, (slice_id + 1) * self._num_bins])
        return self._keys[start:end] - slice_id * self._num_bins, self._sums[start:end]

    def _merge(self) -> None:
        if self._pending:
            keys, sums = zip((self._keys, self._sums), *self._pending, strict=True)
            self._keys, self._sums = merged(np.concatenate(keys), np.concatenate(sums))
            self._pending, self._num_pending = [], 0


def merged(keys: IntArray, values: FloatArray) -> tuple[IntArray, FloatArray]:
    """The distinct ones of K keys, ascending, and the sums of the rows of values, [K, width], that they have in common."""
    unique, inverse = np.unique(keys, return_inverse=True)
    columns = [np.bincount(inverse, weights=values[:, column], minlength=len(unique)) for column in range(values.shape[1])]
    return unique, np.stack(columns, axis=1)
