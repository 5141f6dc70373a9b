"""What is chosen of the searches: the settings with which the members together are best, which may be the configured ones."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras

from pipeline.training.members.learning import Member, Table
from pipeline.training.members.losses import Outputs
from pipeline.training.members.whole import weigh, whole_outputs
from pipeline.training.tuning.search import MemberSearch
from pipeline.training.tuning.trials import Trial


@dataclass(frozen=True)
class Choice:
    """What is chosen.

    Attributes:
      trials: one of each search.
      loss: that of the members together; None where no training came to an end.
      configured_loss: the same with the configured settings; None where a member diverged with them.
    """

    trials: tuple[Trial, ...]
    loss: float | None
    configured_loss: float | None

    @property
    def values(self) -> dict[str, Any]:
        """The settings that replace configured ones."""
        return {name: value for trial in self.trials for name, value in trial.values.items()}


def choose(searches: Sequence[MemberSearch], others: Sequence[Member], table: Table) -> Choice:
    """Chooses the first or the best trial of each search, whichever makes the loss of the members together smallest.

    Of equal losses the first counts, and the configured settings of all members come first.

    Args:
      searches: those that have ended.
      others: the members that have no settings to search.
      table: the rows.
    """
    found = []
    for trials in itertools.product(*(search.candidates for search in searches)):
        outputs = {trial.kind: search.outputs(trial) for search, trial in zip(searches, trials, strict=True)}
        found.append((_loss_of_all(outputs, others, table), trials))
    defined = [(loss, trials) for loss, trials in found if loss is not None]
    loss, chosen = min(defined, key=lambda each: each[0]) if defined else found[0]
    return Choice(chosen, loss, found[0][0])


def _loss_of_all(outputs: Mapping[str, Outputs | None], others: Sequence[Member], table: Table) -> float | None:
    """The loss of members together, on the rows that judge all of them; None where one has no outputs."""
    members = [Member(kind, values, _unbuilt, 0.0, "") for kind, values in outputs.items() if values is not None]
    if len(members) < len(outputs):
        return None
    members += others
    standings = weigh(members, table.division, table.labels, table.encoding, table.weights)
    rows, added = whole_outputs(members, standings, table.division)
    return table.loss(added, rows)


def _unbuilt(inputs: Mapping[str, keras.KerasTensor]) -> keras.KerasTensor:
    raise NotImplementedError("a trial's model is not kept")
