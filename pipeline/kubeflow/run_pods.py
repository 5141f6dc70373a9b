"""What kubectl tells of a run: its pods with their logs, what keeps one from running, and the workflow behind them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pipeline.errors import UsageError
from pipeline.kubeflow.pod.termination import Termination
from pipeline.kubeflow.steps import StepName
from pipeline.kubeflow.workflow import Workflow
from pipeline.runs.status import NodeOutcome, RunState
from pipeline.util.kubectl import Kubectl
from pipeline.util.pods import PodIssue, has_failed, issues, pod_name, termination_message
from pipeline.util.programs import ProgramError

if TYPE_CHECKING:
    from rich.console import Console

    from pipeline.config import PipelineConfig

_RUN_LABEL = "pipeline/runid"
_STEP_ANNOTATION = "workflows.argoproj.io/node-name"
_CONTAINER = "main"
# The reason of every container that ended with another exit code than 0, whatever the cause.
_ERROR = "Error"


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
        """The pods that did a task's work, one for each attempt, the oldest first.

        Where there is none, a driver that failed: it is why. One that did not fail knows nothing of the task's work.

        Args:
          task: its key in the package.

        Raises:
          ProgramError: kubectl failed.
          UsageError: kubectl is not installed.
        """
        mine = [(name, pod) for name, pod in self._pods() if name.task == task]
        return [pod for name, pod in mine if not name.is_driver] or [pod for _, pod in mine if has_failed(pod)]

    def workflow(self) -> Workflow | None:
        """What Argo knows of the run; None where that cannot be read: the workflow is deleted, or this user may not see it."""
        try:
            found = self.kubectl.objects("workflows.argoproj.io", f"--selector={_RUN_LABEL}={self.run_id}")
        except (ProgramError, UsageError):
            return None
        return Workflow(found[0]) if found else None

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

    def latest(self) -> dict[str, tuple[StepName, dict[str, Any]]]:
        """The newest pod of each task, with the step that it belongs to.

        Raises:
          ProgramError: kubectl failed.
          UsageError: kubectl is not installed.
        """
        return {name.task: (name, pod) for name, pod in self._pods()}

    def final_state(self, exit_task: str) -> RunState | None:
        """The run's state as the exit task reported it, which knows more than the API does; None where it cannot be read.

        Args:
          exit_task: its key in the package.
        """
        return self._reported(exit_task).run_state

    def final_nodes(self, exit_task: str) -> dict[str, NodeOutcome]:
        """The states of the run's nodes as the exit task reported them; empty where they cannot be read.

        Args:
          exit_task: its key in the package.
        """
        return self._reported(exit_task).nodes

    def _reported(self, exit_task: str) -> Termination:
        try:
            pods = self.of(exit_task)
        except (ProgramError, UsageError):
            return Termination()
        return termination(pods[-1]) if pods else Termination()

    def _pods(self) -> Iterator[tuple[StepName, dict[str, Any]]]:
        """The pods of tasks, the oldest first."""
        pods = self.kubectl.objects("pods", f"--selector={_RUN_LABEL}={self.run_id}")
        for pod in sorted(pods, key=lambda pod: str(pod["metadata"]["creationTimestamp"])):
            if name := step_name(pod):
                yield name, pod


def step_name(pod: Mapping[str, Any]) -> StepName | None:
    """The name of the step that a pod belongs to; None for pods of no task."""
    return StepName.parse(pod["metadata"].get("annotations", {}).get(_STEP_ANNOTATION, ""))


def termination(pod: Mapping[str, Any]) -> Termination:
    """How a pod's task said that it ended; nothing where it said nothing, or has not ended."""
    return Termination.parse(termination_message(pod, _CONTAINER))


def issue_of(pod: Mapping[str, Any]) -> PodIssue | None:
    """What keeps a pod from running, or ended it, in Kubernetes' words; None where nothing does.

    That a container ended with an error is told only where Kubernetes knows nothing better.
    """
    found = sorted(issues(pod), key=lambda issue: issue.reason == _ERROR)
    return found[0] if found else None


def trouble(name: StepName, pod: Mapping[str, Any]) -> str:
    """What is wrong with the newest pod of a task that goes on, on one line; empty where nothing is.

    Args:
      name: the pod's step.
      pod: the pod.
    """
    problem, issue = termination(pod).problem, issue_of(pod)
    if not has_failed(pod):
        return str(issue or "")
    what = "its driver" if name.is_driver else f"attempt {name.attempt + 1}"
    return f"{what} failed: {problem.what if problem else issue or 'without a reason'}"
