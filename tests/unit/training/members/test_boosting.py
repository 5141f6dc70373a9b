"""Boosted trees learn, stop in time, and are the same again."""

from __future__ import annotations

import builtins
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from pipeline.config import Task
from pipeline.errors import NodeError
from pipeline.training.members import boosting
from pipeline.training.members.boosting import TreeRows, boost


def rows(num_rows: int, seed: int = 0) -> TreeRows:
    random = np.random.default_rng(seed)
    numbers = random.normal(size=(num_rows, 3)).astype(np.float32)
    categories = random.integers(0, 5, (num_rows, 1)).astype(np.int32)
    chance = 1 / (1 + np.exp(-3 * (numbers[:, 0] * numbers[:, 1] + (categories[:, 0] == 2))))
    return TreeRows(numbers, categories, (random.random(num_rows) < chance).astype(np.float32))


@pytest.mark.parametrize("num_rows", [60, 2000])
def test_what_is_learnt_holds_for_other_rows(num_rows: int) -> None:
    boosted = boost(rows(num_rows), rows(500, 1), Task.BINARY, 1, seed=1)
    others = rows(1000, 2)
    outputs = boosted.forest(tf.constant(others.numbers), tf.constant(others.categories)).numpy()[:, 0]
    assert np.mean((outputs > 0) == others.labels) > {60: 0.55, 2000: 0.75}[num_rows]
    np.testing.assert_allclose(outputs, boosted.outputs(others)[:, 0], rtol=1e-6, atol=1e-6)


def test_rows_of_no_weight_teach_nothing() -> None:
    true = rows(2000)
    is_wrong = np.arange(2000) % 2
    labels = np.where(is_wrong, 1 - true.labels, true.labels).astype(np.float32)
    weighed = TreeRows(true.numbers, true.categories, labels, (2 - 2 * is_wrong).astype(np.float32))
    others = rows(1000, 2)
    outputs = boost(weighed, weighed[np.arange(500)], Task.BINARY, 1, seed=1).outputs(others)[:, 0]
    assert np.mean((outputs > 0) == others.labels) > 0.7


def test_training_stops_where_more_trees_would_not_help() -> None:
    boosted = boost(rows(300), rows(300, 1), Task.BINARY, 1, seed=1)
    assert 1 <= boosted.rounds < 200
    assert boosted.forest.num_trees == boosted.rounds


def test_the_number_of_rounds_can_be_given() -> None:
    assert boost(rows(300), None, Task.BINARY, 1, seed=1, rounds=7).forest.num_trees == 7


def test_the_same_rows_and_seed_give_the_same_trees_on_any_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    leaves = []
    for threads in (1, 3, 1):
        monkeypatch.setattr(boosting, "_threads", lambda num_rows, threads=threads: threads)
        leaves.append(boost(rows(2000), rows(500, 1), Task.BINARY, 1, seed=1).forest.leaves)
    assert np.array_equal(leaves[0], leaves[1])
    assert np.array_equal(leaves[0], leaves[2])


def test_without_its_system_library_the_error_says_which_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *arguments: Any, **options: Any) -> Any:
        if name == "lightgbm":
            raise OSError("libgomp.so.1: cannot open shared object file: No such file or directory")
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(NodeError) as raised:
        boost(rows(60), None, Task.BINARY, 1, seed=1, rounds=1)
    assert "libgomp1" in raised.value.fix
