"""The objects that a rollout in a cluster reads and changes: by kubectl, or from within the cluster by its API server."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol

from pipeline.errors import ConveyorError

if TYPE_CHECKING:
    from pipeline.util.kubectl import Kubectl

NAME_LABEL = "app.kubernetes.io/name"
"""The label by which pods are found."""


class Objects(Protocol):
    """The objects of a namespace. Every failure is a ConveyorError."""

    def get(self, kind: str, name: str) -> dict[str, Any] | None:
        """A `configmap` or a `deployment`; None where there is none."""

    def pods(self, name: str) -> list[dict[str, Any]]:
        """The pods of a name, that of their label."""

    def patch(self, config_map: str, patch: Mapping[str, Any]) -> bool:
        """Merges a patch into a ConfigMap; False where the patch names a resource version that it no longer has."""

    def annotate(self, pods: Sequence[str], key: str, value: str) -> None:
        """Gives pods an annotation."""

    def scale(self, deployment: str, replicas: int) -> None:
        """Changes how many pods a Deployment has."""

    def wait_until_available(self, deployment: str, seconds: float) -> None:
        """Waits until a Deployment has its pods, and all of them are ready."""

    def reach(self, pod: Mapping[str, Any], port: int) -> AbstractContextManager[str]:
        """The address, host:port, at which a pod's port answers for as long as the block lasts."""


class KubectlObjects:
    """The objects as kubectl shows them.

    Args:
      kubectl: acts on their namespace.
    """

    def __init__(self, kubectl: Kubectl) -> None:
        self._kubectl = kubectl

    def get(self, kind: str, name: str) -> dict[str, Any] | None:
        """An object, by `kubectl get`."""
        return self._kubectl.get(kind, name)

    def pods(self, name: str) -> list[dict[str, Any]]:
        """The pods of a name, by their label."""
        return self._kubectl.objects("pods", f"--selector={NAME_LABEL}={name}")

    def patch(self, config_map: str, patch: Mapping[str, Any]) -> bool:
        """Merges a patch, by `kubectl patch`."""
        # Not `replace`: it would tell `kubectl apply` that the data came from a manifest, which then takes them away.
        arguments = ("patch", "configmap", config_map, "--type=merge", "--patch-file=/dev/stdin")
        try:
            self._kubectl.run(*arguments, input=json.dumps(patch))
        except ConveyorError as error:
            if "Conflict" not in error.seen and "has been modified" not in error.seen:
                raise
            return False
        return True

    def annotate(self, pods: Sequence[str], key: str, value: str) -> None:
        """Annotates pods, by `kubectl annotate`."""
        self._kubectl.run("annotate", "pods", *pods, "--overwrite", f"{key}={value}")

    def scale(self, deployment: str, replicas: int) -> None:
        """Changes how many pods there are, by `kubectl scale`."""
        self._kubectl.run("scale", f"deployment/{deployment}", f"--replicas={replicas}")

    def wait_until_available(self, deployment: str, seconds: float) -> None:
        """Waits for the pods, by `kubectl rollout status`."""
        fix = f"Its log says why: kubectl -n {self._kubectl.namespace} logs deployment/{deployment} --previous"
        self._kubectl.run("rollout", "status", f"deployment/{deployment}", f"--timeout={seconds:.0f}s", fix=fix)

    def reach(self, pod: Mapping[str, Any], port: int) -> AbstractContextManager[str]:
        """A port of this machine that kubectl forwards to the pod."""
        return self._kubectl.forward(f"pod/{pod['metadata']['name']}", port)
