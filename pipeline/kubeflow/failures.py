"""Why a task of a run failed: by its pod, by Kubernetes, or by what Argo remembers of a pod that is gone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.errors import ConveyorError, NodeError, UsageError
from pipeline.kubeflow.run_pods import RunPods, issue_of, step_name, termination
from pipeline.kubeflow.runs import PackageTask
from pipeline.kubeflow.steps import Step
from pipeline.runs.status import NodeState
from pipeline.util.programs import ProgramError

_TAIL_LINES = 400
_SHOWN_LINES = 12
_AGAIN = "`conveyor submit` starts another run, which takes over what is complete; with --retries it does so by itself"
# By what Kubernetes or Argo says of a pod that was taken: 143 is the exit code of a process that was asked to end.
_SIGNS_OF_LOSS = ("Evicted", "pod deleted", "exit code 143")
_IMAGE_FIX = "`conveyor image load` brings the image into the local cluster, `conveyor image push` to others"
# What helps, by the beginning of an issue's reason; {} stands for the node.
_FIXES = {
    "OOMKilled": "Give it more memory: kubeflow.nodes.{}.memory_limit",
    "ErrImage": _IMAGE_FIX,
    "ImagePull": _IMAGE_FIX,
    "InvalidImageName": "Correct the image's name in kubeflow.image",
    "CreateContainerConfigError": "`conveyor cluster up` makes the Secrets that pods need",
    "Unschedulable": "Ask for less in kubeflow.nodes.{} or kubeflow.resources, or give the cluster more",
    "Evicted": "Ask for what it needs in kubeflow.nodes.{}, so that the cluster finds a place for it",
    "DeadlineExceeded": "Give it more time: kubeflow.nodes.{}.timeout_seconds",
}


class PodLostError(NodeError):
    """The cluster took a node its pod: it was deleted or evicted, through no fault of the node."""


def error_of(pods: RunPods, task: str, node: str) -> ConveyorError:
    """The error that a failed task ended with.

    Args:
      pods: the pods of the run.
      task: the task's key in the package.
      node: its name.
    """
    try:
        attempts = pods.of(task)
    except (ProgramError, UsageError) as error:
        return NodeError(
            f"{node} failed, and its pods cannot be looked at from here.",
            where=node,
            seen=f"{error.what} {error.seen}",
            fix=error.fix,
        )
    workflow = pods.workflow()
    known = workflow.attempts(task) if workflow is not None else {}
    last = max(known, default=None)
    name = step_name(attempts[-1]) if attempts else None
    if name is None or (last is not None and not name.is_driver and name.attempt < last):
        return _of_lost_pod(node, known[last] if last is not None else None)
    return _of_pod(pods, attempts[-1], node, known.get(name.attempt))


def _of_pod(pods: RunPods, pod: Mapping[str, Any], node: str, step: Step | None) -> ConveyorError:
    log_command = f"`conveyor logs {pods.run_id} {node}` shows the whole log."
    problem = termination(pod).problem
    if problem is not None:
        reported = problem.as_error()
        reported.where = reported.where or node
        reported.fix = f"{reported.fix}\n{log_command}".strip()
        return reported
    issue = issue_of(pod)
    reason = issue or (step.message if step is not None else "")
    fix = next((fix.format(node) for start, fix in _FIXES.items() if issue and issue.reason.startswith(start)), "")
    return _kind(str(reason))(
        f"{node} failed{f': {reason}' if reason else '.'}",
        where=node,
        seen=_last_lines(pods, pod),
        fix=f"{fix}\n{log_command}".strip(),
    )


def _of_lost_pod(node: str, step: Step | None) -> NodeError:
    if step is None:
        return NodeError(
            f"{node} failed before its pod was made, or the pod is gone.",
            where=node,
            seen="neither a pod nor Argo's workflow says why",
            fix="The dashboard shows the task's driver, which makes the pod, and keeps the log.",
        )
    return _kind(step.message)(
        f"{node} failed, and its pod is gone{f': {step.message}' if step.message else '.'}",
        where=node,
        expected="a pod that stays until its work is done; one that is deleted or evicted loses what it was doing",
        seen="Argo's workflow alone, which keeps no log",
        fix=f"{_AGAIN}. `kubectl get events` may say who ended the pod.",
    )


def _kind(reason: str) -> type[NodeError]:
    return PodLostError if any(sign in reason for sign in _SIGNS_OF_LOSS) else NodeError


def _last_lines(pods: RunPods, pod: Mapping[str, Any]) -> str:
    try:
        log = pods.log(pod, _TAIL_LINES)
    except ProgramError as error:
        # A container that never started has no log; kubectl says so.
        log = error.seen
    return "\n".join([line for line in log.splitlines() if line.strip()][-_SHOWN_LINES:])


def no_pod(pods: RunPods, task: PackageTask, state: NodeState, address: str) -> UsageError:
    """The error for a task that has no pod, and so no log.

    Args:
      pods: the pods of the run.
      task: the task.
      state: where it stands.
      address: where the dashboard shows the run.
    """
    workflow = pods.workflow()
    attempts = workflow.attempts(task.key) if workflow is not None else {}
    if not attempts and state is NodeState.WAITING:
        return UsageError(f"{task.name} has not started yet.", where=task.name, fix="`conveyor status` says what it waits for.")
    if not attempts and state is NodeState.RUNNING:
        return UsageError(f"{task.name} has no pod yet.", where=task.name, fix="Kubeflow prepares it: try again in seconds.")
    ends = [f"attempt {number + 1}: {step.message or (step.state or state).value}" for number, step in attempts.items()]
    return UsageError(
        f"{task.name} has no pod{' any more.' if attempts or state is not NodeState.BLOCKED else ': it never started.'}",
        where=task.name,
        expected="a pod of the run; pods are deleted some time after the run has ended",
        seen=", ".join(ends) or state.value,
        fix=f"The dashboard keeps the logs of pods that ended by themselves: {address}",
    )
