"""A model's answers, row by row."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.contracts.model import LABELS, PREDICTIONS, PROBABILITIES, SCORE
from serving.errors import ServingError


@dataclass(frozen=True)
class Prediction:
    """The answer to one row.

    Attributes:
      model: the model's name.
      version: the version of the model that answered.
      latency: seconds that the call took in which the row was answered, attempts that failed included.
      label: classification only: the label of the most probable class.
      probabilities: classification only: the probability of each class, in the model's order; of two, the second is positive.
      score: binary classification only: the probability of the positive class.
      value: regression only: the predicted number.
    """

    model: str
    version: int
    latency: float
    label: str | int | None = None
    probabilities: tuple[float, ...] = ()
    score: float | None = None
    value: float | None = None

    @property
    def probability(self) -> float | None:
        """The probability of the label; None for regression."""
        return max(self.probabilities, default=None)


@dataclass(frozen=True)
class Answer:
    """A model server's outputs for some rows.

    Attributes:
      version: the version of the model that answered.
      outputs: a list of values a row, by the output's name.
    """

    version: int
    outputs: Mapping[str, Sequence[Sequence[Any]]]


def read_predictions(answer: Answer, rows: int, model: str, latency: float) -> list[Prediction]:
    """The predictions in an answer, in the order of the rows.

    Args:
      answer: the model server's answer.
      rows: the number of rows that were sent.
      model: the model's name.
      latency: the duration of the call, in seconds.

    Raises:
      ServingError: the model has other outputs than the pipeline's models.
    """
    outputs = answer.outputs
    if not ({PREDICTIONS} <= outputs.keys() or {LABELS, PROBABILITIES} <= outputs.keys()):
        raise ServingError(
            f"The model {model!r} has outputs that this client does not know.",
            expected=f"the outputs `{LABELS}` and `{PROBABILITIES}`, or `{PREDICTIONS}`",
            seen=", ".join(sorted(outputs)),
            fix="Ask it with TF Serving's own stubs, or export it by this pipeline.",
        )
    if any(len(values) != rows for values in outputs.values()):
        raise ServingError(
            f"The model {model!r} did not answer every row.",
            expected=f"{rows} rows",
            seen=", ".join(f"{name}: {len(values)}" for name, values in sorted(outputs.items())),
        )
    one = functools.partial(Prediction, model, answer.version, latency)
    if PREDICTIONS in outputs:
        return [one(value=row[0]) for row in outputs[PREDICTIONS]]
    scores = [row[0] for row in outputs[SCORE]] if SCORE in outputs else [None] * rows
    return [
        one(label=_text(label[0]), probabilities=tuple(probabilities), score=score)
        for label, probabilities, score in zip(outputs[LABELS], outputs[PROBABILITIES], scores, strict=True)
    ]


def _text(label: Any) -> str | int:
    return label.decode(errors="replace") if isinstance(label, bytes) else label
