"""Trials, and the folder in which they are kept, so that an interrupted search need not repeat them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from pipeline.training.members.losses import Outputs
from pipeline.util import files, states
from pipeline.util.notes import note

State = Literal["complete", "stopped", "failed"]


@dataclass(frozen=True)
class Trial:
    """Settings, and what a member that was trained with them is worth.

    Attributes:
      kind: the kind of member.
      number: 0 for the configured settings, then as they were tried.
      values: the settings that replace configured ones.
      loss: that of the rows that judge; None where it is not a number.
      state: whether the training went to its end, was stopped since others were better by then, or diverged.
      seconds: how long it took.
      curve: the validation loss after each epoch, of a network.
    """

    kind: str
    number: int
    values: Mapping[str, Any]
    loss: float | None
    state: State
    seconds: float
    curve: tuple[float, ...] = ()

    @property
    def is_complete(self) -> bool:
        """Whether it can be chosen."""
        return self.state == "complete" and self.loss is not None


class TrialStore:
    """The trials of a search in a folder.

    Args:
      folder: one for each search: its name stands for the data and the settings that are not searched.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find(self, kind: str, values: Mapping[str, Any]) -> tuple[Trial, Outputs | None] | None:
        """The trial of some settings with its outputs, where these were kept; None if there is none that can be read."""
        path = self._path(kind, values)
        try:
            fields, outputs = states.loads(path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, states.BrokenStateError) as error:
            note(f"The trial in {path} cannot be read, and is repeated: {error}.")
            return None
        return Trial(**fields), outputs

    def keep(self, trial: Trial, outputs: Outputs | None) -> None:
        """Keeps a trial.

        Args:
          trial: the trial.
          outputs: what its model puts out for the rows that judge; None where nobody will ask for it.
        """
        files.write(self._path(trial.kind, trial.values), states.dumps((asdict(trial), outputs)))

    def _path(self, kind: str, values: Mapping[str, Any]) -> Path:
        name = hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]
        return self._folder / f"{kind}-{name}.trial"
