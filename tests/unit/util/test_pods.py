"""What pods of Kubernetes' API are read as."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.util.pods import has_succeeded, is_ready, issues, not_yet_ready, termination_message


def pod(**status: Any) -> dict[str, Any]:
    return {"metadata": {"name": "a"}, "status": status}


def waiting(reason: str, message: str = "", **container: Any) -> dict[str, Any]:
    state = {"waiting": {"reason": reason, "message": message}}
    return pod(phase="Pending", containerStatuses=[{"name": "main", "state": state, **container}])


def ended(reason: str, exit_code: int = 0, **further: Any) -> dict[str, Any]:
    state = {"terminated": {"reason": reason, "exitCode": exit_code, **further}}
    return pod(phase="Failed", containerStatuses=[{"name": "main", "state": state}])


def scheduled(status: str, **further: Any) -> dict[str, Any]:
    return pod(phase="Pending", conditions=[{"type": "PodScheduled", "status": status, **further}])


@pytest.mark.parametrize(
    ("described", "text"),
    [
        (waiting("ImagePullBackOff", 'Back-off pulling image "c:1"'), 'ImagePullBackOff: Back-off pulling image "c:1"'),
        (waiting("CreateContainerConfigError", "no secret"), "CreateContainerConfigError: no secret"),
        (
            waiting("CrashLoopBackOff", "back-off 5m0s", lastState={"terminated": {"exitCode": 137, "reason": "OOMKilled"}}),
            "CrashLoopBackOff: exit code 137 (OOMKilled)",
        ),
        (ended("OOMKilled", 137), "OOMKilled, exit code 137"),
        (ended("OOMKilled"), "OOMKilled, exit code 0"),
        (ended("Error", 2), "Error, exit code 2"),
        (pod(phase="Failed", reason="Evicted", message="low on memory"), "Evicted: low on memory"),
        (
            scheduled("False", reason="Unschedulable", message="0/1 nodes are available:\n1 Insufficient memory."),
            "Unschedulable: 0/1 nodes are available: 1 Insufficient memory.",
        ),
    ],
)
def test_what_keeps_a_pod_from_running_or_ended_it(described: dict[str, Any], text: str) -> None:
    assert [str(issue) for issue in issues(described)] == [text]


@pytest.mark.parametrize(
    "described",
    [
        waiting("ContainerCreating"),
        waiting("PodInitializing"),
        ended("Completed"),
        pod(phase="Pending"),
        scheduled("True"),
        {"metadata": {"name": "a"}},
    ],
)
def test_a_pod_that_starts_runs_or_is_done_has_no_issue(described: dict[str, Any]) -> None:
    assert issues(described) == []


def test_init_containers_come_first() -> None:
    state = {"terminated": {"reason": "Error", "exitCode": 1}}
    described = pod(
        initContainerStatuses=[{"name": "init", "state": state}],
        containerStatuses=[{"name": "main", "state": {"waiting": {"reason": "PodInitializing"}}}],
    )

    assert [issue.container for issue in issues(described)] == ["init"]


def test_a_pod_is_ready_until_it_is_deleted() -> None:
    ready = pod(conditions=[{"type": "Ready", "status": "True"}])

    assert is_ready(ready)
    assert not is_ready({**ready, "metadata": {"deletionTimestamp": "2026-03-01T06:00:00Z"}})
    assert not is_ready(pod())
    assert has_succeeded(pod(phase="Succeeded"))


def test_containers_that_run_are_not_always_ready() -> None:
    described = pod(
        containerStatuses=[
            {"name": "main", "state": {"running": {}}, "ready": True},
            {"name": "proxy", "state": {"running": {}}, "ready": False},
        ]
    )

    assert not_yet_ready(described) == ["proxy"]


def test_a_termination_message_is_its_containers() -> None:
    assert termination_message(ended("Error", 1, message='{"a": 1}'), "main") == '{"a": 1}'
    assert termination_message(ended("Error", 1, message='{"a": 1}'), "wait") == ""
    assert termination_message(waiting("PodInitializing"), "main") == ""
