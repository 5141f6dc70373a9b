"""Reads the history of a training: the metrics of each epoch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.report import formats

FILE_NAME = "history.json"
RECIPE_FILE = "recipe.json"
MEMBERS_FILE = "members.json"
LINEAR, WHOLE = "linear", "whole"
VALIDATION = "val_"
_NOT_METRICS = frozenset({"epoch", "seconds", "learning_rate"})


@dataclass(frozen=True)
class Training:
    """A training.

    Attributes:
      epochs: each with its metrics by name; those of the validation split start with `val_`.
      recipe: the choices that it followed, configured or derived, by name; empty where the run did not keep them.
      members: what the model is made of, where it is more than a network: for each member and, last, for the whole its kind,
        weight, metrics on validation rows, seconds and facts.
    """

    epochs: tuple[Mapping[str, float], ...]
    recipe: Mapping[str, Any] = field(default_factory=dict)
    members: tuple[Mapping[str, Any], ...] = ()

    @property
    def metrics(self) -> list[str]:
        """Names of the metrics, the loss first."""
        names = {name.removeprefix(VALIDATION) for epoch in self.epochs for name in epoch} - _NOT_METRICS
        return sorted(names, key=lambda name: (name != "loss", name))

    @property
    def seconds(self) -> float:
        """How long the epochs took in all."""
        return sum(epoch.get("seconds", 0.0) for epoch in self.epochs)

    @property
    def best_epoch(self) -> int | None:
        """The epoch with the smallest validation loss, counted from 1: its weights are the model's unless it learnt again."""
        losses = {index: epoch["val_loss"] for index, epoch in enumerate(self.epochs, start=1) if "val_loss" in epoch}
        return min(losses, key=lambda index: losses[index]) if losses else None

    @property
    def has_learnt_again(self) -> bool:
        """Whether the model, once it was judged, has learnt again from all rows."""
        return bool(self.recipe.get("learnt_again"))

    @property
    def member_metrics(self) -> list[str]:
        """Names of the metrics of members, the loss first."""
        return list(dict.fromkeys(name for member in self.members for name in member["metrics"]))

    @property
    def composition(self) -> str:
        """The members by their weights, such as `network 0.60, trees 0.40`; empty where there is only a network."""
        kept = [member for member in self.members if member["weight"] and member["kind"] != WHOLE]
        return ", ".join(f"{member['kind']} {member['weight']:.2f}" for member in kept)

    @property
    def beside_linear(self) -> str:
        """How a linear model alone stands to the whole, in a sentence; empty where none was trained beside others."""
        by_kind = {member["kind"]: member["metrics"] for member in self.members}
        linear, whole = by_kind.get(LINEAR), by_kind.get(WHOLE)
        if len(by_kind) < 3 or not linear or not whole:
            return ""
        # That of the task comes after the loss.
        name = list(linear)[-1]
        values = f"{name} {formats.metric(linear[name])}, and this one {formats.metric(whole[name])}"
        return f"On the rows held back from training, a linear model alone has {values}."

    def curve(self, name: str) -> list[tuple[float, float]]:
        """Epoch, counted from 1, and value of a metric."""
        return [(index, epoch[name]) for index, epoch in enumerate(self.epochs, start=1) if name in epoch]


def read_training(folder: Path) -> Training:
    """Reads the `model_run` artifact of a Trainer.

    Args:
      folder: the artifact's folder.

    Raises:
      FileNotFoundError: it has neither a history nor members.
    """
    members = _read(folder / MEMBERS_FILE, None)
    epochs = json.loads((folder / FILE_NAME).read_text()) if members is None else _read(folder / FILE_NAME, [])
    return Training(tuple(epochs), _read(folder / RECIPE_FILE, {}), tuple(members or ()))


def _read(file: Path, otherwise: Any) -> Any:
    return json.loads(file.read_text()) if file.exists() else otherwise
