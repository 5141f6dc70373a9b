"""A model's answers, row by row."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.contracts.model import LABELS, PREDICTIONS, PROBABILITIES, PROBABILITY, SCORE
from serving.errors import ServingError

NOT_FINITE = "The model answered with a value that is not a finite number."
"""What is wrong with a prediction that is not `is_finite`."""


@dataclass(frozen=True)
class Contribution:
    """What a feature adds to a prediction.

    Attributes:
      feature: its name.
      value: its value in the row as the model takes it, a time in seconds since 1970 UTC; None where it is missing.
      contribution: how much the prediction is greater for it than on average; in the unit of what is explained.
    """

    feature: str
    value: Any
    contribution: float


@dataclass(frozen=True)
class Explanation:
    """Why a prediction differs from the average one: `average` and all contributions add up to what is explained.

    Attributes:
      of: what is explained: of two classes the `score`, of several the `probability` of the label, or the number
        that is the `prediction`.
      average: its mean over the reference rows of the training data.
      contributions: those of all features, the greatest first, whatever their sign.
      rows_asked: the number of rows that the model was asked about.
    """

    of: str
    average: float
    contributions: tuple[Contribution, ...]
    rows_asked: int


@dataclass(frozen=True)
class Prediction:
    """The answer to one row.

    Attributes:
      model: the model's name.
      version: the version of the model that answered.
      latency: seconds that the call took in which the row was answered, attempts that failed included.
      label: classification only: the predicted class: of two, the one on whose side of the model's threshold the score is, of
        several the most probable one.
      probability: classification only: the probability of the label.
      probabilities: classification only: the probability of each class, in the model's order; of two, the second is positive.
      score: binary classification only: the probability of the positive class.
      value: regression only: the predicted number.
      explanation: what each feature adds to it, if that was asked for.
      digest: the digest of the model that has the version's number; empty where it is not known, as of a version that has just
        taken another's place, or of a model that an earlier release has written.
    """

    model: str
    version: int
    latency: float
    label: str | int | None = None
    probability: float | None = None
    probabilities: tuple[float, ...] = ()
    score: float | None = None
    value: float | None = None
    explanation: Explanation | None = None
    digest: str = ""

    @property
    def is_finite(self) -> bool:
        """Whether all its numbers are finite: a model that has gone astray answers with NaN or infinity."""
        numbers = (self.value, self.score, self.probability, *self.probabilities)
        return all(number is None or math.isfinite(number) for number in numbers)


@dataclass(frozen=True)
class Answer:
    """A model server's outputs for some rows.

    Attributes:
      version: the version of the model that answered.
      outputs: a list of values a row, by the output's name.
    """

    version: int
    outputs: Mapping[str, Sequence[Sequence[Any]]]


def read_predictions(answer: Answer, rows: int, model: str, latency: float, digest: str) -> list[Prediction]:
    """The predictions in an answer, in the order of the rows.

    Args:
      answer: the model server's answer.
      rows: the number of rows that were sent.
      model: the model's name.
      latency: the duration of the call, in seconds.
      digest: the digest of the model; empty where it is not known.

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
    one = functools.partial(Prediction, model, answer.version, latency, digest=digest)
    if PREDICTIONS in outputs:
        return [one(value=row[0]) for row in outputs[PREDICTIONS]]
    scores = [row[0] for row in outputs[SCORE]] if SCORE in outputs else [None] * rows
    # Without a threshold of its own, a model answers with the most probable class.
    of_labels = [row[0] for row in outputs[PROBABILITY]] if PROBABILITY in outputs else map(max, outputs[PROBABILITIES])
    return [
        one(label=_text(label[0]), probability=probability, probabilities=tuple(probabilities), score=score)
        for label, probability, probabilities, score in zip(
            outputs[LABELS], of_labels, outputs[PROBABILITIES], scores, strict=True
        )
    ]


def _text(label: Any) -> str | int:
    return label.decode(errors="replace") if isinstance(label, bytes) else label
