"""What of a cluster is at work, what is not, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.util.kubectl import Kubectl

# Pods of runs come and go, and may fail; `conveyor status` tells of those.
_NOT_OF_RUNS = "--selector=!workflows.argoproj.io/workflow"
_STARTING = ("ContainerCreating", "PodInitializing")


@dataclass(frozen=True)
class Workload:
    """A Deployment, and how many of its pods can be used."""

    name: str
    ready: int
    wanted: int

    @property
    def is_ready(self) -> bool:
        """Whether all its pods can be used."""
        return self.ready >= self.wanted


@dataclass(frozen=True)
class Trouble:
    """A pod that is not ready.

    Attributes:
      pod: its name.
      why: what its state says.
      event: the last warning about it; empty when there is none.
    """

    pod: str
    why: str
    event: str

    def __str__(self) -> str:
        return f"{self.pod}: {self.why}" + (f"\n  {self.event}" if self.event else "")


def workloads(kubectl: Kubectl) -> list[Workload]:
    """The Deployments of kubectl's namespace.

    Raises:
      ProgramError: the cluster does not answer.
    """
    return [
        Workload(
            name=one["metadata"]["name"],
            ready=one.get("status", {}).get("readyReplicas", 0),
            wanted=one["spec"].get("replicas", 1),
        )
        for one in kubectl.objects("deployments")
    ]


def troubles(kubectl: Kubectl) -> list[Trouble]:
    """The pods of kubectl's namespace, but those of runs, that are not ready and should be.

    Raises:
      ProgramError: the cluster does not answer.
    """
    reasons = {pod["metadata"]["name"]: _why(pod) for pod in kubectl.objects("pods", _NOT_OF_RUNS)}
    if not any(reasons.values()):
        return []
    warnings = _last_warnings(kubectl)
    return [Trouble(pod, why, warnings.get(pod, "")) for pod, why in reasons.items() if why]


def _last_warnings(kubectl: Kubectl) -> dict[str, str]:
    events = kubectl.objects("events", "--field-selector=type=Warning,involvedObject.kind=Pod")
    events.sort(key=lambda event: event.get("lastTimestamp") or event.get("eventTime") or "")
    return {
        event["involvedObject"]["name"]: f"{event.get('reason', '')}: {event.get('message', '').strip()}" for event in events
    }


def _why(pod: Mapping[str, Any]) -> str:
    """Why a pod is not ready; empty when it is, or has done its work."""
    status = pod.get("status", {})
    conditions = {condition["type"]: condition for condition in status.get("conditions", ())}
    if status.get("phase") == "Succeeded" or conditions.get("Ready", {}).get("status") == "True":
        return ""
    if conditions.get("PodScheduled", {}).get("status") == "False":
        return f"no node for it: {conditions['PodScheduled'].get('message', '')}"
    containers = [*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())]
    found = [text for text in map(_why_container, containers) if text]
    return "; ".join(found) or status.get("message") or "starting"


def _why_container(container: Mapping[str, Any]) -> str:
    waiting = container["state"].get("waiting", {})
    ended = container["state"].get("terminated") or container.get("lastState", {}).get("terminated") or {}
    exit_code = f"exit code {ended['exitCode']} ({ended.get('reason', 'Error')})" if ended.get("exitCode") else ""
    if waiting and waiting.get("reason") not in _STARTING:
        parts = (waiting.get("reason", ""), exit_code or waiting.get("message", ""))
        return f"{container['name']}: {', '.join(part for part in parts if part)}"
    if exit_code:
        return f"{container['name']}: {exit_code}"
    if "running" in container["state"] and not container.get("ready"):
        return f"{container['name']}: runs, and is not ready yet"
    return ""
