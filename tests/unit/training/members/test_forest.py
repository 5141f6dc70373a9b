"""Trees as plain operations of TensorFlow answer as LightGBM does, whatever is asked."""

from __future__ import annotations

from typing import Any

import lightgbm
import numpy as np
import numpy.typing as npt
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from pipeline.training.members.forest import Forest
from pipeline.training.members.masks import Masks, forest_of

NUM_NUMBERS, NUM_CATEGORIES = 3, 2
OBJECTIVES: dict[str, dict[str, Any]] = {
    "regression": {"objective": "regression"},
    "binary": {"objective": "binary"},
    "multiclass": {"objective": "multiclass", "num_class": 3},
}
FORMS = (Forest, Masks)
NASTY = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-35, -1e-35, 1e-40, 3.4e38, -3.4e38]


Trees = tuple[lightgbm.Booster, Forest | Masks]


def trained(objective: str, num_rows: int = 1500, rounds: int = 8, **options: int) -> lightgbm.Booster:
    """Trees that look at every column: one with gaps, one without, one of a few values, and categories of two sizes."""
    random = np.random.default_rng(0)
    numbers = random.normal(size=(num_rows, NUM_NUMBERS)).astype(np.float32)
    numbers[random.random(num_rows) < 0.2, 0] = np.nan
    numbers[:, 2] = random.choice([-1, 0, 1], num_rows)
    categories = np.stack([random.integers(0, 3, num_rows), random.integers(0, 60, num_rows)], axis=1)
    strength = np.isnan(numbers[:, 0]) + numbers[:, 1] + numbers[:, 2] * (categories[:, 0] == 1) + (categories[:, 1] % 3 == 0)
    labels = {"regression": strength, "binary": strength > 0.5, "multiclass": np.digitize(strength, [0, 1])}[objective]
    columns = np.concatenate([numbers, categories], axis=1)
    categorical = list(range(NUM_NUMBERS, columns.shape[1]))
    defaults = {"max_depth": 6, "min_data_in_leaf": 3, "min_data_per_group": 5, "num_threads": 1, "verbosity": -1}
    return lightgbm.train(
        {**defaults, **options, **OBJECTIVES[objective]},
        lightgbm.Dataset(columns, labels, categorical_feature=categorical),
        rounds,
    )


def in_form(booster: lightgbm.Booster, form: type[Forest | Masks]) -> Forest | Masks:
    forest = form.of(booster.dump_model(), NUM_NUMBERS)
    assert forest is not None
    return forest


@pytest.fixture(scope="module", params=sorted(OBJECTIVES))
def booster(request: pytest.FixtureRequest) -> lightgbm.Booster:
    return trained(request.param)


@pytest.fixture(scope="module", params=FORMS, ids=lambda form: form.__name__)
def trees(request: pytest.FixtureRequest, booster: lightgbm.Booster) -> Trees:
    return booster, in_form(booster, request.param)


def check_equal(
    booster: lightgbm.Booster, forest: Forest | Masks, numbers: npt.NDArray[Any], categories: npt.NDArray[Any]
) -> None:
    expected = booster.predict(np.concatenate([numbers.astype(np.float64), categories], axis=1), raw_score=True)
    outputs = forest(tf.constant(numbers), tf.constant(categories)).numpy()
    assert outputs.shape == (len(numbers), forest.num_outputs)
    np.testing.assert_allclose(outputs, expected.reshape(outputs.shape), rtol=1e-6, atol=1e-6)


def test_thresholds_lie_in_every_column(booster: lightgbm.Booster) -> None:
    assert (booster.feature_importance() > 0).all()
    missing = {missing for _, missing in Forest.of(booster.dump_model(), NUM_NUMBERS).numbers}
    assert "as zero" in missing
    assert len(missing) > 1


def test_a_thousand_rows_of_nasty_values_and_unseen_categories(trees: Trees) -> None:
    random = np.random.default_rng(1)
    numbers = random.normal(size=(1000, NUM_NUMBERS)).astype(np.float32)
    nasty = random.random(numbers.shape) < 0.5
    numbers[nasty] = random.choice(np.array(NASTY, np.float32), nasty.sum())
    check_equal(*trees, numbers, random.choice([-1, 0, 1, 2, 3, 31, 32, 33, 99, 100, 5000, 2**24], (1000, NUM_CATEGORIES)))


def test_values_at_the_thresholds_and_next_to_them(trees: Trees) -> None:
    thresholds = np.unique(np.concatenate(Forest.of(trees[0].dump_model(), NUM_NUMBERS).thresholds))
    around = np.concatenate([thresholds, np.nextafter(thresholds, np.float32(-9)), np.nextafter(thresholds, np.float32(9))])
    random = np.random.default_rng(2)
    numbers = random.choice(around, (2000, NUM_NUMBERS))
    check_equal(*trees, numbers, random.integers(0, 100, (2000, NUM_CATEGORIES)))


@settings(max_examples=30)
@given(
    numbers=arrays.arrays(np.float32, (5, NUM_NUMBERS), elements=st.floats(width=32)),
    categories=arrays.arrays(np.int32, (5, NUM_CATEGORIES), elements=st.integers(-3, 2**24)),
)
def test_any_row(trees: Trees, numbers: npt.NDArray[Any], categories: npt.NDArray[Any]) -> None:
    check_equal(*trees, numbers, categories)


def test_no_row_at_all(trees: Trees) -> None:
    outputs = trees[1](tf.zeros([0, NUM_NUMBERS]), tf.zeros([0, NUM_CATEGORIES], tf.int32))
    assert outputs.shape == (0, trees[1].num_outputs)


def test_trees_without_a_split_put_out_a_constant() -> None:
    columns, labels = np.ones((50, 2)), np.arange(50) % 2
    options = {"objective": "binary", "num_threads": 1, "verbosity": -1}
    booster = lightgbm.train(options, lightgbm.Dataset(columns, labels), 3)
    outputs = forest_of(booster.dump_model(), 2)(tf.ones([4, 2]), tf.zeros([4, 0], tf.int32))
    np.testing.assert_allclose(outputs.numpy()[:, 0], booster.predict(np.ones((4, 2)), raw_score=True), atol=1e-6)


def test_a_session_of_tensorflow_1_answers_from_the_graph_alone(trees: Trees) -> None:
    booster, forest = trees
    with tf.Graph().as_default():
        numbers = tf.compat.v1.placeholder(tf.float32, [None, NUM_NUMBERS], "numbers")
        categories = tf.compat.v1.placeholder(tf.int64, [None, NUM_CATEGORIES], "categories")
        tf.identity(forest(numbers, categories), "outputs")
        definition = tf.compat.v1.get_default_graph().as_graph_def()
    random = np.random.default_rng(3)
    asked = random.normal(size=(100, NUM_NUMBERS)).astype(np.float32), random.integers(0, 120, (100, NUM_CATEGORIES))
    with tf.compat.v1.Session(graph=tf.Graph()) as session:
        tf.import_graph_def(definition, name="")
        outputs = session.run("outputs:0", {"numbers:0": asked[0], "categories:0": asked[1]})
    expected = booster.predict(np.concatenate(asked, axis=1), raw_score=True)
    np.testing.assert_allclose(outputs, expected.reshape(outputs.shape), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("num_leaves", [2, 3, 31, 32, 33, 64])
@pytest.mark.parametrize("form", FORMS)
def test_trees_of_any_size(form: type[Forest | Masks], num_leaves: int) -> None:
    booster = trained("regression", 3000, num_leaves=num_leaves, min_data_per_group=1, max_cat_to_onehot=1)
    if num_leaves == 64:
        assert max(tree["num_leaves"] for tree in booster.dump_model()["tree_info"]) > 50
    random = np.random.default_rng(4)
    numbers = random.normal(size=(1000, NUM_NUMBERS)).astype(np.float32)
    numbers[random.random(numbers.shape) < 0.2] = np.nan
    check_equal(booster, in_form(booster, form), numbers, random.integers(-1, 70, (1000, NUM_CATEGORIES)))


@pytest.mark.parametrize("num_numbers", [1, 2, 5, 7, 11])
@pytest.mark.parametrize("num_categories", [0, 1, 3, 6])
def test_any_number_of_columns(num_numbers: int, num_categories: int) -> None:
    random = np.random.default_rng(5)
    numbers = random.normal(size=(600, num_numbers)).astype(np.float32)
    categories = random.integers(0, 4, (600, num_categories))
    columns = np.concatenate([numbers, categories], axis=1)
    labels = numbers.sum(axis=1) + (categories == 1).sum(axis=1)
    categorical = list(range(num_numbers, columns.shape[1]))
    options = {"objective": "regression", "min_data_per_group": 5, "num_threads": 1, "verbosity": -1}
    booster = lightgbm.train(options, lightgbm.Dataset(columns, labels, categorical_feature=categorical), 6)
    masks = Masks.of(booster.dump_model(), num_numbers)
    assert masks is not None
    check_equal(booster, masks, numbers, categories)


def test_a_table_that_would_be_large_gives_way_to_complete_trees() -> None:
    random = np.random.default_rng(6)
    columns = random.normal(size=(2000, 80))
    options = {"objective": "regression", "num_threads": 1, "verbosity": -1}
    booster = lightgbm.train(options, lightgbm.Dataset(columns, columns.sum(axis=1)), 40)
    assert np.count_nonzero(booster.feature_importance()) > 64
    assert isinstance(forest_of(booster.dump_model(), columns.shape[1]), Forest)
    assert isinstance(forest_of(trained("binary").dump_model(), NUM_NUMBERS), Masks)


def test_masks_that_would_fill_the_memory_give_way_to_complete_trees() -> None:
    random = np.random.default_rng(7)
    columns = random.integers(0, 2, (1000, 40)).astype(np.float64)
    labels = columns[:, :12].argmax(axis=1)
    options = {"objective": "multiclass", "num_class": 12, "num_leaves": 4, "num_threads": 1, "verbosity": -1}
    booster = lightgbm.train(options, lightgbm.Dataset(columns, labels), 120)
    assert isinstance(forest_of(booster.dump_model(num_iteration=10), columns.shape[1]), Masks)
    # A table of 120 places is small, but each row would take masks of 1,440 trees for each column.
    assert isinstance(forest_of(booster.dump_model(), columns.shape[1]), Forest)
