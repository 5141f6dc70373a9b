"""Training of boosted trees by LightGBM."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.special

from pipeline import nodes
from pipeline.config import Growth, Task
from pipeline.errors import NodeError
from pipeline.training.members.forest import Forest
from pipeline.training.members.losses import Outputs, level_free_loss
from pipeline.training.members.masks import Masks, forest_of

# Complete trees of this depth are what `Forest` holds, and of its 64 leaves a mask of `Masks` has a bit for each.
_MAX_DEPTH = 6
_NUM_LEAVES = 31
# Each round of several classes is a tree for each of them.
_RATE, _RATE_OF_CLASSES = 0.05, 0.1
_FEATURE_FRACTION, _L2 = 0.8, 1.0
# LightGBM's defaults are 20 and 100, which would leave trees of 100 rows without a split.
_ROWS_OF_A_SHARE, _ROWS_IN_LEAF, _ROWS_OF_CATEGORY = 50, (3, 20), (5, 100)
_MAX_ROUNDS = 500
# Of all classes together, so that a row's answer does not take longer the more classes there are.
_MAX_TREES = 3000
_PATIENCE = 30
_LEAST = 1e-12
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
      booster: the trees as LightGBM has them.
      rounds: how many of them there are for each output.
      num_numbers: how many of the columns of rows are numbers; those that follow are categories.
    """

    booster: Any
    rounds: int
    num_numbers: int

    @classmethod
    def of_text(cls, text: str, num_numbers: int) -> Boosted:
        """The trees that `text` describes: they answer with the same numbers."""
        booster = _load().Booster(model_str=text)
        return cls(booster, booster.current_iteration(), num_numbers)

    @property
    def text(self) -> str:
        """The trees as LightGBM writes them, with all digits."""
        text: str = self.booster.model_to_string(num_iteration=self.rounds)
        return text

    @cached_property
    def forest(self) -> Forest | Masks:
        """The same as they are served."""
        return forest_of(self.booster.dump_model(num_iteration=self.rounds), self.num_numbers)

    def outputs(self, rows: TreeRows) -> Outputs:
        """What the trees put out, [N, outputs]."""
        outputs = self.booster.predict(rows.matrix, raw_score=True, num_iteration=self.rounds)
        return np.reshape(outputs, (len(rows), -1))


def boost(
    rows: TreeRows,
    validation: TreeRows | None,
    task: Task,
    num_outputs: int,
    seed: int,
    rounds: int | None = None,
    growth: Growth | None = None,
    *,
    is_level_free: bool = False,
) -> Boosted:
    """Trains trees that answer with logits, or with the standardised label.

    The same rows and seed give the same trees, on any number of cores.

    Args:
      rows: the rows to learn from.
      validation: the rows that say when to stop, all alike where none counts; None to train all rounds.
      task: the kind of prediction.
      num_outputs: how many numbers the trees put out for a row.
      seed: the seed of the choice of columns and rows for each tree.
      rounds: how many trees each output gets; by default at most `_MAX_ROUNDS`.
      growth: how they are grown; what it leaves open, and all of it when None, is derived.
      is_level_free: whether to stop by the loss of levelled outputs.

    Raises:
      NodeError: LightGBM cannot be loaded.
    """
    lightgbm = _load()
    options = _options(len(rows), task, num_outputs, seed, derived(growth or Growth(), len(rows), num_outputs))
    train = _dataset(lightgbm, rows, options)
    callbacks, valid_sets = [], []
    if validation is not None:
        if validation.weights is not None and not validation.weights.any():
            # LightGBM's loss of rows of which none counts is no number.
            validation = replace(validation, weights=None)
        valid_sets = [_dataset(lightgbm, validation, options, train)]
        callbacks = [lightgbm.early_stopping(_PATIENCE, first_metric_only=True, verbose=False)]
    most = rounds or min(_MAX_ROUNDS, _MAX_TREES // num_outputs)
    judge = None
    if validation is not None and is_level_free:
        options, judge = {**options, "metric": "None"}, _level_free(task, validation)
    booster = lightgbm.train(options, train, most, valid_sets=valid_sets, feval=judge, callbacks=callbacks)
    best = booster.best_iteration if validation is not None and booster.best_iteration > 0 else booster.current_iteration()
    return Boosted(booster, best, rows.numbers.shape[1])


def derived(growth: Growth, num_rows: int, num_outputs: int) -> Growth:
    """How trees are grown: as configured, and for the rest as it suits the number of rows and outputs.

    Args:
      growth: what is configured.
      num_rows: the rows to learn from.
      num_outputs: how many numbers the trees put out for a row.

    Returns:
      The same with a value for each field.
    """
    defaults = {
        "num_leaves": _NUM_LEAVES,
        "learning_rate": _RATE if num_outputs == 1 else _RATE_OF_CLASSES,
        "min_rows_in_leaf": _share_of(num_rows, *_ROWS_IN_LEAF),
        "feature_fraction": _FEATURE_FRACTION,
        "l2": _L2,
    }
    return Growth(**{**defaults, **growth.model_dump(exclude_none=True)})


def _share_of(num_rows: int, least: int, most: int) -> int:
    return min(most, max(least, num_rows // _ROWS_OF_A_SHARE))


def _options(num_rows: int, task: Task, num_outputs: int, seed: int, growth: Growth) -> dict[str, Any]:
    objective, metric = _OBJECTIVES[task]
    return {
        "objective": objective,
        "metric": metric,
        "num_class": num_outputs,
        "learning_rate": growth.learning_rate,
        "max_depth": _MAX_DEPTH,
        "num_leaves": growth.num_leaves,
        "min_data_in_leaf": growth.min_rows_in_leaf,
        "min_data_per_group": _share_of(num_rows, *_ROWS_OF_CATEGORY),
        "lambda_l2": growth.l2,
        "feature_fraction": growth.feature_fraction,
        "bagging_fraction": 0.8,
        "bagging_freq": 1,
        "seed": seed % 2**31,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": _threads(num_rows),
        "verbosity": -1,
    }


def _level_free(task: Task, validation: TreeRows) -> Callable[..., tuple[str, float, bool]]:
    """An evaluation for LightGBM, which passes probabilities: [N] of two classes, [N, classes] of more."""

    def judge(predictions: npt.NDArray[np.float64], _: object) -> tuple[str, float, bool]:
        outputs = predictions.reshape(len(validation), -1)
        if task is Task.BINARY:
            outputs = scipy.special.logit(np.clip(outputs, _LEAST, 1 - _LEAST))
        elif task is Task.MULTICLASS:
            outputs = np.log(np.maximum(outputs, _LEAST))
        return "loss", level_free_loss(task, outputs, validation.labels, validation.weights), False

    return judge


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
