"""Reads the search for hyperparameters: the trials and the best one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RESULTS_FILE = "tuner_results.json"
BEST_FILE = "best_hyperparameters.txt"
_NOT_HYPERPARAMETERS = frozenset({"trial_id", "score"})


@dataclass(frozen=True)
class Trial:
    """A set of hyperparameters, and the validation loss of the model that was trained with them."""

    score: float
    hyperparameters: Mapping[str, Any]


@dataclass(frozen=True)
class Tuning:
    """The trials of a search, the best first."""

    trials: tuple[Trial, ...]

    @property
    def names(self) -> list[str]:
        """The hyperparameters that were searched."""
        return list(dict.fromkeys(name for trial in self.trials for name in trial.hyperparameters))


def read_tuning(folder: Path) -> Tuning:
    """Reads a `TunerResults` artifact.

    Args:
      folder: the artifact's folder.

    Raises:
      FileNotFoundError: it has no results.
    """
    found = json.loads((folder / RESULTS_FILE).read_text())
    trials = [
        Trial(each["score"], {name: value for name, value in each.items() if name not in _NOT_HYPERPARAMETERS})
        for each in found
    ]
    return Tuning(tuple(sorted(trials, key=lambda trial: trial.score)))


def read_hyperparameters(folder: Path) -> dict[str, Any]:
    """Reads a `HyperParameters` artifact, which holds Keras Tuner's configuration.

    Args:
      folder: the artifact's folder.

    Returns:
      Values by name; none when the file has been deleted since.
    """
    path = folder / BEST_FILE
    return json.loads(path.read_text())["values"] if path.is_file() else {}
