"""The rows that a model is most wrong about: a file beside an evaluation, which the Evaluator writes and pages read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

FILE_NAME = "wrong_rows.json"
"""The file's name in the folder of an evaluation."""

Value = float | int | str
"""A value of a raw column. That of several values, or none, is a tuple."""


@dataclass(frozen=True)
class WrongRow:
    """A row that the model is wrong about.

    Attributes:
      label: the label, a number or the index of a class.
      prediction: the predicted number, the score of two classes, or the index of the most probable class of several.
      probability: of several classes, the probability of the row's own; None otherwise.
      loss: how wrong the model is: the cross-entropy of a classifier, the absolute error of a regression.
      values: the values of the columns that the model takes, by name.
    """

    label: float
    prediction: float
    probability: float | None
    loss: float
    values: Mapping[str, tuple[Value, ...]]


@dataclass(frozen=True)
class WrongRows:
    """The rows that a model is most wrong about, the worst first."""

    rows: tuple[WrongRow, ...]

    def to_json(self) -> str:
        """As JSON."""
        return json.dumps([asdict(each) for each in self.rows], indent=2)

    @classmethod
    def from_json(cls, text: str) -> WrongRows:
        """Reads what `to_json` writes."""
        return cls(
            tuple(
                WrongRow(**{**each, "values": {name: tuple(values) for name, values in each["values"].items()}})
                for each in json.loads(text)
            )
        )
