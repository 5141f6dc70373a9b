"""How the rows of a table are divided into `train` and `eval`: where that depends on all rows, found by reading them first."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from concurrent.futures import Executor as Pool
from dataclasses import dataclass
from decimal import Decimal
from itertools import chain
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from components.example_gen.columns import no_labels
from components.example_gen.inputs import InputSpan
from components.example_gen.order import ORDERED, PER_SECOND, TIMES, order_of, shown
from components.example_gen.splitter import (
    EVAL,
    Chronological,
    Grouped,
    Hashed,
    Hashes,
    Splitter,
    Stratified,
    Whole,
    classes_of,
    groups_of,
    hashes_of,
    threshold_for,
)
from components.example_gen.table import Table
from components.shared.examples.kinds import Kind
from pipeline.config import Split
from pipeline.config.split import SECONDS, duration
from pipeline.errors import DataError
from pipeline.util.progress import RowProgress
from pipeline.util.suggestions import did_you_mean

EXACT_ROWS = 100_000
"""Up to so many rows, a hashed split gives `eval` its share exactly. Of more rows a hash alone gives it nearly that: at 100,000
rows the standard deviation of a share of 0.2 is 0.0013."""

_WHERE = "data.split"
_BY = "data.split.by"
_FAR = 0.05
_MOST_PENDING = 1 << 20
_Batch = TypeVar("_Batch", bound=Sized)


@dataclass(frozen=True)
class Division:
    """How the rows of a table are divided.

    Attributes:
      splitter: divides them.
      description: how, in words that follow "divided".
      eval_fraction: the share of rows that `eval` is to have; None where no share is asked for.
      boundary: the first value of `eval` in the column that orders the rows; empty where none does.
      between: how many rows are in neither split.
      notes: what a person should know of it.
    """

    splitter: Splitter
    description: str
    eval_fraction: float | None = None
    boundary: str = ""
    between: int = 0
    notes: tuple[str, ...] = ()

    def notes_on(self, rows: Mapping[str, int]) -> tuple[str, ...]:
        """What a person should know of the number of rows that each split has got."""
        if self.eval_fraction is None:
            return ()
        share = rows[EVAL] / sum(rows.values())
        if abs(share - self.eval_fraction) <= _FAR:
            return ()
        together = isinstance(self.splitter, Grouped | Chronological)
        reason = "rows with the same value stay together" if together else "few or equal rows cannot be divided so"
        return (f"eval has {_percent(share)} of the rows, not {_percent(self.eval_fraction)}: {reason}.",)


WHOLE = Division(Whole(), "")
"""Of a table with a single split."""


@dataclass(frozen=True)
class Source:
    """The table to divide.

    Attributes:
      table: the table.
      spans: its spans.
      pool: the threads that read it.
      ahead: batches that are read while one is encoded.
      label: the column without a value of which rows are left out, if any are.
      where: the input pattern, for messages.
    """

    table: Table
    spans: Sequence[InputSpan]
    pool: Pool
    ahead: int
    label: str
    where: str

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Some columns of all rows.

        Raises:
          DataError: no row is left, since none has a label.
        """
        yield from self._some(RowProgress("dividing", self.table.rows).through(self.table.batches(columns)))

    def classes_and_hashes(self, column: str | None) -> Iterator[tuple[Hashes, Hashes]]:
        """The hashes of the class and of the content of each row.

        Raises:
          DataError: no row is left, since none has a label.
        """
        progress = RowProgress("dividing", self.table.rows)
        encoded = (progress.through(self.table.encoded(span, self.pool, self.ahead)) for span in self.spans)
        for rows in self._some(chain.from_iterable(encoded)):
            yield classes_of(rows.batch, column, self.table.kinds), hashes_of(rows.examples)

    def _some(self, batches: Iterable[_Batch]) -> Iterator[_Batch]:
        is_empty = True
        for batch in batches:
            is_empty = is_empty and not len(batch)
            yield batch
        if is_empty:
            raise no_labels(self.label, self.where)


def divide(split: Split, source: Source, label: str | None, *, has_spans: bool) -> Division:
    """Finds out how to divide the rows of a table.

    Args:
      split: how it is to be done.
      source: the table.
      label: the column of the classes, where rows have any.
      has_spans: whether the input grows by spans. A row then stays where it is while others come, unless `stratify` is set.

    Raises:
      DataError: the rows cannot be divided in this way.
    """
    if split.method == "window":
        newest = "the newest" if split.eval_spans == 1 else f"the newest {split.eval_spans}"
        return Division(Whole(), f"by span, {newest} to evaluate on")
    if split.method == "time":
        return _by_time(split, source)
    if split.method == "group":
        return _by_group(split, source)
    if split.stratify or (not has_spans and source.table.rows <= EXACT_ROWS):
        return _exactly(split, source, None if split.stratify is False else label)
    description = f"by a hash of each row, about {_percent(split.eval_fraction)} to evaluate on"
    return Division(Hashed(threshold_for(split.eval_fraction)), description, split.eval_fraction)


def _exactly(split: Split, source: Source, column: str | None) -> Division:
    classes, hashes = np.empty(source.table.rows, np.uint64), np.empty(source.table.rows, np.uint64)
    done = 0
    for of_batch, content in source.classes_and_hashes(column):
        rows = slice(done, done + len(content))
        classes[rows], hashes[rows] = of_batch, content
        done = rows.stop
    classes, hashes = classes[:done], hashes[:done]
    thresholds = _thresholds(classes, hashes, split.eval_fraction)
    if not any(thresholds.values()):
        # Each class has one row: apart, none of them could be in `eval`.
        column, thresholds = None, {0: _threshold(hashes, split.eval_fraction)}
    if not any(thresholds.values()):
        raise DataError(
            "Rows cannot be divided: all of them are equal." if len(hashes) > 1 else "A single row cannot be divided.",
            where=_WHERE,
            expected="at least two different rows, one to train on and one to evaluate on",
            seen=f"{_rows(len(hashes))}, {len(np.unique(hashes))} different",
            fix="Add rows that differ.",
        )
    of_what = "" if column is None else f" of each value of {column}"
    description = f"by a hash of each row, {_percent(split.eval_fraction)}{of_what} to evaluate on"
    return Division(Stratified(column, source.table.kinds, thresholds), description, split.eval_fraction)


def _by_group(split: Split, source: Source) -> Division:
    for column in split.columns:
        _require_column(column, source.table.kinds)
    counts, total = _Counts(), 0
    for batch in source.batches(split.columns):
        total += len(batch)
        groups, has_group = groups_of(batch, split.columns, source.table.kinds)
        counts.add(groups[has_group])
    groups, rows = counts.merged()
    names = ", ".join(split.columns)
    if len(groups) < 2:
        raise DataError(
            f"The rows cannot be divided by {names}: it has fewer than two values.",
            where=_BY,
            expected="at least two groups of rows, one to train on and one to evaluate on",
            seen=f"{len(groups)} group{'s' * (len(groups) != 1)} in {_rows(total)}",
            fix="Name a column with more values as data.split.by, or set data.split to {method: hash}.",
        )
    threshold = _nearest(groups, rows, split.eval_fraction)
    alone = total - int(rows.sum())
    return Division(
        Grouped(split.columns, source.table.kinds, threshold, threshold_for(split.eval_fraction)),
        f"by {names}, {int((groups < threshold).sum()):,} of {len(groups):,} groups to evaluate on",
        split.eval_fraction,
        notes=(f"{_rows(alone)} without a value of {names}: each of them is divided by its hash.",) if alone else (),
    )


def _by_time(split: Split, source: Source) -> Division:
    [column] = split.columns
    kind = _require_ordered(column, source.table)
    gap = _gap(split, column, kind)
    values = np.empty(source.table.rows, np.float64 if kind is Kind.FLOAT else np.int64)
    known, total = 0, 0
    for batch in source.batches(split.columns):
        total += len(batch)
        found, has_value = order_of(batch, column, kind)
        found = found[has_value]
        values[known : known + len(found)] = found
        known += len(found)
    values = values[:known]
    without = total - known
    boundary = _boundary(values, split.eval_fraction)
    if boundary is None:
        raise DataError(
            f"Rows cannot be divided by {column!r}: it has fewer than two values.",
            where=_BY,
            expected="at least two different times or numbers",
            seen=f"{shown(values[0], kind)} in {_rows(len(values))}" if len(values) else "no values",
            fix="Name another column as data.split.by, or set data.split to {method: hash}.",
        )
    last = boundary - gap if gap else None
    between = int(((values < boundary) & (values > last)).sum()) if last is not None else 0
    if last is not None and values.min() > last:
        raise DataError(
            "The gap before the rows to evaluate on leaves none to train on.",
            where="data.split.gap",
            expected=f"less than the time from the first row to the boundary, {shown(boundary, kind)}",
            seen=f"{split.gap}, while the first row is of {shown(values.min(), kind)}",
            fix="Set data.split.gap to " + _gap_text(boundary - values.min(), kind) + " or less, or leave it out.",
        )
    description = f"by {column}, from {shown(boundary, kind)} on to evaluate on"
    if between:
        description += f", {_rows(between)} less than {split.gap} before that in neither split"
    return Division(
        Chronological(column, kind, last, boundary),
        description,
        split.eval_fraction,
        shown(boundary, kind),
        between,
        notes=(f"{_rows(without)} without a value of {column}: in train.",) if without else (),
    )


class _Counts:
    """How often each hash occurs, in memory that grows with the number of different ones."""

    def __init__(self) -> None:
        self._parts: list[tuple[Hashes, npt.NDArray[Any]]] = []
        self._pending = 0

    def add(self, hashes: Hashes) -> None:
        """Counts hashes."""
        self._parts.append(np.unique(hashes, return_counts=True))
        self._pending += len(self._parts[-1][0])
        if self._pending > _MOST_PENDING:
            self._parts, self._pending = [self.merged()], 0

    def merged(self) -> tuple[Hashes, npt.NDArray[Any]]:
        """The different hashes, ascending, and how often each occurs."""
        hashes, places = np.unique(np.concatenate([part for part, _ in self._parts]), return_inverse=True)
        counts = np.bincount(places, weights=np.concatenate([part for _, part in self._parts]), minlength=len(hashes))
        return hashes, counts.astype(np.int64)


def _thresholds(classes: Hashes, hashes: Hashes, fraction: float) -> dict[int, int]:
    """The threshold of each class, by the class."""
    order = np.argsort(classes)
    names, starts = np.unique(classes[order], return_index=True)
    parts = np.split(hashes[order], starts[1:])
    return {int(name): _threshold(part, fraction) for name, part in zip(names, parts, strict=True)}


def _threshold(hashes: Hashes, fraction: float) -> int:
    """The threshold that takes a share of the rows; 0 where all hashes are equal."""
    different, counts = np.unique(hashes, return_counts=True)
    return _nearest(different, counts, fraction) if len(different) > 1 else 0


def _nearest(hashes: Hashes, counts: npt.NDArray[Any], fraction: float) -> int:
    """The threshold that takes a number of rows nearest to a share of them, but neither none nor all."""
    taken = np.cumsum(counts)[:-1]
    return int(hashes[1 + np.argmin(np.abs(taken - fraction * counts.sum()))])


def _boundary(values: npt.NDArray[Any], fraction: float) -> int | float | None:
    """The value from which on the number of rows is nearest to a share of them, but not all; None where values are equal.

    Args:
      values: [N]; reordered in place.
      fraction: the share.
    """
    if not len(values):
        return None
    place = min(max(len(values) - round(fraction * len(values)), 0), len(values) - 1)
    values.partition(place)
    middle, lower, upper = values[place], values[:place], values[place + 1 :]
    candidates = [middle] if lower.min(initial=middle) < middle else []
    if len(greater := upper[upper > middle]):
        candidates.append(greater.min())
    if not candidates:
        return None
    return min(candidates, key=lambda each: abs(int((values >= each).sum()) - fraction * len(values))).item()


def _gap(split: Split, column: str, kind: Kind) -> int | float:
    """The gap in the unit of the column, which for times is a second."""
    if split.gap is None:
        return 0
    seconds = duration(split.gap)
    if (seconds is None) == (kind in TIMES):
        raise DataError(
            f"The gap does not suit the column {column!r}.",
            where="data.split.gap",
            expected="a time such as 7d, since the column has times" if kind in TIMES else "a number without a unit",
            seen=str(split.gap),
            fix=f"Set data.split.gap to {Decimal(split.gap):f}d if it is in days, to {Decimal(split.gap):f}s if in seconds."
            if isinstance(split.gap, float)
            else f"Set data.split.gap to {Decimal(seconds or 0):f} if {column} counts seconds, or to another number.",
        )
    gap = float(split.gap) if seconds is None else seconds * PER_SECOND
    return gap if kind is Kind.FLOAT else math.ceil(gap)


def _gap_text(gap: float, kind: Kind) -> str:
    """A gap as it stands in the configuration."""
    if kind not in TIMES:
        return str(gap)
    whole = int(gap) // PER_SECOND
    unit, seconds = next((unit, seconds) for unit, seconds in reversed(SECONDS.items()) if whole % seconds == 0)
    return f"{whole // seconds}{unit}"


def _require_column(column: str, kinds: Mapping[str, Kind]) -> None:
    if column not in kinds:
        raise DataError(
            f"The column {column!r} that rows are to be divided by is not in the data. {did_you_mean(column, kinds)}".rstrip(),
            where=_BY,
            expected=f"a column {column!r}",
            seen=", ".join(kinds),
            fix="Correct data.split.by in the configuration, or add the column to the data.",
        )


def _require_ordered(column: str, table: Table) -> Kind:
    _require_column(column, table.kinds)
    kind = table.kinds[column]
    if kind not in ORDERED or column in table.lists:
        others = ", ".join(name for name, each in table.kinds.items() if each in ORDERED and name not in table.lists)
        raise DataError(
            f"Rows cannot be ordered by the column {column!r}.",
            where=_BY,
            expected="a time or a number in each row",
            seen=f"lists of {kind.value}" if column in table.lists else kind.value,
            fix=f"Set data.split.by to a column of times or numbers: {others}."
            if others
            else "Write the column as times, such as 2013-01-31 or 2013-01-31 18:30:00, or set data.split to {method: hash}.",
        )
    return kind


def _rows(count: int) -> str:
    return f"{count:,} row{'s' * (count != 1)}"


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"
