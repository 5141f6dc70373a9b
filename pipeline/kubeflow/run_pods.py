"""The pods of a run: their logs, what keeps one from starting, and the error that one ended with."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pipeline.errors import ConveyorError, NodeError, UsageError
from pipeline.runs.status import RunState
from pipeline.util.kubectl import Kubectl
from pipeline.util.programs import ProgramError

if TYPE_CHECKING:
    from rich.console import Console

    from pipeline.config import PipelineConfig

_RUN_LABEL = "pipeline/runid"
_STEP_ANNOTATION = "workflows.argoproj.io/node-name"
# As in flights-x7k2p.root.exit-handler-1.trainer.executor(0): the pod that does a task's work, and the attempt where there
# may be several; and flights-x7k2p.root.exit-handler-1.trainer-driver: the pod that prepares it.
_EXECUTOR = re.compile(r"\.(?P<task>[^.]+)\.executor(\(\d+\))?")
_DRIVER = re.compile(r"\.(?P<task>[^.]+)-driver(\(\d+\))?")
_CONTAINER = "main"
# The last line of `python -m pipeline.kubeflow.pod.finish`.
_FINAL = r"^.+, run {}: (\w+)$"
_TAIL_LINES = 400
_SHOWN_LINES = 12
# The part of an error that a pod prints: two spaces, its name in eight columns, two spaces, text; then lines that go on.
_DETAIL = re.compile(r"  (where|expected|seen|fix) {2,}(.*)")
_CONTINUED = re.compile(r" {12}(.*)")
# What helps, by the beginning of a trouble; {} stands for the node.
_REMEDIES = {
    "OOMKilled": "give it more memory: kubeflow.nodes.{}.memory_limit",
    "ErrImage": "`conveyor image load` brings the image into the local cluster, `conveyor image push` to others",
    "ImagePull": "`conveyor image load` brings the image into the local cluster, `conveyor image push` to others",
    "InvalidImageName": "name an image as registries do, in kubeflow.image",
    "CreateContainerConfigError": "`conveyor cluster up` makes the Secrets that pods need",
    "Unschedulable": "ask for less, in kubeflow.nodes.{} or kubeflow.resources, or give the cluster more",
    "Evicted": "ask for what it needs, in kubeflow.nodes.{}, so that the cluster finds it a place",
}


class RunPods:
    """The pods of one run, looked at with kubectl."""

    def __init__(self, config: PipelineConfig, run_id: str, console: Console) -> None:
        """Makes no call yet.

        Args:
          config: names the cluster and the namespace.
          run_id: of the run.
          console: where a log that is followed is shown.
        """
        self.run_id = run_id
        self.kubectl = Kubectl(config.kubeflow.context, config.kubeflow.namespace, console)

    def of(self, task: str) -> list[dict[str, Any]]:
        """The pods of a task, one an attempt, the oldest first; the one that prepares them while there is no other.

        Args:
          task: its key in the package.

        Raises:
          ProgramError: kubectl failed.
          UsageError: there is no kubectl.
        """
        mine = [(step, pod) for step, pod in self._steps() if _task(step) == task]
        return [pod for step, pod in mine if _EXECUTOR.search(step)] or [pod for _, pod in mine]

    def log(self, pod: dict[str, Any], lines: int = -1) -> str:
        """What the node in a pod has written.

        Args:
          pod: of the run.
          lines: how many of the last ones; all of them when not given.

        Raises:
          ProgramError: kubectl failed: for one, the container has not started.
        """
        return self.kubectl.read("logs", _name(pod), f"--container={_CONTAINER}", f"--tail={lines}")

    def follow_log(self, pod: dict[str, Any]) -> None:
        """Shows what the node in a pod has written and writes, until it ends.

        Raises:
          ProgramError: kubectl failed.
        """
        self.kubectl.run("logs", _name(pod), f"--container={_CONTAINER}", "--follow", "--pod-running-timeout=10m")

    def troubles(self) -> dict[str, str]:
        """What keeps pods from starting, or why they were ended, by task; tasks without trouble are left out.

        Raises:
          ProgramError: kubectl failed.
          UsageError: there is no kubectl.
        """
        # A later pod stands for the earlier ones.
        latest = {_task(step): trouble_of(pod) for step, pod in self._steps()}
        return {task: trouble for task, trouble in latest.items() if trouble}

    def error_of(self, task: str, node: str) -> ConveyorError:
        """The error that a failed task ended with: the pod's own, or what is known of the pod.

        Args:
          task: its key in the package.
          node: its name.
        """
        try:
            pods = self.of(task)
        except (ProgramError, UsageError) as error:
            return NodeError(
                f"{node} failed, and its log cannot be read here.", where=node, seen=f"{error.what} {error.seen}", fix=error.fix
            )
        if not pods:
            return NodeError(
                f"{node} failed before its pod was made, or the pod is gone.",
                where=node,
                fix="the dashboard shows the task's driver, which makes the pod, and keeps the log",
            )
        whole = f"`conveyor logs {self.run_id} {node}` shows all of its log"
        log = self._last_lines(pods[-1])
        own = error_in(log)
        if own is not None:
            own.where = own.where or node
            own.fix = f"{own.fix}\n{whole}".strip()
            return own
        trouble = trouble_of(pods[-1])
        lines = [line for line in log.splitlines() if line.strip()][-_SHOWN_LINES:]
        remedy = next((fix.format(node) for reason, fix in _REMEDIES.items() if trouble.startswith(reason)), "")
        return NodeError(
            f"{node} failed{f': {trouble}' if trouble else '.'}",
            where=node,
            seen="\n".join(lines),
            fix=f"{remedy}\n{whole}".strip(),
        )

    def final_state(self, exit_task: str) -> RunState | None:
        """What the exit task says became of the run, which knows more than the API does; None when that cannot be read.

        Args:
          exit_task: its key in the package.
        """
        try:
            pods = self.of(exit_task)
            said = re.findall(_FINAL.format(self.run_id), self.log(pods[-1], _TAIL_LINES), re.MULTILINE) if pods else []
        except (ProgramError, UsageError):
            return None
        return RunState(said[-1]) if said and said[-1] in set(RunState) else None

    def _last_lines(self, pod: dict[str, Any]) -> str:
        try:
            return self.log(pod, _TAIL_LINES)
        except ProgramError as error:
            # A container that never started has no log; kubectl says so.
            return error.seen

    def _steps(self) -> Iterator[tuple[str, dict[str, Any]]]:
        pods = self.kubectl.objects("pods", f"--selector={_RUN_LABEL}={self.run_id}")
        for pod in sorted(pods, key=lambda pod: str(pod["metadata"]["creationTimestamp"])):
            step = pod["metadata"].get("annotations", {}).get(_STEP_ANNOTATION, "")
            if _task(step):
                yield step, pod


def _task(step: str) -> str:
    found = _EXECUTOR.search(step) or _DRIVER.search(step)
    return found["task"] if found else ""


def trouble_of(pod: dict[str, Any]) -> str:
    """What keeps a pod from starting, or why it was ended, in a line; empty when nothing does.

    Args:
      pod: as Kubernetes' API has it.
    """
    status = pod.get("status", {})
    for condition in status.get("conditions", ()):
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return _line(condition.get("reason"), condition.get("message"))
    for container in [*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())]:
        waiting, ended = container["state"].get("waiting", {}), container["state"].get("terminated", {})
        # These two are how every pod starts.
        if waiting.get("reason") not in (None, "PodInitializing", "ContainerCreating"):
            return _line(waiting["reason"], waiting.get("message"))
        if ended.get("reason") not in (None, "Completed", "Error"):
            return _line(ended["reason"], ended.get("message"))
    return _line(status.get("reason"), status.get("message")) if status.get("reason") else ""


def error_in(log: str) -> ConveyorError | None:
    """The last error in a pod's log, as `python -m pipeline.kubeflow.pod.entrypoint` prints it; None when there is none.

    Args:
      log: of the pod.
    """
    kinds = {kind.headline: kind for kind in _with_subclasses(ConveyorError)}
    lines = log.splitlines()
    for number in range(len(lines) - 1, -1, -1):
        headline, _, what = lines[number].partition(": ")
        if headline in kinds:
            return kinds[headline](what, **_details(lines[number + 1 :]))
    return None


def _details(lines: list[str]) -> dict[str, str]:
    details: dict[str, str] = {}
    for line in lines:
        part, more = _DETAIL.fullmatch(line), _CONTINUED.fullmatch(line)
        if part:
            details[part[1]] = part[2]
        elif more and details:
            details[list(details)[-1]] += f"\n{more[1]}"
        else:
            break
    return details


def _with_subclasses(kind: type[ConveyorError]) -> Iterator[type[ConveyorError]]:
    yield kind
    for each in kind.__subclasses__():
        yield from _with_subclasses(each)


def _line(reason: str | None, message: str | None) -> str:
    return " ".join(": ".join(filter(None, (reason, message))).split())


def _name(pod: dict[str, Any]) -> str:
    return str(pod["metadata"]["name"])
