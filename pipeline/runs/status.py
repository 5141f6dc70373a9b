"""The state of a run and its nodes, kept in run.json: the runner writes it while the run goes on, everything else reads it.

ML Metadata has the executions and artifacts. This has what ML Metadata has no place for: nodes that never started, error
messages, and why a run ended.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field, ValidationError

from pipeline.errors import ConveyorError, StorageError
from pipeline.runs.provenance import Provenance
from pipeline.util import files
from pipeline.util.sealed import BrokenSealError, seal, unseal

FILE_NAME = "run.json"
LAST_MOMENT = 253_402_214_400
"""The last day of the year 9999: what lies behind it cannot be shown as a date."""
Moment = Annotated[float, Field(ge=0, lt=LAST_MOMENT)]
"""A time in seconds since 1970."""
UNKNOWN_VERDICT = "Whether a validator has refused the model is not known: ML Metadata could not be read when the run ended."
"""The warning of a run whose nodes are complete, while ML Metadata has the blessing."""
_FORMAT = 1
"""The format of run.json. A release that changes what a field means counts it up."""


class DamagedRunError(StorageError):
    """The file with the state of a run cannot be read: it is empty, cut off, changed, or of a newer release."""


class NodeState(str, Enum):
    """Where a node stands within a run."""

    WAITING = "waiting"
    RUNNING = "running"
    COMPLETE = "complete"
    CACHED = "cached"
    FAILED = "failed"
    BLOCKED = "blocked"  # an upstream node failed
    SKIPPED = "skipped"  # outside --from/--to
    INTERRUPTED = "interrupted"

    @property
    def has_ended(self) -> bool:
        """Whether the node will not be at work again in this run."""
        return self not in (NodeState.WAITING, NodeState.RUNNING)

    @property
    def is_successful(self) -> bool:
        """Whether the node's outputs are there."""
        return self in (NodeState.COMPLETE, NodeState.CACHED)

    @property
    def is_done(self) -> bool:
        """Whether the nodes after this one may start: it was successful, or is not part of the run."""
        return self.is_successful or self is NodeState.SKIPPED


class RunState(str, Enum):
    """Where a run stands."""

    RUNNING = "running"
    COMPLETE = "complete"
    NOT_BLESSED = "not_blessed"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    UNKNOWN = "unknown"  # its run.json cannot be read

    @classmethod
    def of(cls, nodes: Iterable[NodeState], *, blessed: bool) -> RunState:
        """The state of a run whose nodes are in these states.

        Args:
          nodes: the states of the run's nodes.
          blessed: whether no validator has refused the model.
        """
        states = set(nodes)
        if NodeState.FAILED in states:
            return cls.FAILED
        if states & {NodeState.INTERRUPTED, NodeState.BLOCKED}:
            return cls.INTERRUPTED
        if not all(state.is_done for state in states):
            return cls.RUNNING
        return cls.COMPLETE if blessed else cls.NOT_BLESSED


class Problem(BaseModel):
    """A ConveyorError as data, with the traceback of where it was raised."""

    headline: str
    what: str
    details: dict[str, str] = Field(default_factory=dict)
    exit_code: int
    traceback: str = ""

    @classmethod
    def of(cls, error: ConveyorError, traceback: str = "") -> Problem:
        """The problem that an error stands for."""
        return cls(
            headline=error.headline, what=error.what, details=error.details(), exit_code=error.exit_code, traceback=traceback
        )

    def as_error(self) -> ConveyorError:
        """The error that this problem stands for; its cause shows the original traceback."""
        error = ConveyorError(self.what, **self.details)
        error.headline, error.exit_code = self.headline, self.exit_code
        if self.traceback:
            error.__cause__ = RemoteTraceback(self.traceback)
        return error


class RemoteTraceback(Exception):  # noqa: N818 (named as in concurrent.futures)
    """The traceback of an error that another process raised, for display as the cause of the error here."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


class NodeOutcome(BaseModel):
    """One node of a run. Times are seconds since 1970."""

    upstream: list[str] = Field(default_factory=list)
    state: NodeState = NodeState.WAITING
    started: Moment | None = None
    ended: Moment | None = None
    problem: Problem | None = None
    notes: list[str] = Field(default_factory=list)
    """What the node told the person who runs it (`pipeline.util.notes`)."""
    peak_bytes: Annotated[int, Field(ge=0)] | None = None
    """The most memory that its process has had in RAM; None where it did not come to its end, or an earlier release ran it."""

    @property
    def seconds(self) -> float | None:
        """Wall time so far, or in all."""
        return None if self.started is None else (self.ended or time.time()) - self.started


class RunOutcome(BaseModel):
    """A whole run; `nodes` is in pipeline order. Times are seconds since 1970."""

    format: int = Field(_FORMAT, ge=1, le=_FORMAT)
    run_id: str
    pipeline: str
    note: str = ""
    state: RunState = RunState.RUNNING
    started: Moment = Field(default_factory=time.time)
    ended: Moment | None = None
    config: dict[str, Any] = Field(default_factory=dict)
    provenance: Provenance | None = None
    """With what it was made; None for runs of earlier releases."""
    nodes: dict[str, NodeOutcome] = Field(default_factory=dict)
    problem: Problem | None = None
    warnings: list[str] = Field(default_factory=list)
    """What a person should know that no node told, such as other runs whose outcome cannot be read."""
    fingerprint: str = ""
    """The digest of everything but the data that decided what the run made, where a later run may rely on it; else empty."""

    @classmethod
    def load(cls, folder: Path) -> RunOutcome:
        """Reads the outcome from a run's folder.

        Raises:
          FileNotFoundError: the folder holds no run.
          DamagedRunError: the file is damaged, or a newer release has written it.
        """
        path = folder / FILE_NAME
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            raise
        except OSError as error:
            raise _damaged(path, os.strerror(error.errno or 0)) from error
        try:
            return cls.model_validate_json(unseal(content))
        except ValidationError as error:
            raise _damaged(path, _flaw(content, error)) from error
        except BrokenSealError as error:
            raise _damaged(path, str(error)) from error

    def save(self, folder: Path) -> None:
        """Writes the outcome into the run's folder, with a checksum, whole or not at all."""
        files.write(folder / FILE_NAME, seal(self.model_dump_json(indent=2)))

    def settle(self) -> None:
        """Gives the nodes of a run that has ended their last state: they will not start, or were cut off at its end."""
        for node in self.nodes.values():
            if node.state is NodeState.WAITING:
                node.state = NodeState.BLOCKED
            elif node.state is NodeState.RUNNING:
                node.state, node.ended = NodeState.INTERRUPTED, node.ended or self.ended


def _flaw(content: bytes, error: ValidationError) -> str:
    """Why the content of run.json is not an outcome."""
    if not content.strip(b"\0 \n"):
        return "an empty file" if not content else "nothing but zeros"
    first = next((each for each in error.errors() if each["loc"] == ("format",)), error.errors()[0])
    if first["loc"] == ("format",):
        return f"format {first['input']}, of a newer release of Conveyor"
    field = ".".join(map(str, first["loc"]))
    return f"{field}: {first['msg']}" if field else first["msg"]


def _damaged(path: Path, seen: str) -> DamagedRunError:
    return DamagedRunError(
        f"The state of run {path.parent.name} cannot be read.",
        where=str(path),
        expected=f"what this release of Conveyor writes, in format {_FORMAT}",
        seen=seen,
        fix="The run is left aside, and others are not affected. Restore the file from a copy, or delete it: what ML Metadata "
        "knows of the run is then shown.",
    )
