"""Which rows of the training split are learnt from, and which judge what was learnt: as the splits are divided, so are these.

| `data.split.method` | the rows that judge                                    | folds of a tiny table                       |
| ------------------- | ------------------------------------------------------ | ------------------------------------------- |
| `hash`              | drawn at random, each rare class in its share          | at random                                   |
| `window`, `time`    | those of the newest spans or times, judged by older    | each judged by what is older than its rows  |
| `group`             | whole groups, drawn at random                          | of whole groups                             |
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar, Protocol

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from pipeline.config import Split
from pipeline.config.split import duration
from pipeline.training import raw

Indices = npt.NDArray[np.int64]
Classes = npt.NDArray[np.int64]
Part = tuple[Indices, Indices]
"""Rows to learn from, and rows that judge what was learnt, ascending each."""

_NUM_FOLDS = 5
# Rows times outputs.
_MOST_FOR_FOLDS = 2_000
# Of a class: with fewer expected among the validation rows, each class gets its share exactly.
_ROWS_OF_A_CLASS = 100
# Of all rows: of a newest span or time that has more, not all rows are held back.
_MOST_HELD_BACK = 1 / 3
# Of all rows: those that are in a fold where rows are in order. What judges the oldest fold has learnt from the others.
_IN_FOLDS = 1 / 2


@dataclass(frozen=True)
class Division:
    """Which rows are learnt from, and which judge.

    Attributes:
      train: the rows that the network learns from.
      validation: those held back from it; may be empty.
      parts: what other members learn from and are judged by: `train` and `validation`, or folds where these are few or none.
      num_rows: all rows, of which some may be in no part.
      seed: that of the training.
      is_ordered: whether the rows that judge are newer than those learnt from. What all of them are off by says little of later
        times, so it does not count; and as the newest rows are the most like those to come, models learn again from all rows.
      words: how the validation rows were chosen.
    """

    train: Indices
    validation: Indices
    parts: tuple[Part, ...]
    num_rows: int
    seed: int
    is_ordered: bool
    words: str

    @property
    def judged(self) -> Indices:
        """The rows for which members have outputs, none of which they have learnt from: the validation rows, or more."""
        return np.sort(np.concatenate([judged for _, judged in self.parts]))


class Arrangement(Protocol):
    """How rows belong together."""

    words: ClassVar[str]

    @property
    def num_rows(self) -> int:
        """How many there are."""

    def hold_back(self, fraction: float, seed: int) -> Part:
        """Holds about a share of the rows back, more than 0."""

    def folds(self, fraction: float, seed: int) -> list[Part]:
        """Several parts. Each row judges once at the most, and those do that `hold_back` holds back."""


def divide(rows: Arrangement, fraction: float, seed: int, num_outputs: int) -> Division:
    """Divides rows, the same way for the same rows and seed.

    Args:
      rows: the rows.
      fraction: the share to hold back; 0 for none.
      seed: the seed of what is random.
      num_outputs: how many numbers models put out for a row.
    """
    part = rows.hold_back(fraction, seed) if fraction else (np.arange(rows.num_rows), np.empty(0, np.int64))
    is_tiny = rows.num_rows * num_outputs <= _MOST_FOR_FOLDS or not len(part[1])
    parts = rows.folds(fraction, seed) if is_tiny else [part]
    return Division(*part, tuple(parts), rows.num_rows, seed, isinstance(rows, Ordered), rows.words)


def arranged(
    split: Split,
    num_rows: int,
    columns: Mapping[str, npt.NDArray[np.generic]],
    spans: Sequence[int],
    classes: Classes | None,
) -> Arrangement:
    """How rows belong together, by how the splits were divided.

    Args:
      split: how they were.
      num_rows: the rows of the training split.
      columns: the columns that divided them, as `raw.to_dense` makes them, [N] each; empty where the schema lacks one.
      spans: how many rows are of each span, oldest first; empty where that is not known.
      classes: the class of each row, [N]; None where there are none.
    """
    if split.method == "group" and columns:
        groups = _groups(list(columns.values()))
        if groups.max() > 0:
            return Grouped(groups)
    if split.method == "time" and columns:
        [values] = columns.values()
        positions = np.where(np.isnan(values), -np.inf, values) if values.dtype.kind == "f" else values
        if positions.min() < positions.max():
            return Ordered(positions, _gap(split), classes)
    if split.method == "window" and sum(spans) == num_rows and np.count_nonzero(spans) > 1:
        return Ordered(np.repeat(np.arange(len(spans)), spans), 0.0, classes)
    return Unrelated(num_rows, classes)


@dataclass(frozen=True)
class Unrelated:
    """Rows of which none is more like those to come than another.

    Attributes:
      num_rows: how many there are.
      classes: the class of each, [N]; None where there are none.
    """

    num_rows: int
    classes: Classes | None = None
    words: ClassVar[str] = "drawn at random"

    def hold_back(self, fraction: float, seed: int) -> Part:
        """Draws rows at random."""
        held_back = _drawn(np.arange(self.num_rows), fraction, self.classes, seed)
        return np.setdiff1d(np.arange(self.num_rows), held_back), held_back

    def folds(self, fraction: float, seed: int) -> list[Part]:
        """Each row judges once."""
        return _parts(np.random.default_rng(seed).permutation(self.num_rows) % _NUM_FOLDS)


@dataclass(frozen=True)
class Ordered:
    """Rows of which the newest are most like those to come.

    Attributes:
      positions: a number for each row, [N], the larger the newer; at least two different ones.
      gap: by how much older than the rows which judge those must be that are learnt from.
      classes: the class of each row, [N]; None where there are none.
    """

    positions: npt.NDArray[Any]
    gap: float
    classes: Classes | None
    words: ClassVar[str] = "the newest"

    @property
    def num_rows(self) -> int:
        """How many there are."""
        return len(self.positions)

    def hold_back(self, fraction: float, seed: int) -> Part:
        """Holds the newest rows back; where most have one position, some of these, as nothing says which are newer."""
        boundary = self._boundary(fraction)
        newest = np.flatnonzero(self.positions >= boundary)
        if len(newest) <= max(_MOST_HELD_BACK, fraction) * self.num_rows:
            return self._before(boundary), newest
        classes = None if self.classes is None else self.classes[newest]
        held_back = _drawn(newest, fraction * self.num_rows / len(newest), classes, seed)
        return np.setdiff1d(np.arange(self.num_rows), held_back), held_back

    def folds(self, fraction: float, seed: int) -> list[Part]:
        """The newer half of the rows in order, each fold judged by what was learnt from rows that are older than it."""
        share = max(_IN_FOLDS, fraction)
        edges = sorted({self._boundary(share * (1 - fold / _NUM_FOLDS)) for fold in range(_NUM_FOLDS)})
        return [
            (self._before(edge), np.flatnonzero((self.positions >= edge) & (self.positions < following)))
            for edge, following in pairwise([*edges, np.inf])
        ]

    def _boundary(self, share: float) -> float:
        """The position from which on the number of rows is nearest to a share of them, but not all."""
        positions, counts = np.unique(self.positions, return_counts=True)
        newer = np.cumsum(counts[::-1])[::-1]
        return positions[1 + np.argmin(np.abs(newer[1:] - share * self.num_rows))].item()

    def _before(self, boundary: float) -> Indices:
        """The rows before a position, without those in the gap where at least half are left."""
        before, apart = self.positions < boundary, self.positions <= boundary - self.gap
        return np.flatnonzero(apart if self.gap and 2 * apart.sum() >= before.sum() else before)


@dataclass(frozen=True)
class Grouped:
    """Rows that come in groups: those to come are of others.

    Attributes:
      groups: the number of each row's group, [N], from 0; there are at least two.
    """

    groups: npt.NDArray[np.int64]
    words: ClassVar[str] = "whole groups, drawn at random"

    @property
    def num_rows(self) -> int:
        """How many there are."""
        return len(self.groups)

    def hold_back(self, fraction: float, seed: int) -> Part:
        """Draws groups at random, passing over those that are too large."""
        sizes, order = self._drawn(seed)
        is_held_back = np.zeros(len(sizes), np.bool_)
        missing = fraction * self.num_rows
        for group in order:
            if abs(missing - sizes[group]) < abs(missing):
                is_held_back[group] = True
                missing -= sizes[group]
        if not is_held_back.any() or is_held_back.all():
            is_held_back = np.arange(len(sizes)) == sizes.argmin()
        return np.flatnonzero(~is_held_back[self.groups]), np.flatnonzero(is_held_back[self.groups])

    def folds(self, fraction: float, seed: int) -> list[Part]:
        """Each row judges once; folds are as equal as groups allow."""
        sizes, order = self._drawn(seed)
        fold, rows = np.empty(len(sizes), np.int64), np.zeros(min(_NUM_FOLDS, len(sizes)))
        for group in order[np.argsort(-sizes[order], kind="stable")]:
            fold[group] = rows.argmin()
            rows[fold[group]] += sizes[group]
        return _parts(fold[self.groups])

    def _drawn(self, seed: int) -> tuple[npt.NDArray[np.int64], Indices]:
        """How many rows each group has, and the groups in an order at random."""
        sizes = np.bincount(self.groups)
        return sizes, np.random.default_rng(seed).permutation(len(sizes))


def _drawn(rows: Indices, share: float, classes: Classes | None, seed: int) -> Indices:
    """A share of rows at random, ascending, but not all; each class has it too where chance might leave few of one, or none."""
    order = np.random.default_rng(seed).permutation(len(rows))
    apart = [order]
    if classes is not None and share * np.unique(classes, return_counts=True)[1].min() < _ROWS_OF_A_CLASS:
        apart = [order[classes[order] == each] for each in np.unique(classes)]
    return np.sort(rows[np.concatenate([some[: min(round(share * len(some)), len(some) - 1)] for some in apart])])


def _parts(fold: npt.NDArray[np.int64]) -> list[Part]:
    return [(np.flatnonzero(fold != number), np.flatnonzero(fold == number)) for number in range(fold.max() + 1)]


def _groups(columns: Sequence[npt.NDArray[np.generic]]) -> npt.NDArray[np.int64]:
    """The number of each row's group, from 0: of the rows with the same values, or of a row alone that has none."""
    codes = np.stack([np.unique(values, return_inverse=True)[1] for values in columns], axis=1)
    groups = np.unique(codes, axis=0, return_inverse=True)[1].reshape(-1)
    is_alone = np.all([raw.is_missing(tf.convert_to_tensor(values)).numpy() for values in columns], axis=0)
    apart = np.where(is_alone, len(groups) + np.cumsum(is_alone), groups)
    return np.unique(apart, return_inverse=True)[1]


def _gap(split: Split) -> float:
    """The gap in the column's unit, which of times is a second."""
    if split.gap is None:
        return 0.0
    seconds = duration(split.gap)
    return float(split.gap) if seconds is None else seconds
