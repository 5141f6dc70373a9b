"""Boosted trees learn, stop in time, and are the same again."""

from __future__ import annotations

import builtins
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from pipeline.config import Growth, Task
from pipeline.errors import NodeError
from pipeline.training.members import boosting
from pipeline.training.members.boosting import TreeRows, boost, derived
from pipeline.training.members.losses import levelled, losses


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


@pytest.mark.parametrize("task", [Task.BINARY, Task.MULTICLASS, Task.REGRESSION])
def test_training_stops_by_the_loss_of_levelled_outputs(task: Task) -> None:
    newer = rows(300, 1)
    boosted = boost(rows(300), newer, task, 3 if task is Task.MULTICLASS else 1, seed=1, is_level_free=True)
    outputs = levelled(task, boosted.outputs(newer), newer.labels)
    assert boosted.booster.best_score["valid_0"]["loss"] == pytest.approx(losses(task, outputs, newer.labels).mean(), rel=1e-4)


@pytest.mark.parametrize("is_level_free", [False, True])
def test_rows_that_judge_and_do_not_count_judge_all_alike(is_level_free: bool) -> None:
    newer = rows(300, 1)
    weightless = TreeRows(newer.numbers, newer.categories, newer.labels, np.zeros(300, np.float32))
    alike = [boost(rows(300), each, Task.BINARY, 1, seed=1, is_level_free=is_level_free) for each in (newer, weightless)]
    assert alike[0].rounds == alike[1].rounds > 1


def test_what_all_rows_are_off_by_does_not_stop_a_training() -> None:
    newer = rows(300, 1)
    off = TreeRows(newer.numbers, newer.categories, newer.labels - 3)
    alike = [boost(rows(300), each, Task.REGRESSION, 1, seed=1, is_level_free=True).rounds for each in (newer, off)]
    assert alike[0] == alike[1]


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


def test_trees_are_grown_as_configured() -> None:
    growth = Growth(num_leaves=2, learning_rate=0.5, min_rows_in_leaf=50, feature_fraction=0.5, l2=7.0)
    boosted = boost(rows(300), None, Task.BINARY, 1, seed=1, rounds=3, growth=growth)
    assert {tree["num_leaves"] for tree in boosted.booster.dump_model()["tree_info"]} == {2}
    parameters = boosted.booster.params
    assert [parameters[name] for name in ("learning_rate", "min_data_in_leaf", "feature_fraction", "lambda_l2")] == [
        0.5,
        50,
        0.5,
        7.0,
    ]


@pytest.mark.parametrize(("num_rows", "expected"), [(100, 3), (500, 10), (100_000, 20)])
def test_what_is_not_configured_suits_the_number_of_rows(num_rows: int, expected: int) -> None:
    growth = derived(Growth(l2=0.0), num_rows, num_outputs=1)
    assert (growth.min_rows_in_leaf, growth.l2, growth.num_leaves) == (expected, 0.0, 31)
    assert derived(Growth(), num_rows, num_outputs=3).learning_rate == 0.1
