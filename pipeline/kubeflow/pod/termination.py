"""How a pod ended, as JSON in its container's termination message.

`conveyor submit` and `status` read it back from the pod's status. The text of the log is for people alone.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from contextlib import suppress
from pathlib import Path

from pydantic import BaseModel, Field, ValidationError

from pipeline.runs.status import NodeOutcome, Problem, RunOutcome, RunState

LIMIT = 4096
"""Bytes of a termination message that the kubelet reads."""

PATH_VARIABLE = "CONVEYOR_TERMINATION_LOG"
"""Names another file than the one that Kubernetes reads by default."""

_DEFAULT_PATH = "/dev/termination-log"
_CUT = "…"


class Termination(BaseModel):
    """How a pod ended.

    Attributes:
      problem: what its task failed with; None when it succeeded.
      run_state: the state of the run, which the exit task alone knows.
      nodes: the states and times of all nodes of the run, by their ids, which it knows too.
    """

    problem: Problem | None = None
    run_state: RunState | None = None
    nodes: dict[str, NodeOutcome] = Field(default_factory=dict)

    @classmethod
    def parse(cls, message: str) -> Termination:
        """What a termination message says; nothing where it is empty or another program's."""
        try:
            return cls.model_validate_json(message)
        except ValidationError:
            return cls()

    def message(self) -> str:
        """The message, at most `LIMIT` bytes of UTF-8; where it would be longer, its longest texts are cut.

        Tracebacks are left to the log.
        """
        longest = max(map(len, (self.problem.what, *self.problem.details.values()))) if self.problem else 0
        fitting = bisect_right(range(longest + 1), LIMIT, key=lambda size: len(self._with_texts_of(size).encode()))
        return self._with_texts_of(fitting - 1)

    def _with_texts_of(self, size: int) -> str:
        """The message with texts of at most `size` characters."""
        document = self.model_copy()
        if self.problem is not None:
            details = {name: _cut(text, size) for name, text in self.problem.details.items()}
            shortened = {"what": _cut(self.problem.what, size), "details": details, "traceback": ""}
            document.problem = self.problem.model_copy(update=shortened)
        return document.model_dump_json(exclude_defaults=True)


def report(*, problem: Problem | None = None, outcome: RunOutcome | None = None) -> None:
    """Hands Kubernetes what a task knows of its end, beside what it has reported before.

    Outside a cluster, where no file waits for it, nothing is written. An end is not delayed by a file that cannot be written:
    the log says the same.

    Args:
      problem: what the task failed with.
      outcome: what became of the run.
    """
    path = Path(os.environ.get(PATH_VARIABLE, _DEFAULT_PATH))
    if not path.is_file():
        return
    with suppress(OSError):
        known = Termination.parse(path.read_text(encoding="utf-8", errors="replace"))
        termination = known.model_copy(update={"problem": problem or known.problem})
        if outcome is not None:
            termination.run_state = outcome.state
            termination.nodes = {name: _in_brief(node) for name, node in outcome.nodes.items()}
        # In place: the file is a mount, which cannot be replaced.
        path.write_text(termination.message(), encoding="utf-8")


def _in_brief(node: NodeOutcome) -> NodeOutcome:
    times = {moment: seconds and round(seconds, 1) for moment, seconds in (("started", node.started), ("ended", node.ended))}
    return NodeOutcome(state=node.state, **times)


def _cut(text: str, size: int) -> str:
    # Names of files may hold bytes that are not UTF-8, which Python keeps as lone surrogates and JSON cannot hold.
    text = text.encode(errors="replace").decode()
    return text if len(text) <= size else text[: max(size - len(_CUT), 0)] + _CUT
