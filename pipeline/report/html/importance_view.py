"""What a model leans on, arranged for showing."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pipeline.contracts.importance import ColumnImportance, Dependence, Importance
from pipeline.report import formats
from pipeline.report.html.charts import Series

_COLUMNS_SHOWN = 25


@dataclass(frozen=True)
class ImportanceView:
    """Importances on a shared scale, and dependences as lines or bars.

    Attributes:
      importance: what was measured.
      times: the columns whose values are times.
    """

    importance: Importance
    times: frozenset[str] = frozenset()

    @property
    def columns(self) -> tuple[ColumnImportance, ...]:
        """The columns that are shown."""
        return self.importance.columns[:_COLUMNS_SHOWN]

    @property
    def left_out(self) -> int:
        """How many columns, all less important, are not."""
        return len(self.importance.columns) - len(self.columns)

    @property
    def lines(self) -> list[tuple[str, list[Series]]]:
        """The dependences on numbers, by column."""
        return [
            (each.column, [Series("mean prediction", self._points(each), dots=True)])
            for each in self.importance.dependences
            if not self._has_bars(each)
        ]

    @property
    def bars(self) -> list[tuple[str, list[tuple[str, float, float]]]]:
        """The dependences on texts and times, by column: value, mean prediction, and its share of the largest."""
        return [(each.column, self._shares(each)) for each in self.importance.dependences if self._has_bars(each)]

    def place(self, value: float) -> float:
        """The position of a loss on the shared scale, in percent from the left."""
        ends = [end for each in self.columns for end in (each.lower, each.loss, each.upper) if math.isfinite(end)]
        low, high = min(0.0, *ends), max(0.0, *ends)
        return 100 * (min(max(value, low), high) - low) / ((high - low) or 1)

    def _has_bars(self, dependence: Dependence) -> bool:
        return isinstance(dependence.values[0], str) or dependence.column in self.times

    @staticmethod
    def _points(dependence: Dependence) -> list[tuple[float, float]]:
        return [(float(value), mean) for value, mean in zip(dependence.values, dependence.predictions, strict=True)]

    @staticmethod
    def _shares(dependence: Dependence) -> list[tuple[str, float, float]]:
        largest = max(map(abs, dependence.predictions)) or 1.0
        return [
            (value if isinstance(value, str) else formats.time(value), mean, 100 * abs(mean) / largest)
            for value, mean in zip(dependence.values, dependence.predictions, strict=True)
        ]
