"""The learning of trees and of a linear model, and what they put out for rows that they have not learnt from."""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from pipeline.config import Growth
from pipeline.training.checkpoints import Checkpoint
from pipeline.training.division import Division, Indices
from pipeline.training.features import FeaturePlan
from pipeline.training.labels import LabelEncoding
from pipeline.training.layers import Category
from pipeline.training.members.boosting import Boosted, TreeRows, boost
from pipeline.training.members.columns import TreeColumns
from pipeline.training.members.kept import KeptTrees
from pipeline.training.members.linear import PENALTIES, Linear, LinearColumns, fit_linear, linear_outputs
from pipeline.training.members.losses import Outputs, levelled, losses
from pipeline.training.members.trees import Trees
from pipeline.training.model import ROWS_FOR_BOUNDARIES

# Beyond, a tenth more rows would not make better trees, but take their time again; unless they are the newest.
_MOST_ROWS_TO_LEARN_AGAIN = 50_000
_ROWS_AT_ONCE = 65_536
# A linear model hardly gets better beyond.
_ROWS_OF_BASELINE, _PENALTY_OF_BASELINE = 20_000, 1.0


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
      growth: how trees are grown; what it leaves open is derived.
    """

    plan: FeaturePlan | None
    categories: Mapping[str, Sequence[Category]]
    take: Callable[[Indices], Mapping[str, tf.Tensor]]
    labels: npt.NDArray[np.float32]
    division: Division
    encoding: LabelEncoding
    weights: npt.NDArray[np.float32] | None = None
    growth: Growth = field(default_factory=Growth)

    def loss(self, outputs: Outputs, rows: Indices) -> float:
        """The mean loss of outputs for some rows, [N, outputs], by their weights; where rows are in order, of levelled ones."""
        counts = np.ones(len(rows)) if self.weights is None else self.weights[rows]
        if self.division.is_ordered:
            outputs = levelled(self.encoding.task, outputs, self.labels[rows], counts)
        return float((counts * losses(self.encoding.task, outputs, self.labels[rows])).mean())


def learn(kind: str, table: Table, checkpoint: Checkpoint | None = None) -> Member:
    """Trains a member of a kind: `trees` or `linear`.

    Args:
      kind: the kind.
      table: what it learns from.
      checkpoint: where trees are kept as they are finished; None to begin anew each time. A linear model takes seconds.
    """
    return learn_trees(table, checkpoint) if kind == "trees" else learn_linear(table)


def learn_trees(table: Table, checkpoint: Checkpoint | None = None) -> Member:
    """Trains trees until the rows that judge them say stop, then, where rows are few or in order, for as long on all of them.

    Arguments are those of `learn`.

    Raises:
      NodeError: LightGBM cannot be loaded.
    """
    started = time.monotonic()
    division, encoding = table.division, table.encoding
    columns, rows = tree_rows(table)
    kept = KeptTrees(checkpoint)
    outputs, parts = boost_parts(table, rows, kept)
    boosted = parts[-1]
    if division.is_ordered or division.num_rows <= _MOST_ROWS_TO_LEARN_AGAIN:
        rounds = max(1, round(float(np.mean([part.rounds for part in parts]))))
        on_all = functools.partial(boost, rows, None, encoding.task, encoding.num_outputs, division.seed, rounds, table.growth)
        boosted = kept.of(on_all)
    forest = boosted.forest
    facts = f"{forest.num_trees:,} trees"
    return Member("trees", outputs, lambda inputs: Trees(columns, forest)(inputs), _since(started), facts)


def boost_parts(table: Table, rows: TreeRows, kept: KeptTrees | None = None) -> tuple[Outputs, list[Boosted]]:
    """Trains trees until the rows that judge them say stop, once or fold by fold.

    Args:
      table: what they learn from.
      rows: all rows, as `tree_rows` returns them.
      kept: those that were finished before; None to train all.

    Returns:
      What they put out for the rows that are judged, and the trees of each fold.

    Raises:
      NodeError: LightGBM cannot be loaded.
    """
    division, task, num_outputs = table.division, table.encoding.task, table.encoding.num_outputs
    outputs = np.zeros((division.num_rows, num_outputs))
    kept = kept or KeptTrees(None)
    parts = []
    for learnt_from, judged in division.parts:
        on_part = functools.partial(
            boost,
            rows[learnt_from],
            rows[judged],
            task,
            num_outputs,
            division.seed,
            growth=table.growth,
            is_level_free=division.is_ordered,
        )
        parts.append(kept.of(on_part))
        outputs[judged] = parts[-1].outputs(rows[judged])
    return outputs[division.judged], parts


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
        for learnt_from, others in division.parts:
            weights = fit_linear(
                matrix[learnt_from], table.labels[learnt_from], task, num_outputs, penalty, counts[learnt_from]
            )
            outputs[others] = linear_outputs(matrix[others], weights)
        lost = table.loss(outputs[judged], judged)
        found.append((lost, penalty, outputs[judged]))
    _, penalty, outputs = min(found, key=lambda tried: tried[0])
    weights = fit_linear(matrix, table.labels, task, num_outputs, penalty, counts)
    return Member("linear", outputs, lambda inputs: Linear(columns, weights)(inputs), _since(started), f"penalty {penalty:g}")


def learn_baseline(table: Table) -> Member:
    """Fits a linear model to a sample of the rows, to say how good the other members are beside it on the validation rows."""
    started = time.monotonic()
    division, task, num_outputs = table.division, table.encoding.task, table.encoding.num_outputs
    chosen = division.train[:: math.ceil(len(division.train) / _ROWS_OF_BASELINE)]
    features = table.take(chosen)
    columns = LinearColumns.of(list(features), table.categories)
    counts = None if table.weights is None else table.weights[chosen]
    matrix = columns.matrix(features)
    weights = fit_linear(matrix, table.labels[chosen], task, num_outputs, _PENALTY_OF_BASELINE, counts)
    rows = division.validation
    parts = [rows[start : start + _ROWS_AT_ONCE] for start in range(0, len(rows), _ROWS_AT_ONCE)]
    outputs = np.concatenate([linear_outputs(columns.matrix(table.take(part)), weights) for part in parts])
    facts = f"of {len(chosen):,} rows, only to compare"
    return Member("linear", outputs, lambda inputs: Linear(columns, weights)(inputs), _since(started), facts)


def tree_rows(table: Table) -> tuple[TreeColumns, TreeRows]:
    """The columns of trees, and all rows, which are taken in parts: not all are held as features and as columns at once."""
    order = np.arange(table.division.num_rows)
    columns = TreeColumns.fit(table.plan, table.categories, table.take(order[:: math.ceil(len(order) / ROWS_FOR_BOUNDARIES)]))
    parts = [columns(table.take(order[start : start + _ROWS_AT_ONCE])) for start in range(0, len(order), _ROWS_AT_ONCE)]
    numbers, categories = (np.concatenate([part.numpy() for part in side]) for side in zip(*parts, strict=True))
    return columns, TreeRows(numbers, categories, table.labels, table.weights)


def _since(started: float) -> float:
    return time.monotonic() - started
