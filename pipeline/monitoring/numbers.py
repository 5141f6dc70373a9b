"""The distribution of a column of numbers, counted in one pass and bounded memory."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]

_MOST_CELLS = 1 << 17
_FIRST_SHIFT = 40
_MAGNITUDE = np.int64(2**63 - 1)


class Numbers:
    """How many numbers are in each cell of a grid that does not depend on the data, so that any two columns have common cells.

    A cell holds the numbers that agree in sign, exponent and the first bits of the mantissa, 12 at first: whole numbers below
    4,096 have cells of their own, others one of 0.02 % of their size. Where there would be too many cells, they are doubled.
    """

    def __init__(self) -> None:
        self._shift = _FIRST_SHIFT
        self._keys: IntArray = np.zeros(0, np.int64)
        self._counts: IntArray = np.zeros(0, np.int64)
        self._pending: list[tuple[IntArray, IntArray]] = []
        self._num_pending = 0
        self.smallest, self.largest = math.inf, -math.inf
        self.sum, self.squares, self.zeros = 0.0, 0.0, 0

    def add(self, values: FloatArray) -> None:
        """Counts numbers, [N], all of which are finite."""
        if not len(values):
            return
        self.smallest, self.largest = min(self.smallest, float(values.min())), max(self.largest, float(values.max()))
        with np.errstate(over="ignore"):
            self.sum += float(values.sum())
            self.squares += float(np.square(values).sum())
        self.zeros += int(np.count_nonzero(values == 0))
        bits = values.view(np.int64)
        keys, counts = np.unique(np.where(bits < 0, -1, 1) * ((bits & _MAGNITUDE) >> self._shift), return_counts=True)
        self._pending.append((keys, counts))
        self._num_pending += len(keys)
        if self._num_pending > _MOST_CELLS:
            self._merge()

    @property
    def rows(self) -> int:
        """How many numbers have been counted."""
        return int(self.cells()[1].sum())

    @property
    def mean(self) -> float:
        """The mean; NaN without numbers."""
        return self.sum / self.rows if self.rows else math.nan

    @property
    def std(self) -> float:
        """The standard deviation; NaN without numbers, and where squares are too large for a float."""
        spread = self.squares / self.rows - self.mean * self.mean if self.rows else math.nan
        return math.sqrt(max(spread, 0.0)) if math.isfinite(spread) else math.nan

    def cells(self) -> tuple[IntArray, IntArray]:
        """The cells that have numbers, ascending, [K], and how many each has, [K]."""
        self._merge()
        return self._keys, self._counts

    def values(self) -> FloatArray:
        """The number of each cell, to the width of a cell, [K]."""
        return np.array([_value(key, self._shift) for key in self.cells()[0].tolist()], np.float64)

    def quantile(self, share: float) -> float:
        """The number that a share of the others is below, to the width of a cell; NaN without numbers."""
        keys, counts = self.cells()
        if not len(keys):
            return math.nan
        place = int(np.searchsorted(np.cumsum(counts), share * counts.sum()))
        value = _value(int(keys[min(place, len(keys) - 1)]), self._shift)
        return min(max(value, self.smallest), self.largest)

    def counts_between(self, edges: FloatArray) -> IntArray:
        """How many are in each of the bins that edges divide, to the width of a cell, [edges + 1]."""
        keys, counts = self.cells()
        borders = np.array([_key(float(edge), self._shift) for edge in edges], np.int64)
        result = np.zeros(len(edges) + 1, np.int64)
        np.add.at(result, np.searchsorted(borders, keys, side="right"), counts)
        return result

    def outside(self, low: float, high: float) -> int:
        """How many are surely below `low` or above `high`."""
        keys, counts = self.cells()
        edges = np.array([_key(low, self._shift), _key(high, self._shift)])
        return int(counts[(keys < edges[0]) | (keys > edges[1])].sum())

    def _merge(self) -> None:
        if self._pending:
            keys, counts = zip((self._keys, self._counts), *self._pending, strict=True)
            self._keys, self._counts = _summed(np.concatenate(keys), np.concatenate(counts))
            self._pending, self._num_pending = [], 0
        while len(self._keys) > _MOST_CELLS:
            self._coarsen()

    def _coarsen(self) -> None:
        self._keys, self._counts = _summed(_halved(self._keys, 1), self._counts)
        self._shift += 1


def common_bins(columns: Sequence[Numbers], most: int, fewest_rows: float) -> tuple[FloatArray, IntArray]:
    """Divides what columns have together into bins with about as many numbers each.

    The bins follow from all columns at once, so that none of them is closer to its bins than the others. A value that many rows
    have is a bin of its own.

    Args:
      columns: the columns.
      most: how many bins there may be.
      fewest_rows: how many numbers a bin must have, in the smallest column, if all columns were alike; one with fewer is joined
        with its neighbour.

    Returns:
      The lower ends of the bins, to the width of a cell, and the end of the last, [bins + 1]; and the numbers
      in each, [columns, bins].
    """
    shift = max(each._shift for each in columns)
    found = [(_halved(keys, shift - each._shift), counts) for each in columns for keys, counts in [each.cells()]]
    keys = np.unique(np.concatenate([each for each, _ in found]))
    table = np.zeros((len(columns), len(keys)), np.int64)
    for row, (own, counts) in zip(table, found, strict=True):
        np.add.at(row, np.searchsorted(keys, own), counts)
    total = table.sum()
    if not total:
        return np.zeros(0), np.zeros((len(columns), 0), np.int64)
    pooled = table.sum(axis=0)
    middles = np.cumsum(pooled) - pooled / 2
    numbers = np.minimum((middles * most / total).astype(np.int64), most - 1)
    starts = _joined(pooled, numbers, fewest_rows * total / max(1, table.sum(axis=1).min()))
    low, high = min(each.smallest for each in columns), max(each.largest for each in columns)
    edges = [low, *(_value(int(keys[start]), shift) for start in starts[1:]), high]
    return np.clip(edges, low, high), np.add.reduceat(table, starts, axis=1)


def even_bins(columns: Sequence[Numbers], number: int) -> tuple[FloatArray, IntArray]:
    """Divides the range of nearly all numbers of some columns into bins of the same width, to be drawn.

    Args:
      columns: the columns, each with numbers.
      number: how many bins.

    Returns:
      The ends of the bins, [number + 1], and the numbers in each, [columns, number]; those beyond are in the outermost.
    """
    low = min(each.quantile(0.002) for each in columns)
    high = max(each.quantile(0.998) for each in columns)
    edges = np.linspace(low, high if high > low else low + 1, number + 1)
    return edges, np.stack([each.counts_between(edges[1:-1]) for each in columns])


def _joined(pooled: IntArray, numbers: IntArray, fewest: float) -> list[int]:
    """Where bins begin, so that each has enough rows."""
    borders = np.flatnonzero(np.diff(numbers, prepend=-1))
    starts, size = [0], 0
    for start, end in zip(borders, [*borders[1:], len(pooled)], strict=True):
        if size and size >= fewest:
            starts.append(int(start))
            size = 0
        size += int(pooled[start:end].sum())
    if size < fewest and len(starts) > 1:
        starts.pop()
    return starts


def _summed(keys: IntArray, counts: IntArray) -> tuple[IntArray, IntArray]:
    unique, inverse = np.unique(keys, return_inverse=True)
    sums = np.zeros(len(unique), np.int64)
    np.add.at(sums, inverse, counts)
    return unique, sums


def _halved(keys: IntArray, times: int) -> IntArray:
    return np.sign(keys) * (np.abs(keys) >> times)


def _key(value: float, shift: int) -> int:
    bits = int(np.float64(abs(value)).view(np.int64)) >> shift
    return -bits if value < 0 else bits


def _value(key: int, shift: int) -> float:
    """The number of a cell that is nearest to 0."""
    magnitude = float(np.int64(abs(key) << shift).view(np.float64))
    return -magnitude if key < 0 else magnitude
