"""The rules of Kubernetes' Pod Security Standards that a pod breaks, for the levels baseline and restricted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

_VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
_BASELINE_CAPABILITIES = {
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
}


def violations(pod: dict[str, Any], level: str) -> list[str]:
    """What of a pod's spec a namespace that enforces the level would refuse."""
    found = [*_baseline(pod)]
    if level == "restricted":
        found += _restricted(pod)
    return found


def containers(pod: dict[str, Any]) -> list[dict[str, Any]]:
    """All containers of a pod, those that only run first among them."""
    return [*pod.get("initContainers", []), *pod["containers"]]


def _baseline(pod: dict[str, Any]) -> Iterator[str]:
    for field in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.get(field):
            yield field
    for volume in pod.get("volumes", []):
        if "hostPath" in volume:
            yield f"volume {volume['name']}: hostPath"
    for container in containers(pod):
        context = container.get("securityContext", {})
        if context.get("privileged"):
            yield f"{container['name']}: privileged"
        if added := set(context.get("capabilities", {}).get("add", [])) - _BASELINE_CAPABILITIES:
            yield f"{container['name']}: adds {', '.join(sorted(added))}"
        if any("hostPort" in port for port in container.get("ports", [])):
            yield f"{container['name']}: hostPort"


def _restricted(pod: dict[str, Any]) -> Iterator[str]:
    of_pod = pod.get("securityContext", {})
    for volume in pod.get("volumes", []):
        if kinds := volume.keys() - _VOLUMES - {"name"}:
            yield f"volume {volume['name']}: {', '.join(sorted(kinds))}"
    for container in containers(pod):
        name, context = container["name"], {**of_pod, **container.get("securityContext", {})}
        if context.get("allowPrivilegeEscalation") is not False:
            yield f"{name}: allowPrivilegeEscalation"
        if context.get("runAsNonRoot") is not True:
            yield f"{name}: runAsNonRoot"
        if context.get("runAsUser") == 0:
            yield f"{name}: runAsUser 0"
        if context.get("seccompProfile", {}).get("type") not in ("RuntimeDefault", "Localhost"):
            yield f"{name}: seccompProfile"
        capabilities = context.get("capabilities", {})
        if "ALL" not in capabilities.get("drop", []) or set(capabilities.get("add", [])) - {"NET_BIND_SERVICE"}:
            yield f"{name}: capabilities"
