"""What each feature adds to a prediction: Shapley values, by asking the model about rows between a row and others.

A walk goes from a reference row to the row that is explained and changes one feature after another, in some order. What the
prediction changes by in a step is laid to the step's feature; a feature's contribution is the mean over all walks (Štrumbelj
and Kononenko, "Explaining prediction models and individual predictions with feature contributions", 2014). The steps of a walk
add up to the whole way, so contributions add up to the difference between the prediction and the mean of the references'.
Each order is walked forwards from one reference and backwards from the next, whose prediction is alike: what two features
do together is then divided between them about evenly.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pipeline.contracts.model import REFERENCE_INPUT, REFERENCE_OUTPUT, REFERENCE_ROWS, REFERENCE_SIGNATURE
from serving.client.features import Columns, ModelFeature, Value, Values, encode_rows
from serving.client.predictions import Answer, Contribution, Explanation, Prediction
from serving.client.schema import ModelSchema

MAX_ROWS_ASKED = 4096
"""The most rows that the model is asked about to explain one: with more than 128 features there are fewer walks, but two."""

_NUMBERS: list[Value] = list(range(REFERENCE_ROWS))
REFERENCE_NUMBERS: Columns = {REFERENCE_INPUT: _NUMBERS}
"""The question for all reference rows."""


def reference_schema(version: int) -> ModelSchema:
    """The inputs and outputs of the signature that gives the reference rows.

    Args:
      version: the model's version.
    """
    numbers = ModelFeature(REFERENCE_INPUT, "DT_INT64")
    return ModelSchema(version, {REFERENCE_INPUT: numbers}, {REFERENCE_OUTPUT: "DT_STRING"}, REFERENCE_SIGNATURE)


def read_references(answer: Answer, features: Mapping[str, ModelFeature]) -> Columns:
    """The reference rows in an answer to `REFERENCE_NUMBERS`.

    Args:
      answer: the model server's answer.
      features: the model's features by name.
    """
    return encode_rows([json.loads(row) for (row,) in answer.outputs[REFERENCE_OUTPUT]], features)


@dataclass(frozen=True)
class _Walk:
    """A walk from a reference row to the explained one.

    Attributes:
      reference: the number of the reference row.
      steps: the features in which the rows differ, in the order in which they change, with the number of changes before.
    """

    reference: int
    steps: Mapping[str, int]


class Walks:
    """All walks to one row.

    Args:
      row: the row that is explained, encoded: a value for each feature.
      references: the reference rows, encoded, in the order of what the model predicts for them.
      features: the model's features by name.
    """

    def __init__(self, row: Columns, references: Columns, features: Mapping[str, ModelFeature]) -> None:
        self._row = {name: values[0] for name, values in row.items()}
        self._references, self._features = references, features
        self._walks = []
        for number, order in _orders(sorted(features), len(next(iter(references.values())))):
            different = [name for name in order if not _same(references[name][number], self._row[name])]
            self._walks.append(_Walk(number, {name: step for step, name in enumerate(different)}))

    @property
    def num_rows(self) -> int:
        """The number of rows to ask about: the row itself, and those before each step of each walk."""
        return 1 + sum(len(walk.steps) for walk in self._walks)

    def columns(self, max_rows: int) -> Iterator[Columns]:
        """The rows to ask about, in parts.

        Args:
          max_rows: the most rows of a part.
        """
        values = {name: self._values(name) for name in self._features}
        for start in range(0, self.num_rows, max_rows):
            yield {name: self._padded(name, values[name][start : start + max_rows]) for name in self._features}

    def explain(self, predictions: Sequence[Prediction]) -> Prediction:
        """The prediction for the row, with its explanation.

        Args:
          predictions: those for the rows of all parts.
        """
        of, scores = _scores(predictions)
        contributions = dict.fromkeys(self._features, 0.0)
        average, start = 0.0, 1
        for walk in self._walks:
            end = start + len(walk.steps)
            on_the_way = [*scores[start:end], scores[0]]
            for name, before, after in zip(walk.steps, on_the_way, on_the_way[1:], strict=False):
                contributions[name] += (after - before) / len(self._walks)
            average += on_the_way[0] / len(self._walks)
            start = end
        explained = [
            Contribution(name, self._features[name].decode(self._row[name]), contribution)
            for name, contribution in contributions.items()
        ]
        explained.sort(key=lambda each: -abs(each.contribution))
        return replace(predictions[0], explanation=Explanation(of, average, tuple(explained), len(predictions)))

    def _padded(self, name: str, values: list[Any]) -> list[Any]:
        feature = self._features[name]
        return feature.pad(values) if feature.is_list else values

    def _values(self, name: str) -> list[Any]:
        """What each row to ask about has of a feature."""
        final = self._row[name]
        values = [final]
        for walk in self._walks:
            before = walk.steps[name] + 1 if name in walk.steps else 0
            values += [self._references[name][walk.reference]] * before + [final] * (len(walk.steps) - before)
        return values


def _orders(names: Sequence[str], num_references: int) -> Iterator[tuple[int, Sequence[str]]]:
    """The reference row and the order of the features of each walk, always the same ones."""
    num_walks = min(num_references, 2 * max(1, MAX_ROWS_ASKED // (2 * len(names))))
    order = list(names)
    for walk in range(num_walks):
        if walk % 2 == 0:
            order = random.Random(walk).sample(order, len(order))
        yield (2 * walk + 1) * num_references // (2 * num_walks), order if walk % 2 == 0 else order[::-1]


def _scores(predictions: Sequence[Prediction]) -> tuple[str, list[float]]:
    """The name of what is explained, and its value in each prediction."""
    first = predictions[0]
    if first.value is not None:
        return "prediction", [one.value for one in predictions if one.value is not None]
    if first.score is not None:
        return "score", [one.score for one in predictions if one.score is not None]
    # The label need not be the most probable class.
    of_label = max(first.probabilities) if first.probability is None else first.probability
    predicted = min(range(len(first.probabilities)), key=lambda number: abs(first.probabilities[number] - of_label))
    return "probability", [one.probabilities[predicted] for one in predictions]


def _same(one: Value | Values, other: Value | Values) -> bool:
    """Whether two values are equal, or both missing."""
    return one == other or (one != one and other != other)
