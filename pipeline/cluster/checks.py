"""Which Deployments and pods are ready, and why not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.util.kubectl import Kubectl
from pipeline.util.pods import has_succeeded, is_ready, issues, not_yet_ready, pod_name

# The pods of runs come and go, and may fail; `conveyor status` shows those.
_NO_RUNS = "--selector=!workflows.argoproj.io/workflow"


@dataclass(frozen=True)
class Workload:
    """A Deployment, with how many of its pods are ready and how many are wanted."""

    name: str
    ready: int
    wanted: int

    @property
    def is_ready(self) -> bool:
        """Whether all its pods are ready."""
        return self.ready >= self.wanted


@dataclass(frozen=True)
class UnreadyPod:
    """A pod that should be ready and is not.

    Attributes:
      pod: the pod's name.
      why: what its status says.
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


def unready_pods(kubectl: Kubectl) -> list[UnreadyPod]:
    """The pods of kubectl's namespace that should be ready and are not, without those of runs.

    Raises:
      ProgramError: the cluster does not answer.
    """
    reasons = {pod_name(pod): _why_unready(pod) for pod in kubectl.objects("pods", _NO_RUNS)}
    if not any(reasons.values()):
        return []
    warnings = _last_warnings(kubectl)
    return [UnreadyPod(pod, why, warnings.get(pod, "")) for pod, why in reasons.items() if why]


def _last_warnings(kubectl: Kubectl) -> dict[str, str]:
    events = kubectl.objects("events", "--field-selector=type=Warning,involvedObject.kind=Pod")
    events.sort(key=lambda event: event.get("lastTimestamp") or event.get("eventTime") or "")
    return {
        event["involvedObject"]["name"]: f"{event.get('reason', '')}: {event.get('message', '').strip()}" for event in events
    }


def _why_unready(pod: Mapping[str, Any]) -> str:
    """Why a pod is not ready; empty when it is, or has done its work."""
    if has_succeeded(pod) or is_ready(pod):
        return ""
    found = [f"{issue.container}: {issue}" if issue.container else str(issue) for issue in issues(pod)]
    found += [f"{container}: running, but not ready yet" for container in not_yet_ready(pod)]
    return "; ".join(found) or "starting"
