"""The settings that are searched are those that the Trainer takes."""

from __future__ import annotations

import pytest

from pipeline.config import Growth, PipelineConfig
from pipeline.training.settings import TrainerSettings, for_trainer
from pipeline.training.tuning.space import TUNED_KINDS, configured, space_of, worded


def settings(**sections: object) -> TrainerSettings:
    document = {"name": "flights", "label": "late", "data": {"input": "flights.csv"}, **sections}
    return for_trainer(PipelineConfig.model_validate(document))


@pytest.mark.parametrize("kind", TUNED_KINDS)
def test_each_is_a_field_that_the_trainer_takes(kind: str) -> None:
    space = space_of(kind)
    before, after = settings(), settings().tuned(space.values)
    sections = ((before.model, after.model), (before.training, after.training))
    changed = {name for old, new in sections for name in type(old).model_fields if getattr(old, name) != getattr(new, name)}
    expected = {"trees": {"trees"}, "network": {"learning_rate", "hidden_units", "dropout"}}[kind]
    assert expected <= changed
    assert TrainerSettings.model_validate(after.to_custom_config()) == after


@pytest.mark.parametrize("kind", TUNED_KINDS)
def test_what_is_configured_has_a_value_for_each_that_is_searched(kind: str) -> None:
    assert set(configured(kind, settings(), 1_000, 1)) == set(space_of(kind).values)


def test_the_configured_trees_are_those_that_are_derived() -> None:
    few, many = (configured("trees", settings(model={"trees": {"num_leaves": 7}}), rows, 3) for rows in (100, 10_000))
    assert few["trees.num_leaves"] == 7
    assert (few["trees.min_rows_in_leaf"], many["trees.min_rows_in_leaf"]) == (3, 20)
    assert few["trees.learning_rate"] == 0.1
    assert {name.removeprefix("trees.") for name in few} == set(Growth.model_fields)


def test_values_are_told_shortly() -> None:
    assert worded({"trees.num_leaves": 12, "trees.learning_rate": 0.0412345}) == "num_leaves 12, learning_rate 0.0412"
