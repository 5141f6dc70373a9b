"""The workflow of a run as Argo keeps it, which knows the end of every pod, also of those that are gone."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from pipeline.kubeflow.steps import Step, StepName
from pipeline.runs.status import NodeState

_STATES = {
    "Pending": NodeState.RUNNING,
    "Running": NodeState.RUNNING,
    "Succeeded": NodeState.COMPLETE,
    "Skipped": NodeState.SKIPPED,
    "Failed": NodeState.FAILED,
    "Error": NodeState.FAILED,
}


class Workflow:
    """The nodes of a workflow.

    Args:
      document: the Workflow object, as the API of Kubernetes has it.
    """

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._nodes = _nodes(document.get("status", {}))

    @property
    def steps(self) -> dict[str, Step]:
        """Where each step stands, by the last part of its name; empty where Argo has kept the nodes elsewhere."""
        return {str(node["name"]).rpartition(".")[2]: _step(node) for node in self._nodes}

    def attempts(self, task: str) -> dict[int, Step]:
        """The attempts at the work of a task, by number, the first one first.

        Args:
          task: its key in the package.
        """
        return dict(sorted(self._attempts(task), key=lambda attempt: attempt[0]))

    def _attempts(self, task: str) -> Iterator[tuple[int, Step]]:
        for node in self._nodes:
            name = StepName.parse(str(node["name"]))
            if node.get("type") == "Pod" and name is not None and name.task == task and not name.is_driver:
                yield name.attempt, _step(node)


def _nodes(status: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    if compressed := status.get("compressedNodes"):
        # What Argo writes in their place when the workflow would be larger than 1 MiB.
        return list(json.loads(gzip.decompress(base64.b64decode(compressed))).values())
    return list((status.get("nodes") or {}).values())


def _step(node: Mapping[str, Any]) -> Step:
    state = _STATES.get(node.get("phase", ""))
    ended = _seconds(node.get("finishedAt"))
    return Step(state, _seconds(node.get("startedAt")), ended, str(node.get("message") or ""))


def _seconds(moment: str | None) -> float | None:
    return datetime.fromisoformat(moment.replace("Z", "+00:00")).timestamp() if moment else None
