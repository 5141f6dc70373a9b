"""The settings that are searched, and where among them the configured ones are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras_tuner

from pipeline.training.members.boosting import derived
from pipeline.training.recipe import Recipe
from pipeline.training.settings import OF_TREES, TrainerSettings

TUNED_KINDS = ("trees", "network")
"""The kinds of members that have settings to search, in the order of the search."""


def space_of(kind: str) -> keras_tuner.HyperParameters:
    """The settings of a kind of member that are searched, by the names that `TrainerSettings.tuned` knows."""
    space = keras_tuner.HyperParameters()
    if kind == "trees":
        space.Int(f"{OF_TREES}num_leaves", 4, 63, sampling="log")
        space.Float(f"{OF_TREES}learning_rate", 0.02, 0.2, sampling="log")
        space.Int(f"{OF_TREES}min_rows_in_leaf", 3, 100, sampling="log")
        space.Float(f"{OF_TREES}feature_fraction", 0.3, 1.0, step=0.1)
        space.Float(f"{OF_TREES}l2", 0.1, 30.0, sampling="log")
    else:
        space.Float("learning_rate", 3e-4, 1e-2, sampling="log")
        space.Choice("width", [32, 64, 128, 256])
        space.Int("layers", 1, 3)
        space.Float("dropout", 0.0, 0.5, step=0.1)
        space.Float("embedding_dropout", 0.0, 0.3, step=0.1)
        space.Choice("l2", [0.0, 1e-6, 1e-5, 1e-4])
    return space


def configured(kind: str, settings: TrainerSettings, num_rows: int, num_outputs: int) -> dict[str, Any]:
    """What a kind of member has without a search, by the same names.

    Args:
      kind: the kind of member.
      settings: the Trainer's settings.
      num_rows: the rows to learn from, without those that judge.
      num_outputs: how many numbers a model puts out for a row.
    """
    if kind == "trees":
        growth = derived(settings.model.trees, num_rows, num_outputs)
        return {f"{OF_TREES}{name}": value for name, value in growth.model_dump().items()}
    recipe = Recipe.of(settings.model, settings.training, num_rows).to_json()
    units = recipe["hidden_units"]
    same = {name: recipe[name] for name in ("learning_rate", "dropout", "embedding_dropout", "l2")}
    return {**same, "width": units[0] if units else 0, "layers": len(units)}


def worded(values: Mapping[str, Any]) -> str:
    """Values in a line of the log."""
    return ", ".join(f"{name.removeprefix(OF_TREES)} {value:.3g}" for name, value in values.items())
