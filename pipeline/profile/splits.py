"""How the rows of a table are divided into those to train on and those to evaluate on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from components.shared.examples.kinds import Kind
from pipeline.config import Split
from pipeline.config.training import Task
from pipeline.profile.columns import ColumnProfile
from pipeline.profile.table import TableProfile
from pipeline.profile.usage import is_seconds
from pipeline.profile.words import name_words, shortened

_TIME_WORDS = {"date", "datetime", "time", "timestamp", "year", "day", "month", "week", "quarter", "created", "period"}
_FEWEST_TIMES = 10


@dataclass(frozen=True)
class SplitChoice:
    """How rows are divided.

    Attributes:
      setting: the section `data.split` of the configuration; empty for the default.
      reason: a sentence that says why; empty for the default.
    """

    setting: Mapping[str, object]
    reason: str


def by_span(spans: int) -> SplitChoice:
    """The split of a table whose files are spans: the newest are evaluated on.

    Args:
      spans: how many there are, at least 2.
    """
    evaluated = max(1, round(Split().eval_fraction * spans))
    setting: dict[str, object] = {"method": "window", "train_spans": spans - evaluated}
    if evaluated > 1:
        setting["eval_spans"] = evaluated
    newest = "the newest span" if evaluated == 1 else f"the {evaluated} newest"
    return SplitChoice(setting, f"The files are spans: train on the earlier ones, evaluate on {newest}.")


def within(table: TableProfile, label: str, task: Task) -> SplitChoice:
    """The split of a table without spans: by a time that orders its rows, otherwise the default.

    Args:
      table: the table.
      label: the column that is predicted.
      task: the kind of prediction.
    """
    for name, column in table.columns.items():
        if name != label and _orders_rows(column) and _leaves_every_class(table, name, label, task):
            return SplitChoice(
                {"method": "time", "by": name},
                f"{shortened(name)} orders the rows: train on the earlier ones, evaluate on the later ones.",
            )
    return SplitChoice({}, "")


def _orders_rows(column: ColumnProfile) -> bool:
    is_in_order = (column.is_ascending or column.is_descending) and column.distinct >= _FEWEST_TIMES
    return is_in_order and (column.is_time or _is_named_so(column) or is_seconds(column))


def _is_named_so(column: ColumnProfile) -> bool:
    return column.kind is Kind.INTEGER and not column.is_list and bool(_TIME_WORDS.intersection(name_words(column.name)))


def _leaves_every_class(table: TableProfile, time: str, label: str, task: Task) -> bool:
    """Whether the later rows vary, and have no class that the earlier ones lack."""
    order = np.argsort(table.sample.column(time).to_numpy(), kind="stable")
    values = table.sample.column(label).take(order).dictionary_encode().combine_chunks().indices.to_numpy()
    boundary = len(values) - max(1, round(Split().eval_fraction * len(values)))
    earlier, later = set(values[:boundary]), set(values[boundary:])
    return len(earlier) > 1 and len(later) > 1 and (task is Task.REGRESSION or later <= earlier)
