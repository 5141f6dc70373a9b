"""The rows that a model is most wrong about, arranged for showing."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.config import Task
from pipeline.contracts.wrong_rows import Value, WrongRow
from pipeline.report import formats

_COLUMNS_SHOWN = 8
_LONGEST = 40


@dataclass(frozen=True)
class WrongRowsView:
    """The rows as a table, with the columns that matter most.

    Attributes:
      rows: the rows, the worst first.
      task: what is predicted.
      classes: the names of the classes in their order.
      important: the columns that the model leans on, the most important one first.
      hidden: the columns whose values are not shown.
      times: the columns whose values are times.
    """

    rows: tuple[WrongRow, ...]
    task: Task
    classes: tuple[str, ...] = ()
    important: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()
    times: frozenset[str] = frozenset()

    @property
    def columns(self) -> list[str]:
        """The columns that are shown."""
        return self._columns[:_COLUMNS_SHOWN]

    @property
    def left_out(self) -> int:
        """How many columns are not."""
        return len(self._columns) - len(self.columns)

    @property
    def error(self) -> str:
        """What the rows are sorted by."""
        return "absolute error" if self.task is Task.REGRESSION else "loss"

    @property
    def predicted(self) -> str:
        """What the predictions are."""
        positive = self.classes[1] if self.task is Task.BINARY and len(self.classes) == 2 else ""
        return f"Probability of {positive}" if positive else "Prediction"

    def label(self, row: WrongRow) -> str:
        """A row's label."""
        return formats.number(row.label) if self.task is Task.REGRESSION else self._class(row.label)

    def prediction(self, row: WrongRow) -> str:
        """What was predicted of a row."""
        if self.task is Task.REGRESSION:
            return formats.number(row.prediction)
        if row.probability is None:
            return formats.percent(row.prediction)
        return f"{self._class(row.prediction)}; {self._class(row.label)} {formats.percent(row.probability)}"

    def value(self, row: WrongRow, column: str) -> str:
        """A row's value of a column; several are joined, and long ones cut."""
        text = ", ".join(_text(value, is_time=column in self.times) for value in row.values[column])
        return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"

    @property
    def _columns(self) -> list[str]:
        names = list(self.rows[0].values)
        ranks = {name: rank for rank, name in enumerate(self.important)}
        shown = [name for name in names if name not in self.hidden]
        return sorted(shown, key=lambda name: ranks.get(name, len(ranks)))

    def _class(self, index: float) -> str:
        return self.classes[int(index)] if index < len(self.classes) else str(int(index))


def _text(value: Value, *, is_time: bool) -> str:
    if isinstance(value, str):
        return value
    return formats.time(value) if is_time else formats.number(value)
