"""How rows are divided into the splits `train` and `eval`."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from pipeline.config.section import Section

SECONDS = {"s": 1, "min": 60, "h": 3_600, "d": 86_400, "w": 604_800}
"""The units of a gap between times."""

_DURATION = re.compile(rf"(?P<number>\d+(?:\.\d+)?) ?(?P<unit>{'|'.join(SECONDS)})")
_COLUMNS_OF = ("time", "group")
_SHARES = ("hash", "time", "group")


def duration(gap: str | float) -> float | None:
    """The seconds of a text such as `7d`; None for a number, which has no unit."""
    match = _DURATION.fullmatch(gap) if isinstance(gap, str) else None
    return float(match["number"]) * SECONDS[match["unit"]] if match else None


def _check_gap(gap: str | float | None) -> str | float | None:
    is_valid = gap is None or (duration(gap) is not None if isinstance(gap, str) else gap >= 0 and math.isfinite(gap))
    if not is_valid:
        raise ValueError("a gap is a number from 0 on with a unit, such as 30min, 12h, 7d or 2w, or without one, such as 100")
    return gap


class Split(Section):
    """How rows are divided into the splits `train` and `eval`."""

    method: Literal["hash", "window", "time", "group"] = "hash"
    """`hash`: by a hash of each row. `window`: train on the spans before the newest ones, evaluate on the newest. `time`:
    train on the rows before a time, evaluate on those from then on. `group`: rows with the same value of `by` stay together."""
    train_spans: Annotated[int, Field(ge=1)] = 9
    """window: how many spans before the evaluation spans to train on; fewer are used while fewer exist."""
    eval_spans: Annotated[int, Field(ge=1)] = 1
    """window: how many of the newest spans to evaluate on."""
    eval_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """hash, time, group: the share of rows in `eval`, between 0 and 1."""
    spans: Annotated[int, Field(ge=1)] | None = None
    """hash, time, group: how many of the newest spans to read; all of them when not given."""
    by: str | tuple[str, ...] | None = None
    """time: the column of times or numbers that orders the rows. group: the column, or the list of columns, whose values
    make a group."""
    gap: Annotated[str | float | None, AfterValidator(_check_gap)] = None
    """time: rows less than this before the first row of `eval` are in neither split: a time such as 30min, 12h, 7d or 2w, or
    a number if `by` is a column of numbers."""
    stratify: bool | None = None
    """hash: give each class of the label its share of both splits, exactly. When not given: in tables of up to 100,000 rows
    whose input has no {SPAN}."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that divide the rows."""
        return (self.by,) if isinstance(self.by, str) else tuple(self.by or ())

    @model_validator(mode="after")
    def _fits_method(self) -> Split:
        if self.method in _COLUMNS_OF and not self.columns:
            what = "the column that orders the rows" if self.method == "time" else "the columns of the group"
            raise ValueError(f"the method {self.method!r} needs `by`, {what}")
        _refuse_unused("by", self.by, self.method, _COLUMNS_OF)
        _refuse_unused("gap", self.gap, self.method, ("time",))
        _refuse_unused("stratify", self.stratify, self.method, ("hash",))
        if self.method == "time" and len(self.columns) > 1:
            raise ValueError(f"the method 'time' orders rows by one column, and `by` names {', '.join(self.columns)}")
        return self


def _refuse_unused(field: str, value: object, method: str, methods: Sequence[str]) -> None:
    if value is not None and method not in methods:
        named = " or ".join(map(repr, methods))
        raise ValueError(
            f"`{field}` is for the method {named}, and the method is {method!r}: set `method`, or remove `{field}`"
        )
