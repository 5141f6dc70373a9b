"""How far each column is from the reference, day by day."""

from __future__ import annotations

import datetime
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.contracts.prediction_log import SCORE, VALUE
from pipeline.monitoring import chance
from pipeline.monitoring.categories import common_values
from pipeline.monitoring.columns import Column, Role
from pipeline.monitoring.numbers import FloatArray, IntArray, common_bins
from pipeline.monitoring.prediction_files import LoggedRows
from pipeline.monitoring.profile import ColumnProfile, Profile

_BINS, _VALUES = 20, 50
_MOST_DAYS = 400


@dataclass(frozen=True)
class Day:
    """One day of the log.

    Attributes:
      date: the day, UTC, in ISO 8601.
      rows: its rows.
      distances: how far each column is from the reference, by its name: the L-infinity distance of texts, the Jensen-Shannon
        divergence of numbers.
      mean_prediction: the mean score or predicted number; None of rows without one.
    """

    date: str
    rows: int
    distances: dict[str, float]
    mean_prediction: float | None


@dataclass
class _Counts:
    rows: int = 0
    tables: dict[str, IntArray] = field(default_factory=dict)
    predictions: int = 0
    sum_of_predictions: float = 0.0


class Trend:
    """Counts the rows of each day in the bins of the reference: a few numbers for each day and column.

    Args:
      reference: what rows should be like.
    """

    def __init__(self, reference: Profile) -> None:
        self._bins = {name: _Bins(column) for name, column in reference.columns.items() if _is_drawn(column)}
        self._days: dict[datetime.date, _Counts] = {}

    def add(self, logged: LoggedRows) -> None:
        """Adds rows of one or several days."""
        days = logged.days
        for day in pc.unique(days).to_pylist():
            mask = pc.equal(days, day)
            counts = self._days.setdefault(day, _Counts())
            if len(self._days) > _MOST_DAYS:
                del self._days[min(self._days)]
            self._count(counts, logged.rows.filter(mask), logged.answer.filter(mask))

    def days(self) -> tuple[Day, ...]:
        """The days, the oldest first."""
        return tuple(self._day(day, counts) for day, counts in sorted(self._days.items()))

    def _count(self, counts: _Counts, rows: pa.RecordBatch, answer: pa.RecordBatch) -> None:
        counts.rows += rows.num_rows
        for name, bins in self._bins.items():
            if name in rows.schema.names:
                found = bins.count(rows.column(name))
                counts.tables[name] = counts.tables.get(name, np.zeros_like(found)) + found
        named = next((name for name in (VALUE, SCORE) if name in answer.schema.names), None)
        if named:
            predictions = answer.column(named)
            counts.predictions += len(predictions) - predictions.null_count
            counts.sum_of_predictions += pc.sum(predictions).as_py() or 0.0

    def _day(self, day: datetime.date, counts: _Counts) -> Day:
        distances = {name: self._bins[name].distance(table) for name, table in counts.tables.items() if table.any()}
        mean = counts.sum_of_predictions / counts.predictions if counts.predictions else None
        return Day(day.isoformat(), counts.rows, distances, mean)


class _Bins:
    """The bins of a column: its most frequent values and the others, or ranges of numbers."""

    def __init__(self, reference: ColumnProfile) -> None:
        self._column: Column = reference.column
        self._is_text = reference.column.role is Role.CATEGORY
        if self._is_text:
            names, table = common_values([reference.categories])
            largest = np.argsort(-table[0], kind="stable")[:_VALUES]
            self._values = [names[each] for each in largest]
            self._reference: IntArray = np.array([*table[0][largest], table[0].sum() - table[0][largest].sum()], np.int64)
        else:
            edges, table = common_bins([reference.numbers], _BINS, 1)
            self._edges: FloatArray = edges[1:-1]
            self._reference = table[0]

    def count(self, values: pa.Array) -> IntArray:
        """How many values are in each bin."""
        profile = ColumnProfile(self._column)
        profile.add(values, len(values))
        if self._is_text:
            counts = profile.categories.counts
            named = [counts.get(value, 0) for value in self._values]
            return np.array([*named, profile.categories.rows - sum(named)], np.int64)
        return profile.numbers.counts_between(self._edges)

    def distance(self, counts: IntArray) -> float:
        """How far counts are from those of the reference."""
        table = np.stack([self._reference, counts])
        return chance.l_infinity(table)[0] if self._is_text else chance.jensen_shannon(table)


def _is_drawn(column: ColumnProfile) -> bool:
    if column.column.role is Role.CATEGORY:
        return bool(column.categories.counts)
    return column.column.role is Role.NUMBER and column.numbers.rows > 0
