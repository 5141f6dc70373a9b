"""The choices that follow from the number of rows."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import Model, Training
from pipeline.training.recipe import Recipe, validation_fraction


def derived(num_rows: int, **training: int) -> Recipe:
    return Recipe.of(Model(), Training.model_validate(training), num_rows)


@given(st.integers(1, 10_000_000), st.integers(1, 5000) | st.none(), st.integers(1, 5000) | st.none())
def test_keras_executes_hardly_more_steps_than_the_learning_rate_lasts(
    num_rows: int, batch_size: int | None, steps: int | None
) -> None:
    recipe = Recipe.of(Model(), Training(batch_size=batch_size, steps_per_epoch=steps), num_rows)
    needed = steps or math.ceil(num_rows / recipe.batch_size)
    assert recipe.steps_per_epoch == needed
    assert 1 <= recipe.steps_per_execution <= 16
    executed = math.ceil(needed / recipe.steps_per_execution) * recipe.steps_per_execution
    assert needed <= executed <= needed * 17 / 16
    assert executed == needed or needed > 16
    assert recipe.num_steps == recipe.epochs * recipe.steps_per_epoch


@given(st.integers(1, 10_000_000), st.integers(1, 10_000_000))
def test_more_rows_mean_larger_batches_more_bins_and_no_more_epochs(one: int, other: int) -> None:
    few, many = derived(min(one, other)), derived(max(one, other))
    assert few.batch_size <= many.batch_size
    assert few.numeric_bins <= many.numeric_bins
    assert few.dropout >= many.dropout


@pytest.mark.parametrize("num_rows", [100, 1000, 10_000, 100_000])
def test_a_table_of_any_size_is_trained_for_hundreds_of_steps(num_rows: int) -> None:
    assert 200 <= derived(num_rows).num_steps <= 3000


def test_large_tables_have_large_batches_and_few_epochs() -> None:
    recipe = derived(227_000)
    assert (recipe.batch_size, recipe.epochs, recipe.patience) == (1024, 10, 2)
    assert (recipe.numeric_bins, recipe.dropout) == (16, 0.1)


def test_what_is_set_is_kept() -> None:
    model = Model(numeric_bins=0, dropout=0.0, hidden_units=(8,), l2=0.1, embedding_dropout=0.5)
    training = Training(epochs=1, batch_size=7, patience=0, learning_rate=0.5, steps_per_epoch=3)
    recipe = Recipe.of(model, training, 1000)
    assert json.loads(json.dumps(recipe.to_json())) == {
        "batch_size": 7,
        "epochs": 1,
        "steps_per_epoch": 3,
        "steps_per_execution": 3,
        "learning_rate": 0.5,
        "patience": 0,
        "numeric_bins": 0,
        "keep_numbers": True,
        "hidden_units": [8],
        "dropout": 0.0,
        "embedding_dropout": 0.5,
        "l2": 0.1,
    }


def test_the_line_of_the_log_names_what_was_chosen() -> None:
    assert str(derived(1000)).startswith(
        "at most 47 epochs of 32 batches of 32 rows, patience 9, learning rate 0.002, dropout 0.3"
    )


def test_a_larger_share_of_few_rows_is_held_back() -> None:
    assert [validation_fraction(Training(), rows) for rows in (100, 9_999, 10_000)] == [0.2, 0.2, 0.1]
    assert validation_fraction(Training(validation_fraction=0.0), 100) == 0
