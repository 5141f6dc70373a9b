"""What a loop has decided and done, one line of JSON each, which a kill at any moment leaves readable."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from enum import Enum
from pathlib import Path

from pydantic import BaseModel, Field, JsonValue, ValidationError

from pipeline.errors import StorageError
from pipeline.util.sealed import BrokenSealError, seal, unseal

FILE_NAME = "decisions.jsonl"


class Action(str, Enum):
    """What a loop can do."""

    WAIT = "wait"
    ADOPT = "adopt"
    RUN = "run"
    REPLAY = "replay"
    START = "start"
    STEP = "step"
    PROMOTE = "promote"
    ABORT = "abort"


class State(str, Enum):
    """How far an action has come; one that began and has no other line was cut off."""

    BEGUN = "begun"
    ENDED = "ended"
    FAILED = "failed"


class Entry(BaseModel):
    """A line of the journal.

    Attributes:
      number: that of the action; its lines have the same.
      at: when, in seconds since 1970.
      action: what is done.
      key: what it is done about: the same cause has the same key.
      reason: why, in words.
      figures: the numbers behind that.
      state: how far it has come.
      version: the version that it is about, or that a run has pushed.
      run: the run, of an action that is one, also while it is at work.
      result: what came of it, in words.
      outcome: of a replay: `pass`, `fail` or `undecided`.
      is_slow: of a replay that failed: whether it did for the time of the answers alone.
      needs_approval: whether it waits for a person.
    """

    number: int
    at: float
    action: Action
    key: str
    reason: str
    figures: dict[str, JsonValue] = Field(default_factory=dict)
    state: State
    version: int | None = None
    run: str = ""
    result: str = ""
    outcome: str = ""
    is_slow: bool = False
    needs_approval: bool = False

    @property
    def is_first(self) -> bool:
        """Whether nothing has been done yet: it says what is about to be done, or what is waited for."""
        return self.action is Action.WAIT or (self.state is State.BEGUN and not self.result)


class Journal:
    """The journal of a loop.

    Args:
      folder: where it is kept.

    Attributes:
      added: called after each line that was added.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE_NAME
        self.added: Callable[[], None] = lambda: None

    def entries(self) -> tuple[Entry, ...]:
        """All lines, the oldest first; one that was cut off, or is not what was written, is passed over.

        Raises:
          StorageError: it cannot be read.
        """
        try:
            lines = self._path.read_text(errors="replace").splitlines()
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise self._error("read", error, "Nothing was begun.") from error
        return tuple(entry for line in lines if (entry := _entry(line)) is not None)

    def add(self, entry: Entry) -> None:
        """Adds a line; it is on the disk when this returns.

        Raises:
          StorageError: it cannot be written.
        """
        line = seal(json.dumps(entry.model_dump(mode="json"))) + "\n"
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a+b") as file:
                # The line before may have been cut off.
                if file.seek(0, os.SEEK_END) and _last_byte(self._path) != b"\n":
                    line = "\n" + line
                file.write(line.encode())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            # Of a run, the next turn looks for it; of a rollout, it sees the state.
            done = (
                "Nothing was begun." if entry.is_first else "Only what came of it is not written down: the next turn finds out."
            )
            raise self._error("written", error, done) from error
        self.added()

    def _error(self, what: str, error: OSError, done: str) -> StorageError:
        return StorageError(
            f"The journal of the loop cannot be {what}.",
            where=str(self._path),
            seen=error.strerror or str(error),
            fix=f"Free some space or correct the rights of the folder. {done}",
        )


def _entry(line: str) -> Entry | None:
    try:
        return Entry.model_validate_json(unseal(line.encode()))
    except (ValidationError, BrokenSealError):
        return None


def _last_byte(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1)
