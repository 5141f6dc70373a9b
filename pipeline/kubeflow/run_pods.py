"""The pods of a run: their logs, what keeps one from running, and the error that one ended with."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pipeline.errors import ConveyorError, NodeError, UsageError
from pipeline.kubeflow.pod.termination import Termination
from pipeline.runs.status import RunState
from pipeline.util.kubectl import Kubectl
from pipeline.util.pods import PodIssue, issues, pod_name, termination_message
from pipeline.util.programs import ProgramError

if TYPE_CHECKING:
    from rich.console import Console

    from pipeline.config import PipelineConfig

_RUN_LABEL = "pipeline/runid"
_STEP_ANNOTATION = "workflows.argoproj.io/node-name"
# As in flights-x7k2p.root.exit-handler-1.trainer.executor(0): the pod that does a task's work, and the number of the attempt
# where there may be several; and flights-x7k2p.root.exit-handler-1.trainer-driver: the pod that prepares it. Where Argo retries
# every step by default, each name has a number: flights-x7k2p(0).root(0).exit-handler-1(0).trainer(0).executor(0).
_EXECUTOR = re.compile(r"\.(?P<task>[^.(]+)(\(\d+\))?\.executor(\(\d+\))?$")
_DRIVER = re.compile(r"\.(?P<task>[^.(]+)-driver(\(\d+\))?$")
_CONTAINER = "main"
_TAIL_LINES = 400
_SHOWN_LINES = 12
# The reason of every container that ended with another exit code than 0, whatever the cause.
_ERROR = "Error"
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
}


class RunPods:
    """The pods of one run, seen through kubectl.

    Args:
      config: the configuration that names the cluster and the namespace.
      run_id: the run's id.
      console: where a log that is followed is shown.
    """

    def __init__(self, config: PipelineConfig, run_id: str, console: Console) -> None:
        self.run_id = run_id
        self.kubectl = Kubectl(config.kubeflow.context, config.kubeflow.namespace, console)

    def of(self, task: str) -> list[dict[str, Any]]:
        """The pods of a task, one for each attempt, the oldest first; its driver's pod while there is no other.

        Args:
          task: its key in the package.

        Raises:
          ProgramError: kubectl failed.
          UsageError: kubectl is not installed.
        """
        mine = [(step, pod) for step, pod in self._steps() if _task(step) == task]
        return [pod for step, pod in mine if _EXECUTOR.search(step)] or [pod for _, pod in mine]

    def log(self, pod: Mapping[str, Any], lines: int = -1) -> str:
        """The log of a pod's task.

        Args:
          pod: a pod of the run.
          lines: how many of the last lines; all of them when not given.

        Raises:
          ProgramError: kubectl failed: for one, the container has not started.
        """
        return self.kubectl.read("logs", pod_name(pod), f"--container={_CONTAINER}", f"--tail={lines}")

    def follow_log(self, pod: Mapping[str, Any]) -> None:
        """Shows the log of a pod's task until the task ends.

        Raises:
          ProgramError: kubectl failed.
        """
        self.kubectl.run("logs", pod_name(pod), f"--container={_CONTAINER}", "--follow", "--pod-running-timeout=10m")

    def issues(self) -> dict[str, str]:
        """What keeps pods from starting, or why they were ended, by task; tasks without an issue are left out.

        Raises:
          ProgramError: kubectl failed.
          UsageError: kubectl is not installed.
        """
        # Of a task's pods, the newest counts.
        latest = {_task(step): _issue(pod) for step, pod in self._steps()}
        return {task: str(issue) for task, issue in latest.items() if issue and issue.reason != _ERROR}

    def error_of(self, task: str, node: str) -> ConveyorError:
        """The error that a failed task ended with: the one that its pod reported, or what Kubernetes says of the pod.

        Args:
          task: its key in the package.
          node: its name.
        """
        try:
            pods = self.of(task)
        except (ProgramError, UsageError) as error:
            return NodeError(
                f"{node} failed, and its pods cannot be looked at from here.",
                where=node,
                seen=f"{error.what} {error.seen}",
                fix=error.fix,
            )
        if not pods:
            return NodeError(
                f"{node} failed before its pod was made, or the pod is gone.",
                where=node,
                fix="The dashboard shows the task's driver, which makes the pod, and keeps the log.",
            )
        log_command = f"`conveyor logs {self.run_id} {node}` shows the whole log."
        problem = _termination(pods[-1]).problem
        if problem is not None:
            reported = problem.as_error()
            reported.where = reported.where or node
            reported.fix = f"{reported.fix}\n{log_command}".strip()
            return reported
        issue = _issue(pods[-1])
        fix = next((fix.format(node) for reason, fix in _FIXES.items() if issue and issue.reason.startswith(reason)), "")
        return NodeError(
            f"{node} failed{f': {issue}' if issue else '.'}",
            where=node,
            seen=self._last_lines(pods[-1]),
            fix=f"{fix}\n{log_command}".strip(),
        )

    def final_state(self, exit_task: str) -> RunState | None:
        """The run's state as the exit task reported it, which knows more than the API does; None where it cannot be read.

        Args:
          exit_task: its key in the package.
        """
        try:
            pods = self.of(exit_task)
        except (ProgramError, UsageError):
            return None
        return _termination(pods[-1]).run_state if pods else None

    def _last_lines(self, pod: Mapping[str, Any]) -> str:
        try:
            log = self.log(pod, _TAIL_LINES)
        except ProgramError as error:
            # A container that never started has no log; kubectl says so.
            log = error.seen
        return "\n".join([line for line in log.splitlines() if line.strip()][-_SHOWN_LINES:])

    def _steps(self) -> Iterator[tuple[str, dict[str, Any]]]:
        pods = self.kubectl.objects("pods", f"--selector={_RUN_LABEL}={self.run_id}")
        for pod in sorted(pods, key=lambda pod: str(pod["metadata"]["creationTimestamp"])):
            step = pod["metadata"].get("annotations", {}).get(_STEP_ANNOTATION, "")
            if _task(step):
                yield step, pod


def _task(step: str) -> str:
    """The key of the task that a step of the workflow belongs to; empty where it has none."""
    found = _EXECUTOR.search(step) or _DRIVER.search(step)
    return found["task"] if found else ""


def _termination(pod: Mapping[str, Any]) -> Termination:
    return Termination.parse(termination_message(pod, _CONTAINER))


def _issue(pod: Mapping[str, Any]) -> PodIssue | None:
    """What keeps a pod from running, or ended it; None where nothing does, or where its task reported a problem itself."""
    found = [] if _termination(pod).problem else sorted(issues(pod), key=lambda issue: issue.reason == _ERROR)
    return found[0] if found else None
