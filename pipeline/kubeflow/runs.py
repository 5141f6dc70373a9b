"""The outcomes of runs on Kubeflow: the states of a run's tasks in the API, read as states of the pipeline's nodes.

The API lists the workflow's steps. A task `trainer` of the package has up to three: `trainer-driver` prepares the pod,
`trainer` is the work as a whole, and `executor` (with a number for each attempt) is the pod, whose name does not say
which task it belongs to.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from graphlib import TopologicalSorter
from itertools import islice
from typing import TYPE_CHECKING, Any

from pipeline.errors import UsageError
from pipeline.runs.find import LATEST, pick
from pipeline.runs.status import NodeOutcome, NodeState, RunOutcome, RunState
from pipeline.util.suggestions import closest

if TYPE_CHECKING:
    from pipeline.kubeflow.client import KubeflowClient

_DRIVER = "{}-driver"
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
    """

    name: str
    key: str
    upstream: tuple[str, ...]
    at_exit: bool


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
        found.append(PackageTask(name, key, tuple(task.get("dependentTasks", ())), at_exit))
    return found


def outcome_of(run: Any, tasks: list[PackageTask], pipeline: str) -> RunOutcome:
    """The outcome of a run so far.

    Args:
      run: the run in the API (V2beta1Run).
      tasks: the tasks of the package that it was started from.
      pipeline: the pipeline's name.
    """
    steps = {step.display_name: step for step in (run.run_details.task_details if run.run_details else None) or ()}
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
        node = _node(steps.get(task.key), steps.get(_DRIVER.format(task.key)))
        node.upstream = [names[key] for key in task.upstream if key in names]
        outcome.nodes[task.name] = node
    if outcome.state is not RunState.RUNNING:
        for node in outcome.nodes.values():
            # A cancelled run stops the pods of its nodes, which end as failed.
            if outcome.state is RunState.INTERRUPTED and node.state is NodeState.FAILED:
                node.state, node.ended = NodeState.INTERRUPTED, node.ended or outcome.ended
        outcome.settle()
    return outcome


def _node(work: Any, driver: Any) -> NodeOutcome:
    # Argo calls a step whose driver failed Omitted, for which the API has no state.
    shown = work if work is not None and work.state in _NODE_STATES else driver
    if shown is None or shown.state not in _NODE_STATES:
        return NodeOutcome()
    state = _NODE_STATES[shown.state]
    if shown is driver and state is NodeState.COMPLETE:
        state = NodeState.RUNNING
    return NodeOutcome(
        state=state,
        started=_seconds((driver or shown).start_time),
        ended=_seconds(shown.end_time) if state.has_ended else None,
    )


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
        if _plain(wanted) in (_plain(task.name), _plain(task.key)):
            return task
    names = {_plain(task.name): task.name for task in tasks}
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
