"""Whether the label suits the task, as far as a sample of its values is certain to tell."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pyarrow.compute as pc
from pyarrow import types

from components.example_gen.values import has_value
from components.shared.examples.kinds import Kind
from pipeline.config import Task
from pipeline.config.flaws import Flaw
from pipeline.contracts.label import DROP_UNLABELLED, remark_on, remedy_for
from pipeline.errors import DataError
from pipeline.util.suggestions import did_you_mean

if TYPE_CHECKING:
    import pyarrow as pa

    from pipeline.checks.sample import Sample
    from pipeline.config import PipelineConfig

_LABEL = ("label",)
_TASK = ("task",)
_MOST_SHOWN = 5
_NUMBERS = (Kind.BOOLEAN, Kind.INTEGER, Kind.FLOAT)


def label_flaws(config: PipelineConfig, sample: Sample) -> Iterator[Flaw]:
    """What is wrong with the label.

    Args:
      config: the pipeline's configuration.
      sample: rows of its data.
    """
    from pipeline.checks.columns import shown

    label, task = config.label, config.task
    if label not in sample.columns:
        if sample.has_all_columns:
            yield Flaw(
                f"The label {label!r} is not in the data.",
                _LABEL,
                f"one of {shown(sample.columns)}",
                label,
                did_you_mean(label, sample.columns) or "Name a column of the data.",
                kind=DataError,
            )
        return
    if label not in sample.kinds or types.is_list(sample.rows.schema.field(label).type):
        return
    values = sample.rows.column(label)
    present = values.filter(has_value(values))
    missing = len(values) - len(present)
    if sample.is_whole and len(present) == 0:
        what = f"The label {label!r} has no values."
        yield _flaw(what, _LABEL, "a value in every row", "no value in any row", "Name another column.")
        return
    distinct = _distinct(present)
    if sample.is_whole and len(distinct) == 1:
        what = f"The label {label!r} has a single value: there is nothing to learn."
        yield _flaw(what, _LABEL, "at least two values", f"{distinct[0]!r} in every row", "Name another column, or add data.")
        return
    # In a file of text, a later row may turn a column of numbers into text, and a word for null into a value.
    is_certain = sample.is_whole or sample.has_types
    if config.data.unlabelled == "refuse" and is_certain and missing:
        rows = f"{missing:,} of {len(values):,} rows{' of a sample' * (not sample.is_whole)}"
        what = f"The label {label!r} is missing in some rows."
        yield _flaw(what, _LABEL, "a value in every row", f"{rows} without one", DROP_UNLABELLED)
        return
    kind = sample.kinds[label]
    if task is Task.REGRESSION and is_certain and kind is Kind.TEXT:
        classes = "binary_classification" if sample.is_whole and len(distinct) == 2 else "multiclass_classification"
        what = f"The label {label!r} is text, and regression predicts a number."
        yield _flaw(what, _TASK, "a label of numbers", _some(distinct), f"Write: task: {classes}")
    elif task is not Task.REGRESSION and kind is Kind.FLOAT and is_certain and (parts := _fractions(present)):
        what = f"The label {label!r} has fractions, and a classifier predicts classes."
        yield _flaw(what, _TASK, "text or whole numbers", _some(parts), "Write: task: regression")
    elif task is Task.BINARY and is_certain and len(distinct) > 2:
        what = f"The label {label!r} has more than two values, and the task is binary classification."
        suited = "multiclass_classification" if kind not in _NUMBERS or len(distinct) <= 20 else "regression"
        remedy = remedy_for(label, list(map(str, distinct))) if kind is Kind.TEXT else ""
        yield _flaw(what, _TASK, "two different values", _some(distinct), remedy or f"Write: task: {suited}")


def label_remark(config: PipelineConfig, sample: Sample) -> str:
    """What to know of a label whose classes may mean the same; empty where there is nothing to tell."""
    if sample.kinds.get(config.label) is not Kind.TEXT or config.task is Task.REGRESSION:
        return ""
    values = sample.rows.column(config.label)
    if not types.is_string(values.type):
        return ""
    return remark_on(config.label, [str(value) for value in _distinct(values.filter(has_value(values)))])


def _flaw(what: str, field: tuple[str, ...], expected: str, seen: str, fix: str) -> Flaw:
    return Flaw(what, field, expected, seen, fix, kind=DataError)


def _distinct(values: pa.ChunkedArray) -> list[object]:
    return list(pc.unique(values).to_pylist())


def _fractions(values: pa.ChunkedArray) -> list[object]:
    return _distinct(values.filter(pc.not_equal(values, pc.floor(values))))


def _some(values: list[object]) -> str:
    more = f" and {len(values) - _MOST_SHOWN} more" if len(values) > _MOST_SHOWN else ""
    return ", ".join(map(repr, values[:_MOST_SHOWN])) + more
