"""The state of a run and its nodes, kept in run.json: the runner writes it while the run goes on, everything else reads it.

ML Metadata has the executions and artifacts. This has what ML Metadata has no place for: nodes that never started, error
messages, and why a run ended.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from enum import Enum
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

from pipeline.errors import ConveyorError
from pipeline.util import files

FILE_NAME = "run.json"


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
    started: float | None = None
    ended: float | None = None
    problem: Problem | None = None
    notes: list[str] = Field(default_factory=list)
    """What the node told the person who runs it (`pipeline.util.notes`)."""

    @property
    def seconds(self) -> float | None:
        """Wall time so far, or in all."""
        return None if self.started is None else (self.ended or time.time()) - self.started


class RunOutcome(BaseModel):
    """A whole run; `nodes` is in pipeline order. Times are seconds since 1970."""

    run_id: str
    pipeline: str
    note: str = ""
    state: RunState = RunState.RUNNING
    started: float = Field(default_factory=time.time)
    ended: float | None = None
    config: dict[str, Any] = Field(default_factory=dict)
    nodes: dict[str, NodeOutcome] = Field(default_factory=dict)
    problem: Problem | None = None
    fingerprint: str = ""
    """The digest of everything but the data that decided what the run made, where a later run may rely on it; else empty."""

    @classmethod
    def load(cls, folder: Path) -> RunOutcome:
        """Reads the outcome from a run's folder.

        Raises:
          FileNotFoundError: the folder holds no run.
        """
        return cls.model_validate_json((folder / FILE_NAME).read_text())

    def save(self, folder: Path) -> None:
        """Writes the outcome into the run's folder, whole or not at all."""
        files.write(folder / FILE_NAME, self.model_dump_json(indent=2))

    def settle(self) -> None:
        """Gives the nodes of a run that has ended their last state: they will not start, or were cut off at its end."""
        for node in self.nodes.values():
            if node.state is NodeState.WAITING:
                node.state = NodeState.BLOCKED
            elif node.state is NodeState.RUNNING:
                node.state, node.ended = NodeState.INTERRUPTED, node.ended or self.ended
