"""The checkers find what they are there to find."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tests.unit.manifests.kubernetes_schema import problems
from tests.unit.manifests.pod_security import violations

CONTAINER = {
    "name": "main",
    "image": "conveyor:0.1.0",
    "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
}
POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "conveyor"},
    "spec": {
        "securityContext": {"runAsUser": 1000, "runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [CONTAINER],
    },
}


def changed(path: str, value: Any) -> dict[str, Any]:
    """The pod with one value set, or taken out by None."""
    pod: Any = copy.deepcopy(POD)
    *way, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    inner = pod
    for part in way:
        inner = inner[part]
    if value is None:
        del inner[last]
    else:
        inner[last] = value
    return pod


def test_a_right_object_has_no_problems() -> None:
    assert problems(POD) == []


@pytest.mark.parametrize(
    ("path", "value", "problem"),
    [
        ("spec.containers.0.imagePullPolice", "Always", "Pod.spec.containers[0].imagePullPolice: no such field"),
        ("spec.containers.0.name", None, "Pod.spec.containers[0].name: required, and missing"),
        ("spec.containers", None, "Pod.spec.containers: required, and missing"),
        ("spec.containers", {}, "Pod.spec.containers: expected a list, got {}"),
        ("spec.containers.0.image", 3, "Pod.spec.containers[0].image: expected str, got 3"),
        ("spec.terminationGracePeriodSeconds", "1", "Pod.spec.terminationGracePeriodSeconds: expected int, got '1'"),
        ("spec.terminationGracePeriodSeconds", True, "Pod.spec.terminationGracePeriodSeconds: expected int, got True"),
        ("spec.securityContext.runAsNonRoot", "yes", "Pod.spec.securityContext.runAsNonRoot: expected bool, got 'yes'"),
        ("metadata.labels", {"app": 1}, "Pod.metadata.labels.app: expected str, got 1"),
        ("metadata", "conveyor", "Pod.metadata: expected V1ObjectMeta, got 'conveyor'"),
        ("kind", "Pot", "no such object: Pot of v1"),
        ("apiVersion", "v2", "no such object: Pod of v2"),
    ],
)
def test_a_wrong_object_has_one(path: str, value: Any, problem: str) -> None:
    assert problems(changed(path, value)) == [problem]


def test_a_right_pod_breaks_no_rule() -> None:
    assert violations(POD["spec"], "restricted") == []  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("path", "value", "violation"),
    [
        ("spec.hostNetwork", True, "hostNetwork"),
        ("spec.volumes", [{"name": "node", "hostPath": {"path": "/"}}], "volume node: hostPath"),
        ("spec.containers.0.securityContext.privileged", True, "main: privileged"),
        ("spec.containers.0.securityContext.capabilities.add", ["SYS_ADMIN"], "main: adds SYS_ADMIN"),
        ("spec.containers.0.ports", [{"containerPort": 80, "hostPort": 80}], "main: hostPort"),
    ],
)
def test_baseline_refuses(path: str, value: Any, violation: str) -> None:
    assert violations(changed(path, value)["spec"], "baseline") == [violation]


@pytest.mark.parametrize(
    ("path", "value", "violation"),
    [
        (
            "spec.volumes",
            [{"name": "share", "nfs": {"server": "nfs", "path": "/"}}],
            "volume share: nfs",
        ),
        ("spec.containers.0.securityContext.allowPrivilegeEscalation", None, "main: allowPrivilegeEscalation"),
        ("spec.containers.0.securityContext.capabilities", {"drop": ["CHOWN"]}, "main: capabilities"),
        ("spec.containers.0.securityContext.capabilities.add", ["CHOWN"], "main: capabilities"),
        ("spec.containers.0.securityContext.runAsUser", 0, "main: runAsUser 0"),
        ("spec.securityContext.runAsNonRoot", None, "main: runAsNonRoot"),
        ("spec.securityContext.seccompProfile", None, "main: seccompProfile"),
    ],
)
def test_restricted_refuses_what_baseline_lets_pass(path: str, value: Any, violation: str) -> None:
    pod = changed(path, value)["spec"]
    assert violations(pod, "baseline") == []
    assert violations(pod, "restricted") == [violation]
