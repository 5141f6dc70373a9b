"""The learning of trees and of a linear model, and what they put out for rows that they have not learnt from."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from pipeline.training.features import FeaturePlan
from pipeline.training.labels import LabelEncoding
from pipeline.training.members.boosting import TreeRows, boost
from pipeline.training.members.columns import TreeColumns
from pipeline.training.members.linear import PENALTIES, Linear, LinearColumns, fit_linear, linear_outputs
from pipeline.training.members.losses import Outputs, losses
from pipeline.training.members.trees import Trees
from pipeline.training.model import ROWS_FOR_BOUNDARIES, Category

_NUM_FOLDS = 5
# Rows times outputs.
_MOST_FOR_FOLDS = 2_000
# Beyond, a tenth more rows would not make better trees, but take their time again.
_MOST_ROWS_TO_LEARN_AGAIN = 50_000
_ROWS_AT_ONCE = 65_536

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Division:
    """Which rows members learn from, and which judge them.

    Attributes:
      train: the rows to learn from.
      validation: those held back from the network.
      seed: that of the training.
      num_outputs: how many numbers models put out for a row.
    """

    train: Indices
    validation: Indices
    seed: int
    num_outputs: int

    @property
    def num_rows(self) -> int:
        """All rows."""
        return len(self.train) + len(self.validation)

    @property
    def is_in_folds(self) -> bool:
        """Whether each row is judged by what was learnt from others, since the validation rows are few or none."""
        return self.num_rows * self.num_outputs <= _MOST_FOR_FOLDS or not len(self.validation)

    @property
    def judged(self) -> Indices:
        """The rows for which members have outputs, none of which they have learnt from."""
        return np.arange(self.num_rows) if self.is_in_folds else self.validation

    def parts(self) -> Iterator[tuple[Indices, Indices]]:
        """The rows to learn from, and those to judge by it: a pair, or as many as there are folds."""
        if not self.is_in_folds:
            yield self.train, self.validation
            return
        fold = np.random.default_rng(self.seed).permutation(self.num_rows) % _NUM_FOLDS
        for number in range(_NUM_FOLDS):
            yield np.flatnonzero(fold != number), np.flatnonzero(fold == number)


@dataclass(frozen=True)
class Member:
    """A model that was trained, beside others.

    Attributes:
      kind: what it is: network, trees, or linear.
      outputs: what it puts out for the rows that are judged.
      layer: from the inputs by name to outputs.
      seconds: how long its training took.
      facts: what was chosen, in words.
    """

    kind: str
    outputs: Outputs
    layer: Callable[[Mapping[str, keras.KerasTensor]], keras.KerasTensor]
    seconds: float
    facts: str


@dataclass(frozen=True)
class Table:
    """What trees and linear models learn from.

    Attributes:
      plan: the derived plan of the features, None where the user's own preprocessing_fn made them.
      categories: the features that hold indices, with what each of their columns is.
      take: returns the transformed features of some rows by name, [N, values]; of bags padded with 0.
      labels: [N] of all rows, class indices or the standardised label.
      division: the rows to learn from.
      encoding: what outputs mean.
      weights: how much each of all rows counts, [N]; None where all count the same.
    """

    plan: FeaturePlan | None
    categories: Mapping[str, Sequence[Category]]
    take: Callable[[Indices], Mapping[str, tf.Tensor]]
    labels: npt.NDArray[np.float32]
    division: Division
    encoding: LabelEncoding
    weights: npt.NDArray[np.float32] | None = None


def learn(kind: str, table: Table) -> Member:
    """Trains a member of a kind: `trees` or `linear`."""
    return {"trees": learn_trees, "linear": learn_linear}[kind](table)


def learn_trees(table: Table) -> Member:
    """Trains trees until the rows that judge them say stop, then, where rows are few, for as long on all of them.

    Raises:
      NodeError: LightGBM cannot be loaded.
    """
    started = time.monotonic()
    division, task, num_outputs = table.division, table.encoding.task, table.encoding.num_outputs
    columns, rows = _tree_rows(table)
    outputs = np.zeros((division.num_rows, num_outputs))
    rounds = []
    for learnt_from, judged in division.parts():
        boosted = boost(rows[learnt_from], rows[judged], task, num_outputs, division.seed)
        rounds.append(boosted.rounds)
        outputs[judged] = boosted.outputs(rows[judged])
    if division.num_rows <= _MOST_ROWS_TO_LEARN_AGAIN:
        boosted = boost(rows, None, task, num_outputs, division.seed, max(1, round(float(np.mean(rounds)))))
    forest = boosted.forest
    facts = f"{forest.num_trees:,} trees"
    return Member("trees", outputs[division.judged], lambda inputs: Trees(columns, forest)(inputs), _since(started), facts)


def learn_linear(table: Table) -> Member:
    """Fits a linear model with the penalty that suits the rows which judge it, to all rows."""
    started = time.monotonic()
    division, task, num_outputs = table.division, table.encoding.task, table.encoding.num_outputs
    features = table.take(np.arange(division.num_rows))
    columns = LinearColumns.of(list(features), table.categories)
    matrix, judged = columns.matrix(features), division.judged
    counts = np.ones(division.num_rows) if table.weights is None else table.weights
    found = []
    for penalty in PENALTIES:
        outputs = np.zeros((division.num_rows, num_outputs))
        for learnt_from, others in division.parts():
            weights = fit_linear(
                matrix[learnt_from], table.labels[learnt_from], task, num_outputs, penalty, counts[learnt_from]
            )
            outputs[others] = linear_outputs(matrix[others], weights)
        lost = float((counts[judged] * losses(task, outputs[judged], table.labels[judged])).mean())
        found.append((lost, penalty, outputs[judged]))
    _, penalty, outputs = min(found, key=lambda tried: tried[0])
    weights = fit_linear(matrix, table.labels, task, num_outputs, penalty, counts)
    return Member("linear", outputs, lambda inputs: Linear(columns, weights)(inputs), _since(started), f"penalty {penalty:g}")


def _tree_rows(table: Table) -> tuple[TreeColumns, TreeRows]:
    """The columns of trees, and all rows, which are taken in parts: not all are held as features and as columns at once."""
    order = np.arange(table.division.num_rows)
    columns = TreeColumns.fit(table.plan, table.categories, table.take(order[:: math.ceil(len(order) / ROWS_FOR_BOUNDARIES)]))
    parts = [columns(table.take(order[start : start + _ROWS_AT_ONCE])) for start in range(0, len(order), _ROWS_AT_ONCE)]
    numbers, categories = (np.concatenate([part.numpy() for part in side]) for side in zip(*parts, strict=True))
    return columns, TreeRows(numbers, categories, table.labels, table.weights)


def _since(started: float) -> float:
    return time.monotonic() - started
