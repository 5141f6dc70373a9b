"""How much a model leans on each column: a file beside an evaluation, which the Evaluator writes and pages read."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

FILE_NAME = "importance.json"
"""The file's name in the folder of an evaluation."""


@dataclass(frozen=True)
class ColumnImportance:
    """What a column is worth to a model.

    Attributes:
      column: its name.
      loss: by how much the metric is worse when the column's values are shuffled among the rows.
      lower: the lower end of the interval that the true loss is in with a confidence of 95 %; -inf where the rows do not tell.
      upper: its upper end; inf where the rows do not tell.
    """

    column: str
    loss: float
    lower: float
    upper: float


@dataclass(frozen=True)
class Dependence:
    """What a model predicts on average when a column has one value in all rows.

    Attributes:
      column: its name.
      values: the values, ascending numbers or the most frequent texts.
      predictions: the mean prediction for each, [values].
    """

    column: str
    values: tuple[float | str, ...]
    predictions: tuple[float, ...]


@dataclass(frozen=True)
class Importance:
    """How much a model leans on each of its columns.

    Attributes:
      metric: the metric that is watched.
      value: its value on these rows as they are.
      rows: on how many rows of the evaluation split this was measured.
      columns: the columns, the most important one first.
      dependences: of the first columns; empty for a model of many classes.
    """

    metric: str
    value: float
    rows: int
    columns: tuple[ColumnImportance, ...]
    dependences: tuple[Dependence, ...] = ()

    def to_json(self) -> str:
        """As JSON, with null for what is not finite."""
        document = asdict(self)
        for column in document["columns"]:
            column |= {name: None for name in ("lower", "upper") if not math.isfinite(column[name])}
        return json.dumps(document, indent=2, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Importance:
        """Reads what `to_json` writes."""
        document: Mapping[str, Any] = json.loads(text)
        return cls(
            document["metric"],
            document["value"],
            document["rows"],
            tuple(_column(**column) for column in document["columns"]),
            tuple(
                Dependence(each["column"], tuple(each["values"]), tuple(each["predictions"]))
                for each in document["dependences"]
            ),
        )


def _column(column: str, loss: float, lower: float | None, upper: float | None) -> ColumnImportance:
    return ColumnImportance(column, loss, -math.inf if lower is None else lower, math.inf if upper is None else upper)
