"""What Kubeflow Pipelines 2.17 and Argo 4.0.5 answered about runs: in each file a run of the API, its workflow and its pods.

complete: every node; the workflow is kept whole.
frozen: complete too, but the workflow became larger than 1 MiB, and the driver of the exit task failed. Every step is retried.
data_error: ExampleValidator failed in three attempts.
pod_deleted: somebody deleted the Trainer's pod.
terminated: the Trainer's pod ended with 143 and is gone. Every step is retried; nodes are in groups.
refused: the model was refused; the Trainer's first attempt was killed. Nodes are in groups.
cancelled: while the first group was at work. Nodes are in groups; neither its workflow nor its pods were kept.
"""

from __future__ import annotations

import base64
import gzip
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pipeline.kubeflow.runs import PackageTask

GROUPED = [
    PackageTask("Prepare", "prepare", (), at_exit=False),
    PackageTask("Trainer", "trainer", ("prepare",), at_exit=False),
    PackageTask("Judge", "judge", ("trainer",), at_exit=False),
    PackageTask("finish", "finish", ("exit-handler-1",), at_exit=True),
]
"""The tasks of the packages whose nodes are in groups."""

_FOLDER = Path(__file__).with_suffix("")
_STEP = "workflows.argoproj.io/node-name"


@dataclass(frozen=True)
class Record:
    """A run as it was answered about.

    Attributes:
      run: the run of the API, with its tasks.
      workflow: the Workflow object; None where it was not kept.
      pods: the Pod objects that there were.
    """

    run: dict[str, Any]
    workflow: dict[str, Any] | None
    pods: list[dict[str, Any]]

    def pod(self, step: str) -> dict[str, Any]:
        """The pod of a step, by the end of its name."""
        (found,) = (pod for pod in self.pods if pod["metadata"]["annotations"][_STEP].endswith(step))
        return found


def record(name: str) -> Record:
    """A record of its own for each caller, who may change it."""
    document = json.loads(_read(name))
    return Record(document["run"], document["workflow"], document["pods"])


def compressed(nodes: dict[str, Any]) -> str:
    """Nodes of a workflow as Argo writes them where the workflow would be too large."""
    return base64.b64encode(gzip.compress(json.dumps(nodes).encode())).decode()


def nodes_of(pods: list[dict[str, Any]]) -> dict[str, Any]:
    """The nodes of a workflow in which every step is retried, as far as they follow from its pods.

    Of the one record of such a workflow that was compressed, the compressed nodes themselves were not kept.
    """
    nodes: dict[str, Any] = {}
    for pod in pods:
        name, phase = pod["metadata"]["annotations"][_STEP], pod["status"]["phase"]
        times = {"startedAt": pod["metadata"]["creationTimestamp"], "finishedAt": pod["metadata"]["creationTimestamp"]}
        steps = {name: "Pod", name.removesuffix("(0)"): "Retry"}
        if name.endswith(".executor(0)"):
            steps[name.removesuffix("(0).executor(0)")] = "Retry"
        nodes |= {step: {"name": step, "type": kind, "phase": phase, **times} for step, kind in steps.items()}
    return nodes


@cache
def _read(name: str) -> str:
    return (_FOLDER / f"{name}.json").read_text()
