"""What became of a run, its tasks and their outputs."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any


class State(str, Enum):
    """Where a task or a run ended."""

    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    OMITTED = "OMITTED"
    """Never started, because something before it did not succeed."""


@dataclass(frozen=True)
class Attempt:
    """One pod. Times are seconds since 1970."""

    exit_code: int
    log: str
    started: float
    ended: float


@dataclass(frozen=True)
class Artifact:
    """An output as the backend keeps it.

    Attributes:
      type: its schema title, such as system.HTML.
      uri: in the object store.
      metadata: what the declaration and the task say of it.
      file: the file or folder that was uploaded; None where the task wrote none, which is allowed.
    """

    type: str
    uri: str
    metadata: dict[str, Any]
    file: Path | None


@dataclass(frozen=True)
class TaskResult:
    """What became of a container task.

    Attributes:
      state: how it ended.
      attempts: its pods, the last one last.
      parameters: output parameters.
      artifacts: outputs that the dashboard would show; of a failed task, the log alone.
      problem: why it failed, where that is not the exit code.
    """

    state: State
    attempts: tuple[Attempt, ...] = ()
    parameters: dict[str, Any] = field(default_factory=dict)
    artifacts: dict[str, Artifact] = field(default_factory=dict)
    problem: str = ""

    @property
    def log(self) -> str:
        """What the last pod printed."""
        return self.attempts[-1].log if self.attempts else ""

    @property
    def exit_code(self) -> int | None:
        """Of the last pod; None when there was none."""
        return self.attempts[-1].exit_code if self.attempts else None


@dataclass(frozen=True)
class Run:
    """What became of a run; `tasks` are its container tasks by name, in the order in which they ended."""

    id: str
    state: State
    tasks: dict[str, TaskResult]

    def states(self) -> dict[str, State]:
        """The state of every task."""
        return {name: task.state for name, task in self.tasks.items()}

    def describe(self) -> str:
        """What went wrong, with logs: for the message of a failing test."""
        lines = [f"run {self.id}: {self.state.value}"]
        for name, task in self.tasks.items():
            lines.append(f"{name}: {task.state.value} {task.problem}")
            if task.state is State.FAILED:
                lines += ["  " + line for line in task.log.splitlines()[-40:]]
        return "\n".join(lines)
