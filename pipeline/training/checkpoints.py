"""Where trainings stand, kept while they go on, so that one that was killed goes on from there.

Each try of a node writes into folders of its own, so what is kept lies beside these, in a folder that is named by all that
the training depends on: the same training finds it again. It is removed when the model has been written.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.util import files, states
from pipeline.util.notes import note

SECONDS = 5.0
"""The least time between two states that are kept: so much work may be lost, beside that of an epoch or a set of trees."""
PAUSE = 20.0
"""How many times as long as keeping a state took it is until the next one, so that large ones do not hold up the training."""

_PACKAGES = ("keras", "lightgbm", "tensorflow")
_DIGITS = 16
_STALE_SECONDS = 7 * 24 * 3600.0


class Checkpoint:
    """The place of one state.

    Args:
      path: the file, which need not exist.
      is_kept: whether states are kept there, and not only read.
    """

    def __init__(self, path: Path, *, is_kept: bool = True) -> None:
        self._path, self._is_kept = path, is_kept
        self._next = time.monotonic() + SECONDS

    def load(self) -> Any:
        """The state that an interrupted training has kept; None where there is none that can be read."""
        try:
            return states.loads(self._path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, states.BrokenStateError) as error:
            note(f"What an interrupted training has kept in {self._path} cannot be read, and is not used: {error}.")
            return None

    def keep(self, state: Callable[[], Any]) -> None:
        """Keeps a state in the place of the last one, unless that was kept a moment ago.

        Args:
          state: returns it: what `pipeline.util.states` can write.
        """
        started = time.monotonic()
        if started < self._next or not self._is_kept:
            return
        try:
            with files.replacing(self._path) as partial, partial.open("wb") as file:
                file.writelines(states.parts(state()))
        except OSError as error:
            # The error itself names a file that is another one each time.
            note(
                f"Where the training stands cannot be kept in {self._path}, so it would begin anew if it were interrupted: "
                f"{error.strerror}."
            )
        ended = time.monotonic()
        self._next = ended + max(SECONDS, PAUSE * (ended - started))


class Checkpoints:
    """The places of the states of one training.

    Args:
      folder: the folder for all trainings of a node.
      depends_on: what the training depends on, as JSON.
      labels: the labels that it learns, [N].
      are_kept: whether this process keeps states; one of several workers does, and the others read them.
    """

    def __init__(self, folder: Path, depends_on: Any, labels: npt.NDArray[np.generic], *, are_kept: bool = True) -> None:
        packages = {package: version(package) for package in _PACKAGES}
        described = json.dumps([depends_on, packages], sort_keys=True).encode()
        self._folder = folder / hashlib.sha256(described + labels.tobytes()).hexdigest()[:_DIGITS]
        self._are_kept = are_kept
        _remove_stale(folder)

    def of(self, name: str) -> Checkpoint:
        """The place of a part of the training."""
        return Checkpoint(self._folder / name, is_kept=self._are_kept)

    def remove(self) -> None:
        """Removes all states: nothing is to be repeated any more."""
        shutil.rmtree(self._folder, ignore_errors=True)


def _remove_stale(folder: Path) -> None:
    """Removes what nobody has come back for in a week, such as the states of settings that were given up."""
    for path in folder.glob("*"):
        # Another run may be removing its own, or another user keep it.
        with suppress(OSError):
            if max(each.stat().st_mtime for each in (path, *path.glob("*"))) < time.time() - _STALE_SECONDS:
                shutil.rmtree(path, ignore_errors=True)
