"""What is remembered of a table of any length in bounded memory."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.profile.values import Hashes, mixed

_HASHES = 2.0**64


class Distinct:
    """How many different values there are: exactly up to `kept`, beyond that estimated from the smallest hashes.

    The estimator of Bar-Yossef et al., "Counting Distinct Elements in a Data Stream" (2002); its relative standard error is
    about 1 / sqrt(kept). A hash that is kept in the end has been from its first value on, so its occurrences are exact.

    Args:
      kept: how many hashes are remembered.
    """

    def __init__(self, kept: int = 16_384) -> None:
        self._kept = kept
        self._hashes: Hashes = np.empty(0, np.uint64)
        self._counts: npt.NDArray[np.int64] = np.empty(0, np.int64)
        self._is_full = False

    def add(self, hashes: Hashes, counts: npt.NDArray[np.int64] | None = None) -> None:
        """Counts values by their hashes.

        Args:
          hashes: one for each value, repeated or not.
          counts: how many times each occurs; once when None.
        """
        if self._is_full:
            small = hashes < self._hashes[-1]
            small |= hashes == self._hashes[-1]
            hashes, counts = hashes[small], None if counts is None else counts[small]
        if not len(hashes):
            return
        added = np.ones(len(hashes), np.int64) if counts is None else counts
        merged, positions = np.unique(np.concatenate([self._hashes, hashes]), return_inverse=True)
        totals = np.bincount(positions, weights=np.concatenate([self._counts, added])).astype(np.int64)
        self._is_full = self._is_full or len(merged) > self._kept
        self._hashes, self._counts = merged[: self._kept], totals[: self._kept]

    @property
    def is_exact(self) -> bool:
        """Whether every value is still remembered."""
        return not self._is_full

    @property
    def count(self) -> int:
        """How many different values there were, exactly or by estimate."""
        if self.is_exact:
            return len(self._hashes)
        return round((self._kept - 1) * _HASHES / float(self._hashes[-1]))

    @property
    def repeated_share(self) -> float:
        """The share of occurrences that are not the first of their value, by what is remembered."""
        total = int(self._counts.sum())
        return 1 - len(self._counts) / total if total else 0.0


class RowSample:
    """Rows drawn evenly from all, the same ones for the same table.

    Args:
      size: how many rows are kept.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._batches: list[pa.RecordBatch] = []
        self._priorities: list[Hashes] = []
        self._limit = np.uint64(2**64 - 1)
        self._seen = self._held = 0

    def add(self, columns: Sequence[pa.Array], names: Sequence[str]) -> None:
        """Offers the next rows.

        Args:
          columns: their values, of one length.
          names: the columns' names.
        """
        rows = len(columns[0])
        priorities = mixed(np.arange(self._seen, self._seen + rows, dtype=np.uint64))
        self._seen += rows
        chosen = np.flatnonzero(priorities <= self._limit)
        if len(chosen):
            batch = pa.RecordBatch.from_arrays(list(columns), list(names))
            self._batches.append(batch.take(pa.array(chosen)))
            self._priorities.append(priorities[chosen])
            self._held += len(chosen)
        if self._held > 2 * self._size:
            self._shrink()

    def rows(self) -> pa.Table:
        """The rows that were drawn, in the order of the table."""
        if self._held > self._size:
            self._shrink()
        return pa.Table.from_batches(self._batches).combine_chunks()

    def _shrink(self) -> None:
        priorities = np.concatenate(self._priorities)
        self._limit = np.partition(priorities, self._size - 1)[self._size - 1]
        kept = np.flatnonzero(priorities <= self._limit)
        table = pa.Table.from_batches(self._batches).take(pa.array(kept)).combine_chunks()
        self._batches, self._priorities, self._held = table.to_batches(), [priorities[kept]], len(kept)
