"""Training of boosted trees by LightGBM."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline import nodes
from pipeline.config import Task
from pipeline.errors import NodeError
from pipeline.training.members.forest import Forest
from pipeline.training.members.losses import Outputs

# Complete trees of this depth are what `Forest` holds: 64 leaves, of which half are used.
_MAX_DEPTH = 6
_MAX_LEAVES = 31
# Each round of several classes is a tree for each of them.
_RATE, _RATE_OF_CLASSES = 0.05, 0.1
_MAX_ROUNDS = 500
# Of all classes together, so that a row's answer does not take longer the more classes there are.
_MAX_TREES = 3000
_PATIENCE = 30
_ROWS_FOR_THREADS, _MOST_THREADS = 50_000, 8

_OBJECTIVES = {
    Task.BINARY: ("binary", "binary_logloss"),
    Task.MULTICLASS: ("multiclass", "multi_logloss"),
    Task.REGRESSION: ("regression", "l2"),
}


@dataclass(frozen=True)
class TreeRows:
    """Rows as trees take them.

    Attributes:
      numbers: [N, columns] float32, NaN where missing.
      categories: [N, columns] int32.
      labels: [N] float32: class indices, or the standardised label.
      weights: [N] float32: how much each row counts; None where all count the same.
    """

    numbers: npt.NDArray[np.float32]
    categories: npt.NDArray[np.int32]
    labels: npt.NDArray[np.float32]
    weights: npt.NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def matrix(self) -> npt.NDArray[np.float32]:
        """All columns, numbers first, [N, columns]."""
        return np.concatenate([self.numbers, self.categories.astype(np.float32)], axis=1)

    def __getitem__(self, rows: npt.NDArray[np.int64] | slice) -> TreeRows:
        weights = None if self.weights is None else self.weights[rows]
        return TreeRows(self.numbers[rows], self.categories[rows], self.labels[rows], weights)


@dataclass(frozen=True)
class Boosted:
    """Trees that were trained.

    Attributes:
      forest: the trees.
      rounds: how many there are for each output.
      booster: the same as LightGBM has them.
    """

    forest: Forest
    rounds: int
    booster: Any

    def outputs(self, rows: TreeRows) -> Outputs:
        """What the trees put out, [N, outputs]."""
        outputs = self.booster.predict(rows.matrix, raw_score=True, num_iteration=self.rounds)
        return np.reshape(outputs, (len(rows), -1))


def boost(
    rows: TreeRows, validation: TreeRows | None, task: Task, num_outputs: int, seed: int, rounds: int | None = None
) -> Boosted:
    """Trains trees that answer with logits, or with the standardised label.

    The same rows and seed give the same trees, on any number of cores.

    Args:
      rows: the rows to learn from.
      validation: the rows that say when to stop; None to train all rounds.
      task: the kind of prediction.
      num_outputs: how many numbers the trees put out for a row.
      seed: the seed of the choice of columns and rows for each tree.
      rounds: how many trees each output gets; by default at most `_MAX_ROUNDS`.

    Raises:
      NodeError: LightGBM cannot be loaded.
    """
    lightgbm = _load()
    options = _options(len(rows), task, num_outputs, seed)
    train = _dataset(lightgbm, rows, options)
    callbacks, valid_sets = [], []
    if validation is not None:
        valid_sets = [_dataset(lightgbm, validation, options, train)]
        callbacks = [lightgbm.early_stopping(_PATIENCE, first_metric_only=True, verbose=False)]
    most = rounds or min(_MAX_ROUNDS, _MAX_TREES // num_outputs)
    booster = lightgbm.train(options, train, most, valid_sets=valid_sets, callbacks=callbacks)
    best = booster.best_iteration if validation is not None and booster.best_iteration > 0 else booster.current_iteration()
    return Boosted(Forest.of(booster.dump_model(num_iteration=best), rows.numbers.shape[1]), best, booster)


def _options(num_rows: int, task: Task, num_outputs: int, seed: int) -> dict[str, Any]:
    objective, metric = _OBJECTIVES[task]
    return {
        "objective": objective,
        "metric": metric,
        "num_class": num_outputs,
        "learning_rate": _RATE if num_outputs == 1 else _RATE_OF_CLASSES,
        "max_depth": _MAX_DEPTH,
        "num_leaves": _MAX_LEAVES,
        # LightGBM's defaults are 20 and 100, which would leave trees of 100 rows without a split.
        "min_data_in_leaf": min(20, max(3, num_rows // 50)),
        "min_data_per_group": min(100, max(5, num_rows // 50)),
        "lambda_l2": 1.0,
        "feature_fraction": 0.8,
        "bagging_fraction": 0.8,
        "bagging_freq": 1,
        "seed": seed % 2**31,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": _threads(num_rows),
        "verbosity": -1,
    }


def _threads(num_rows: int) -> int:
    """How many threads to use: half of the cores at the most, for a network beside. The trees do not depend on it."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    # They wait for each other actively, after every few rows where there are few.
    return 1 if num_rows < _ROWS_FOR_THREADS else max(1, min(_MOST_THREADS, cores // 2))


def _dataset(lightgbm: Any, rows: TreeRows, options: dict[str, Any], reference: Any = None) -> Any:
    matrix = rows.matrix
    categorical = list(range(rows.numbers.shape[1], matrix.shape[1]))
    return lightgbm.Dataset(
        matrix, rows.labels, weight=rows.weights, reference=reference, categorical_feature=categorical, params=options
    )


def _load() -> Any:
    try:
        import lightgbm
    except OSError as error:
        raise NodeError(
            "LightGBM, which trains the trees, cannot be loaded.",
            where=nodes.TRAINER.id,
            expected="the system library libgomp.so.1",
            seen=str(error),
            fix="Install it, on Debian and Ubuntu by: apt-get install libgomp1. Or set `model.kind: network`.",
        ) from error
    return lightgbm
