"""The steps of a run: whose they are by their names, where they stand, and what they say of a task.

A task `trainer` of the package has up to three: `trainer-driver` prepares the pod, `trainer` is the work as a whole, and
`executor` is the pod, with a number for each attempt. Where Argo retries every step by default, each name has a number:
`flights-x7k2p(0).root(0).exit-handler-1(0).trainer(0).executor(0)` instead of
`flights-x7k2p.root.exit-handler-1.trainer.executor(0)`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.runs.status import NodeOutcome, NodeState

_EXECUTOR = re.compile(r"\.(?P<task>[^.(]+)(\(\d+\))?\.executor(\((?P<attempt>\d+)\))?$")
_DRIVER = re.compile(r"\.(?P<task>[^.(]+)-driver(\(\d+\))?$")


@dataclass(frozen=True)
class StepName:
    """The name of a step that has a pod.

    Attributes:
      task: the key of the task that it belongs to.
      is_driver: whether it prepares the task's pod, and does not do its work.
      attempt: the number of the attempt at the work, from 0.
    """

    task: str
    is_driver: bool
    attempt: int = 0

    @classmethod
    def parse(cls, name: str) -> StepName | None:
        """What a step's whole name says; None for steps of no task, and for those that sum up the attempts of a step."""
        if found := _EXECUTOR.search(name):
            return cls(found["task"], is_driver=False, attempt=int(found["attempt"] or 0))
        found = _DRIVER.search(name)
        return cls(found["task"], is_driver=True) if found else None


@dataclass(frozen=True)
class Step:
    """Where a step stands. Times are seconds since 1970.

    Attributes:
      state: None for a step that was left out, because one before it failed.
      started: None where it has not started.
      ended: None where it has not ended.
      message: what Argo says of it; often empty.
    """

    state: NodeState | None
    started: float | None = None
    ended: float | None = None
    message: str = ""


def task_outcome(key: str, steps: Mapping[str, Step]) -> NodeOutcome:
    """The outcome of a task so far.

    Args:
      key: the task's key in the package.
      steps: the steps of the run by the last part of their names.
    """
    work, driver = steps.get(key), steps.get(f"{key}-driver")
    # A step whose driver failed is left out.
    shown = work if work is not None and work.state is not None else driver
    if shown is None or shown.state is None:
        return NodeOutcome()
    is_prepared = shown is driver and shown.state is NodeState.COMPLETE
    state = NodeState.RUNNING if is_prepared else shown.state
    return NodeOutcome(state=state, started=(driver or shown).started, ended=shown.ended if state.has_ended else None)
