"""Follows a run on Kubeflow until it ends."""

from __future__ import annotations

from collections.abc import Iterator
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

from pipeline.errors import UsageError
from pipeline.kubeflow.api_errors import ApiError
from pipeline.kubeflow.client import KubeflowClient
from pipeline.kubeflow.run_pods import trouble
from pipeline.kubeflow.runs import PackageTask, has_stale_steps, outcome_of
from pipeline.runs.status import NodeState, RunOutcome, RunState
from pipeline.util.pods import has_ended
from pipeline.util.programs import ProgramError

if TYPE_CHECKING:
    from pipeline.kubeflow.run_pods import RunPods
    from pipeline.kubeflow.workflow import Workflow

_BEHIND = "The API is behind with the states of this run's nodes, for good if the workflow has become larger than 1 MiB."


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
      remark: what a reader of the last outcome has to know of where it comes from; empty where it is all of the API.
    """

    poll_seconds = 2.0
    pod_seconds = 10.0
    patience_seconds = 120.0

    def __init__(self, client: KubeflowClient, run_id: str, tasks: list[PackageTask], pods: RunPods) -> None:
        self.client, self.run_id, self.tasks, self.pods = client, run_id, tasks, pods
        self.remark = ""
        self._workflow: Workflow | None = None
        self._issues: dict[str, str] = {}
        self._ahead: set[str] = set()
        self._pods_seen_at: float | None = -self.pod_seconds

    def outcomes(self) -> Iterator[RunOutcome]:
        """The run's outcome so far, every few seconds; the last one when the run has ended.

        Raises:
          ApiError: the server has not answered for two minutes, or refuses a request.
        """
        while True:
            run = self._ask()
            outcome = outcome_of(run, self.tasks, self.client.config.name, self._workflow)
            if outcome.state is not RunState.RUNNING:
                break
            self.look_at_pods(outcome)
            yield outcome
            sleep(self.poll_seconds)
        # The server writes the end of a run before the end of its tasks.
        sleep(self.poll_seconds)
        yield self.outcome(self._ask())

    def look(self, run: Any) -> RunOutcome:
        """A run's outcome, with a look at its pods if it goes on.

        Args:
          run: the run in the API (V2beta1Run).
        """
        outcome = self.outcome(run)
        if outcome.state is RunState.RUNNING:
            self.look_at_pods(outcome)
            outcome = self.outcome(run)
        return outcome

    def outcome(self, run: Any) -> RunOutcome:
        """A run's outcome, by the API or, where the API has lost sight of the nodes, by Argo's workflow.

        Args:
          run: the run in the API (V2beta1Run).
        """
        workflow = self._workflow
        if has_stale_steps(run):
            workflow = self.pods.workflow()
            workflow = workflow if workflow is not None and workflow.steps else None
            self._tell_of_lag(workflow)
        outcome = outcome_of(run, self.tasks, self.client.config.name, workflow)
        return outcome if outcome.state is RunState.RUNNING else self._with_nodes_of_groups(outcome)

    def _with_nodes_of_groups(self, outcome: RunOutcome) -> RunOutcome:
        """The outcome with the nodes of each group after it, as far as the exit task has reported them."""
        groups = {task.name: task.nodes for task in self.tasks if len(task.nodes) > 1}
        exit_task = next((task for task in self.tasks if task.at_exit), None)
        if not groups or exit_task is None:
            return outcome
        known = self.pods.final_nodes(exit_task.key)
        in_order = [name for task in outcome.nodes for name in (task, *groups.get(task, ()))]
        outcome.nodes = {name: node for name in in_order if (node := outcome.nodes.get(name) or known.get(name))}
        return outcome

    def issue(self, outcome: RunOutcome, node: str) -> str:
        """Why the pod of a running node does not start, or how its last attempt ended; empty where nothing is wrong."""
        return self._issues.get(node, "") if outcome.nodes[node].state is NodeState.RUNNING else ""

    def issues(self, outcome: RunOutcome) -> dict[str, str]:
        """The issues of all nodes that have one, by node."""
        found = {node: self.issue(outcome, node) for node in outcome.nodes}
        return {node: issue for node, issue in found.items() if issue}

    def look_at_pods(self, outcome: RunOutcome) -> None:
        """Asks kubectl what is wrong with the pods of running nodes, if the last answer is some seconds old.

        Where a pod at work in two looks, or one that has ended, belongs to a node that waits according to the API, the API's
        states have stopped: from then on they are read from Argo's workflow.
        """
        now = monotonic()
        if self._pods_seen_at is None or now - self._pods_seen_at < self.pod_seconds:
            return
        self._pods_seen_at = now
        try:
            latest = self.pods.latest()
        except ProgramError:
            return
        except UsageError:
            # Without kubectl a run can still be followed.
            self._pods_seen_at = None
            return
        names = {task.key: task.name for task in self.tasks}
        pods = {names[key]: found for key, found in latest.items() if key in names}
        self._issues = {node: issue for node, (name, pod) in pods.items() if (issue := trouble(name, pod))}
        waiting = {node for node, each in outcome.nodes.items() if each.state is NodeState.WAITING}
        ahead = {node: pod for node, (name, pod) in pods.items() if node in waiting and not name.is_driver}
        has_stopped = any(node in self._ahead or has_ended(pod) for node, pod in ahead.items())
        self._ahead = set(ahead)
        if self._workflow or has_stopped:
            workflow = self.pods.workflow()
            if workflow is not None and workflow.steps:
                self._workflow = workflow
                self._tell_of_lag(workflow)

    def _tell_of_lag(self, workflow: Workflow | None) -> None:
        source = "They are read from Argo's workflow." if workflow else "Those of nodes that have not ended may be out of date."
        self.remark = f"{_BEHIND} {source}"

    def _ask(self) -> Any:
        patience_ends = monotonic() + self.patience_seconds
        while True:
            try:
                return self.client.run(self.run_id)
            except ApiError as error:
                if not error.may_pass or monotonic() > patience_ends:
                    raise
            sleep(self.poll_seconds)
