"""The task that suits a label."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.config.training import Task
from pipeline.contracts.label import in_order
from pipeline.profile.columns import ColumnProfile
from pipeline.profile.words import among, number, shortened

# AutoGluon's rule for numbers (core/src/autogluon/core/utils/utils.py, infer_problem_type): whole numbers are classes where
# different values are at most 5 % of the rows, 10 % of up to 1,000 rows.
_LARGE_TABLE = 1000
_SHARE_OF_LARGE, _SHARE_OF_SMALL = 0.05, 0.1
# AutoGluon allows 1,000 classes; beyond 20, numbers that repeat are counts and ages far more often than names of classes.
_MOST_NUMBERED_CLASSES = 20


@dataclass(frozen=True)
class Decision:
    """The task for a label.

    Attributes:
      task: the kind of prediction.
      reason: a sentence that says why.
      classes: the label's values in the order of the model, for binary classification; the second is positive.
    """

    task: Task
    reason: str
    classes: tuple[str, ...] = ()


def decide(column: ColumnProfile) -> Decision:
    """The task that suits a column that can be a label."""
    found = f"{shortened(column.name)} has {among(column)}"
    if column.distinct == 2 and (column.is_whole or not column.is_number):
        counts = {int(value) if column.is_number else str(value): rows for value, rows in column.counts.items()}
        order = in_order(column.name, counts)
        positive = shortened(str(order.positive))
        reason = f"{found}: binary. The positive class is {positive!r}, {order.reason}."
        return Decision(Task.BINARY, reason, (str(order.negative), str(order.positive)))
    if not column.is_number:
        return Decision(Task.MULTICLASS, f"{found}: classes.")
    limit = _SHARE_OF_LARGE if column.rows > _LARGE_TABLE else _SHARE_OF_SMALL
    if not column.is_whole:
        return Decision(Task.REGRESSION, f"{found}, with fractions: a quantity.")
    if column.distinct <= _MOST_NUMBERED_CLASSES and column.distinct_share <= limit:
        return Decision(Task.MULTICLASS, f"{found}, all whole numbers, few enough to be classes (--task regression if not).")
    return Decision(Task.REGRESSION, f"{found}: a quantity.")


def suits(column: ColumnProfile, task: Task) -> str:
    """Why a column cannot be the label of this task; empty where it can."""
    if task is Task.REGRESSION:
        return "" if column.is_number else "regression predicts a number, and its values are text"
    if column.is_number and not column.is_whole:
        return "it has fractions, and a classifier predicts classes"
    if task is Task.BINARY and column.distinct != 2:
        return f"it has {number(column.distinct)} different values, and binary classification two"
    return ""
