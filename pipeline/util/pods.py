"""Pods as Kubernetes' API describes them: which are ready, what keeps one from running, and how its containers ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# The reasons with which every container waits before it starts, and ends when all went well.
_STARTING = ("ContainerCreating", "PodInitializing")
_COMPLETED = "Completed"


@dataclass(frozen=True)
class PodIssue:
    """Something that keeps a pod from running, or that ended it.

    Attributes:
      reason: Kubernetes' word for it, such as Unschedulable, ImagePullBackOff, OOMKilled or Error.
      message: what Kubernetes adds, on one line; often empty.
      container: the name of the container; empty where the whole pod is concerned.
      exit_code: the exit code of the container; None where it has not ended.
    """

    reason: str
    message: str = ""
    container: str = ""
    exit_code: int | None = None

    def __str__(self) -> str:
        code = "" if self.exit_code is None else f", exit code {self.exit_code}"
        return f"{self.reason}{code}" + (f": {self.message}" if self.message else "")


def pod_name(pod: Mapping[str, Any]) -> str:
    """The pod's name."""
    return str(pod["metadata"]["name"])


def is_ready(pod: Mapping[str, Any]) -> bool:
    """Whether requests can be sent to the pod: it is ready, and is not being deleted."""
    return _condition(pod, "Ready").get("status") == "True" and "deletionTimestamp" not in pod["metadata"]


def has_succeeded(pod: Mapping[str, Any]) -> bool:
    """Whether the pod has done its work."""
    return bool(_status(pod).get("phase") == "Succeeded")


def has_failed(pod: Mapping[str, Any]) -> bool:
    """Whether the pod has ended without having done its work."""
    return bool(_status(pod).get("phase") == "Failed")


def has_ended(pod: Mapping[str, Any]) -> bool:
    """Whether the pod has ended, with its work done or not."""
    return has_succeeded(pod) or has_failed(pod)


def issues(pod: Mapping[str, Any]) -> list[PodIssue]:
    """What keeps the pod from running, or ended it; empty where nothing does."""
    scheduled = _condition(pod, "PodScheduled")
    if scheduled.get("status") == "False":
        return [PodIssue(scheduled.get("reason", "Unschedulable"), _line(scheduled.get("message")))]
    found = [issue for container in _containers(pod) if (issue := _container_issue(container))]
    if _status(pod).get("reason"):
        found.append(PodIssue(_status(pod)["reason"], _line(_status(pod).get("message"))))
    return found


def not_yet_ready(pod: Mapping[str, Any]) -> list[str]:
    """The names of containers that are running and not ready."""
    return [each["name"] for each in _containers(pod) if "running" in each["state"] and not each.get("ready")]


def termination_message(pod: Mapping[str, Any], container: str) -> str:
    """The message that a container wrote for Kubernetes at its end; empty where it wrote nothing, or has not ended."""
    ended = [each["state"].get("terminated", {}) for each in _containers(pod) if each.get("name") == container]
    return str(ended[0].get("message", "")) if ended else ""


def _container_issue(container: Mapping[str, Any]) -> PodIssue | None:
    name = container.get("name", "")
    waiting, ended = container["state"].get("waiting", {}), container["state"].get("terminated", {})
    if waiting.get("reason") not in (None, *_STARTING):
        before = container.get("lastState", {}).get("terminated", {})
        last = f"exit code {before['exitCode']} ({before.get('reason', 'Error')})" if before.get("exitCode") else ""
        return PodIssue(waiting["reason"], last or _line(waiting.get("message")), name)
    if ended.get("exitCode") or ended.get("reason") not in (None, _COMPLETED):
        return PodIssue(ended.get("reason", "Error"), _line(ended.get("message")), name, ended.get("exitCode"))
    return None


def _containers(pod: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [*_status(pod).get("initContainerStatuses", ()), *_status(pod).get("containerStatuses", ())]


def _condition(pod: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    return next((each for each in _status(pod).get("conditions", ()) if each["type"] == kind), {})


def _status(pod: Mapping[str, Any]) -> Mapping[str, Any]:
    status: Mapping[str, Any] = pod.get("status", {})
    return status


def _line(text: str | None) -> str:
    return " ".join((text or "").split())
