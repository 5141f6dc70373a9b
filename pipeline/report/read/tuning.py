"""Reads the search for hyperparameters: the trials, and what they gained."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.report import formats

RESULTS_FILE = "tuner_results.json"
BEST_FILE = "best_hyperparameters.txt"
WHOLE = "whole"
_FACTS = ("trial_id", "score", "member", "number", "state", "seconds", "is_chosen")


@dataclass(frozen=True)
class Trial:
    """A set of hyperparameters, and what came of a training with them.

    Attributes:
      number: 0 for the configured hyperparameters, then as they were tried.
      score: the loss on the rows that judge; None where it is not a number.
      state: `complete`, `stopped` since others were better by then, or `failed`.
      seconds: how long it took.
      is_chosen: whether the Trainer uses them.
      hyperparameters: the values by name.
    """

    number: int
    score: float | None
    state: str
    seconds: float
    is_chosen: bool
    hyperparameters: Mapping[str, Any]

    @property
    def remark(self) -> str:
        """What is special about it, in words."""
        words = ("as configured" if self.number == 0 else "", "" if self.state == "complete" else self.state)
        return ", ".join((*filter(None, words), *(("chosen",) if self.is_chosen else ())))


@dataclass(frozen=True)
class MemberTrials:
    """The trials of a kind of member, the best first."""

    member: str
    trials: tuple[Trial, ...]

    @property
    def names(self) -> list[str]:
        """The hyperparameters that were searched."""
        return list(dict.fromkeys(name for trial in self.trials for name in trial.hyperparameters))

    @property
    def losses(self) -> list[tuple[float, float]]:
        """The loss of each trial by its number, from 1."""
        points = [(trial.number + 1.0, trial.score) for trial in self.trials if trial.score is not None]
        return sorted(points)

    @property
    def best_losses(self) -> list[tuple[float, float]]:
        """The smallest loss until each trial by its number, from 1."""
        losses = self.losses
        return [(number, min(loss for _, loss in losses[: position + 1])) for position, (number, _) in enumerate(losses)]


@dataclass(frozen=True)
class Tuning:
    """A search.

    Attributes:
      members: the trials of each kind of member.
      configured_loss: that of the whole model with the configured hyperparameters; None where it is not known.
      loss: that of the whole model with the chosen ones; None where it is not known.
    """

    members: tuple[MemberTrials, ...]
    configured_loss: float | None = None
    loss: float | None = None

    @property
    def num_trials(self) -> int:
        """How many trials there were."""
        return sum(len(member.trials) for member in self.members)

    @property
    def gain(self) -> str:
        """What the search gained, in a sentence."""
        before, after = self.configured_loss, self.loss
        was, is_ = formats.metric(before), formats.metric(after)
        if after is None:
            return "No trial ended with a loss, so training uses the configured hyperparameters."
        if before is None:
            return f"The validation loss is {is_} with what was found, and not a number as configured."
        if after < before:
            less = f", {formats.percent(1 - after / before)} less" if before > 0 else ""
            return f"The validation loss is {is_} with what was found, {was} as configured{less}."
        return f"Nothing was better than the configured hyperparameters, whose validation loss is {was}."


def read_tuning(folder: Path) -> Tuning:
    """Reads a `TunerResults` artifact.

    Args:
      folder: the artifact's folder.

    Raises:
      FileNotFoundError: it has no results.
    """
    members: dict[str, list[Trial]] = {}
    of_whole: dict[bool, float | None] = {}
    for result in json.loads((folder / RESULTS_FILE).read_text()):
        if result["member"] == WHOLE:
            of_whole[result["is_chosen"]] = result["score"]
            continue
        values = {name: value for name, value in result.items() if name not in _FACTS}
        facts = {name: result[name] for name in ("number", "score", "state", "seconds", "is_chosen")}
        members.setdefault(result["member"], []).append(Trial(**facts, hyperparameters=values))
    return Tuning(
        tuple(MemberTrials(member, tuple(sorted(trials, key=_rank))) for member, trials in members.items()),
        of_whole.get(False),
        of_whole.get(True),
    )


def _rank(trial: Trial) -> tuple[float, int]:
    return (float("inf") if trial.score is None else trial.score, trial.number)


def read_hyperparameters(folder: Path) -> dict[str, Any]:
    """Reads a `HyperParameters` artifact, which holds Keras Tuner's configuration.

    Args:
      folder: the artifact's folder.

    Returns:
      Values by name; none when the file has been deleted since.
    """
    path = folder / BEST_FILE
    return json.loads(path.read_text())["values"] if path.is_file() else {}
