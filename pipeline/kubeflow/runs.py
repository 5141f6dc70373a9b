"""The outcomes of runs on Kubeflow: what the API or Argo tells of tasks, read as the states of the pipeline's nodes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from graphlib import TopologicalSorter
from itertools import islice, pairwise
from typing import TYPE_CHECKING, Any

from pipeline.errors import UsageError
from pipeline.kubeflow.steps import Step, task_outcome
from pipeline.runs.find import LATEST, pick
from pipeline.runs.status import NodeState, RunOutcome, RunState
from pipeline.util.suggestions import closest

if TYPE_CHECKING:
    from pipeline.kubeflow.client import KubeflowClient
    from pipeline.kubeflow.workflow import Workflow

_SEARCHED = 500
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_NODE_STATES = {
    "PENDING": NodeState.RUNNING,
    "RUNNING": NodeState.RUNNING,
    "PAUSED": NodeState.RUNNING,
    "CANCELING": NodeState.RUNNING,
    "SUCCEEDED": NodeState.COMPLETE,
    "SKIPPED": NodeState.SKIPPED,
    "FAILED": NodeState.FAILED,
    "CANCELED": NodeState.INTERRUPTED,
}
_RUN_STATES = {
    "SUCCEEDED": RunState.COMPLETE,
    "SKIPPED": RunState.COMPLETE,
    "FAILED": RunState.FAILED,
    "CANCELED": RunState.INTERRUPTED,
}


@dataclass(frozen=True)
class PackageTask:
    """A task of a package.

    Attributes:
      name: the name that people use: the node's, or that of the group of nodes.
      key: the name that Kubeflow uses, such as `example-gen`.
      upstream: the keys of the tasks that it waits for.
      at_exit: whether it runs at the end, whether or not the others succeeded.
      nodes: the ids of the nodes that it runs.
    """

    name: str
    key: str
    upstream: tuple[str, ...]
    at_exit: bool
    nodes: tuple[str, ...] = ()


def package_tasks(spec: Mapping[str, Any]) -> list[PackageTask]:
    """The tasks of a package that run a container, each after those that it waits for.

    Args:
      spec: the pipeline spec, read from YAML or from the API.
    """
    tasks = {task.key: task for task in _leaves(spec, spec.get("root", {}))}
    order = TopologicalSorter({key: [each for each in task.upstream if each in tasks] for key, task in tasks.items()})
    in_order = [tasks[key] for key in order.static_order()]
    return [task for task in in_order if not task.at_exit] + [task for task in in_order if task.at_exit]


def _leaves(spec: Mapping[str, Any], component: Mapping[str, Any]) -> list[PackageTask]:
    found = []
    for key, task in component.get("dag", {}).get("tasks", {}).items():
        inner = spec.get("components", {}).get(task["componentRef"]["name"], {})
        if "dag" in inner:
            found += _leaves(spec, inner)
            continue
        at_exit = task.get("triggerPolicy", {}).get("strategy") == "ALL_UPSTREAM_TASKS_COMPLETED"
        name = task.get("taskInfo", {}).get("name", key)
        found.append(PackageTask(name, key, tuple(task.get("dependentTasks", ())), at_exit, _nodes(spec, inner)))
    return found


def _nodes(spec: Mapping[str, Any], component: Mapping[str, Any]) -> tuple[str, ...]:
    """The nodes that a component's command line names."""
    executor = spec.get("deploymentSpec", {}).get("executors", {}).get(component.get("executorLabel"), {})
    arguments = executor.get("container", {}).get("args", ())
    return tuple(value for option, value in pairwise(arguments) if option == "--node")


def outcome_of(run: Any, tasks: list[PackageTask], pipeline: str, workflow: Workflow | None = None) -> RunOutcome:
    """The outcome of a run so far.

    Args:
      run: the run in the API (V2beta1Run).
      tasks: the tasks of the package that it was started from.
      pipeline: the pipeline's name.
      workflow: what Argo knows of the run, where the API knows less.
    """
    steps = workflow.steps if workflow is not None else _steps(run)
    outcome = RunOutcome(
        run_id=run.run_id,
        pipeline=pipeline,
        note=run.description or "",
        state=_run_state(run),
        started=run.created_at.timestamp(),
        ended=_seconds(run.finished_at),
    )
    names = {task.key: task.name for task in tasks}
    for task in tasks:
        node = task_outcome(task.key, steps)
        node.upstream = [names[key] for key in task.upstream if key in names]
        outcome.nodes[task.name] = node
    if outcome.state is RunState.INTERRUPTED:
        for node in outcome.nodes.values():
            # A cancelled run stops the pods of its nodes, which end as failed.
            if node.state is NodeState.FAILED:
                node.state, node.ended = NodeState.INTERRUPTED, node.ended or outcome.ended
    if outcome.state is not RunState.RUNNING:
        _settle(outcome, tasks, all_known=workflow is not None or not has_stale_steps(run))
    return outcome


def has_stale_steps(run: Any) -> bool:
    """Whether the API does not know how a run's steps ended, although the run has.

    Argo keeps the nodes of a workflow of more than 1 MiB in a form that Kubeflow Pipelines 2.17 does not read: from then on
    their states stay as they were.
    """
    at_work = any(step.state is not None and not step.state.has_ended for step in _steps(run).values())
    return _run_state(run) is not RunState.RUNNING and at_work


def _settle(outcome: RunOutcome, tasks: list[PackageTask], *, all_known: bool) -> None:
    """Gives the nodes of a run that has ended their last state, as far as it follows from what is known."""
    if outcome.state is RunState.COMPLETE:
        for node in (outcome.nodes[task.name] for task in tasks if not task.at_exit):
            # A run succeeds if all its tasks do; what its exit task does changes nothing.
            if not node.state.has_ended:
                node.state = NodeState.COMPLETE
    if all_known:
        outcome.settle()


def _steps(run: Any) -> dict[str, Step]:
    details = (run.run_details.task_details if run.run_details else None) or ()
    return {
        step.display_name: Step(_NODE_STATES.get(step.state), _seconds(step.start_time), _seconds(step.end_time))
        for step in details
    }


def _run_state(run: Any) -> RunState:
    state = _RUN_STATES.get(run.state, RunState.RUNNING)
    cancelled = any(status.state == "CANCELING" for status in run.state_history or ())
    # A workflow that is cancelled ends as failed.
    return RunState.INTERRUPTED if state is RunState.FAILED and cancelled else state


def _seconds(moment: datetime | None) -> float | None:
    """Seconds since 1970; None for a time that has not come, for which the API writes 1970 or the year 1."""
    return moment.timestamp() if moment is not None and moment.timestamp() > 0 else None


def find_run(client: KubeflowClient, wanted: str) -> Any:
    """The run that the user means, with the state of its tasks.

    Args:
      client: the client of the pipeline.
      wanted: an id, the beginning of one, a name that the dashboard shows, or `latest`.

    Raises:
      UsageError: no run is meant, or more than one.
      ApiError: the server cannot be reached.
    """
    from pipeline.kubeflow.api_errors import ApiError

    if _UUID.fullmatch(wanted):
        try:
            return client.run(wanted)
        except ApiError as error:
            if error.status != 404:
                raise
    known = list(islice(client.runs(), 1 if wanted == LATEST else _SEARCHED))
    if not known:
        raise UsageError(
            f"{client.config.name} has no run on this cluster yet.", where=client.host, fix="`conveyor submit` starts one."
        )
    if wanted == LATEST:
        return known[0]
    return pick(
        wanted,
        known,
        lambda run: (run.run_id, run.display_name),
        kind="run",
        where=client.config.name,
        words=(LATEST,),
        listed_by="conveyor status --list",
    )


def find_task(tasks: list[PackageTask], wanted: str) -> PackageTask:
    """The task that the user means by a node's id, a group's name or the name in the dashboard.

    Raises:
      UsageError: there is no such task.
    """
    for task in tasks:
        if _plain(wanted) in map(_plain, (task.name, task.key, *task.nodes)):
            return task
    names = {_plain(name): name for task in tasks for name in (*task.nodes, task.name)}
    close = closest(_plain(wanted), names)
    raise UsageError(
        f"The run has no node {wanted!r}.",
        where="NODE",
        expected=", ".join(names.values()),
        seen=wanted,
        fix=f"Did you mean {names[close]!r}?" if close else "Name one of these.",
    )


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
