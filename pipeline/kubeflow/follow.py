"""Follows a run on Kubeflow until it ends."""

from __future__ import annotations

from collections.abc import Iterator
from time import monotonic, sleep
from typing import TYPE_CHECKING

from pipeline.errors import ConveyorError, NodeError, NotBlessedError, UsageError
from pipeline.kubeflow.api_errors import ApiError
from pipeline.kubeflow.client import KubeflowClient
from pipeline.kubeflow.runs import PackageTask, outcome_of
from pipeline.runs.status import NodeState, RunOutcome, RunState
from pipeline.util.programs import ProgramError

if TYPE_CHECKING:
    from pipeline.kubeflow.run_pods import RunPods


class Follower:
    """Watches a run, and its pods where kubectl is installed.

    Args:
      client: the client of the pipeline.
      run_id: the run's id.
      tasks: the tasks of the package that the run was started from.
      pods: the pods of the run.

    Attributes:
      poll_seconds: the time between two looks at the run.
      pod_seconds: the time between two looks at its pods.
      patience_seconds: how long the API server may fail to answer; a forwarded port or a server that restarts is back by then.
    """

    poll_seconds = 2.0
    pod_seconds = 10.0
    patience_seconds = 120.0

    def __init__(self, client: KubeflowClient, run_id: str, tasks: list[PackageTask], pods: RunPods) -> None:
        self.client, self.run_id, self.tasks, self.pods = client, run_id, tasks, pods
        self._issues: dict[str, str] = {}
        self._pods_seen_at: float | None = -self.pod_seconds

    def outcomes(self) -> Iterator[RunOutcome]:
        """The run's outcome so far, every few seconds; the last one when the run has ended.

        Raises:
          ApiError: the server has not answered for two minutes, or refuses a request.
        """
        while True:
            outcome = self._look()
            if outcome.state is not RunState.RUNNING:
                break
            self.look_at_pods(outcome)
            yield outcome
            sleep(self.poll_seconds)
        # The server writes the end of a run before the end of its tasks.
        sleep(self.poll_seconds)
        yield self._look()

    def issue(self, outcome: RunOutcome, node: str) -> str:
        """Why the pod of a running node does not start; empty where nothing keeps it."""
        return self._issues.get(node, "") if outcome.nodes[node].state is NodeState.RUNNING else ""

    def issues(self, outcome: RunOutcome) -> dict[str, str]:
        """The issues of all nodes that have one, by node."""
        found = {node: self.issue(outcome, node) for node in outcome.nodes}
        return {node: issue for node, issue in found.items() if issue}

    def look_at_pods(self, outcome: RunOutcome) -> None:
        """Asks kubectl what keeps pods from starting, if a node is running and the last answer is some seconds old."""
        now = monotonic()
        at_work = any(node.state is NodeState.RUNNING for node in outcome.nodes.values())
        if self._pods_seen_at is None or not at_work or now - self._pods_seen_at < self.pod_seconds:
            return
        self._pods_seen_at = now
        try:
            issues = self.pods.issues()
        except ProgramError:
            return
        except UsageError:
            # Without kubectl a run can still be followed.
            self._pods_seen_at = None
            return
        names = {task.key: task.name for task in self.tasks}
        self._issues = {names[key]: issue for key, issue in issues.items() if key in names}

    def error(self, outcome: RunOutcome) -> ConveyorError | None:
        """Why a run that has ended did not push a model; None when it did.

        Args:
          outcome: the run's outcome according to the API.
        """
        address = self.client.address(self.run_id)
        if outcome.state is RunState.INTERRUPTED:
            return ConveyorError("The run was cancelled.", where=self.run_id, fix="`conveyor submit` starts another.")
        if outcome.state is RunState.FAILED:
            for task in self.tasks:
                if outcome.nodes[task.name].state is NodeState.FAILED:
                    return self.pods.error_of(task.key, task.name)
            return NodeError(
                "The run failed before any of its nodes did.", where=self.run_id, fix=f"Its page says more: {address}"
            )
        # To the API, a run whose model was refused is a success like others.
        exit_task = next((task.key for task in self.tasks if task.at_exit), None)
        if exit_task is not None and self.pods.final_state(exit_task) is RunState.NOT_BLESSED:
            return NotBlessedError(
                "A validator refused it, so nothing was pushed.",
                where=self.run_id,
                fix=f"The pages of Evaluator and InfraValidator say why: {address}. The served model stays.",
            )
        return None

    def _look(self) -> RunOutcome:
        patience_ends = monotonic() + self.patience_seconds
        while True:
            try:
                return outcome_of(self.client.run(self.run_id), self.tasks, self.client.config.name)
            except ApiError as error:
                if not error.may_pass or monotonic() > patience_ends:
                    raise
            sleep(self.poll_seconds)
