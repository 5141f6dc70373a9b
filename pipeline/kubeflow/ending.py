"""How a run on Kubeflow ended: what went wrong in it, as far as it can be told from here."""

from __future__ import annotations

from pipeline.errors import ConveyorError, NodeError, NotBlessedError
from pipeline.kubeflow.failures import error_of
from pipeline.kubeflow.run_pods import RunPods
from pipeline.kubeflow.runs import PackageTask
from pipeline.runs.status import NodeState, RunOutcome, RunState

_UNKNOWN = "whether the model was pushed or refused cannot be told from here"


def errors_of(outcome: RunOutcome, tasks: list[PackageTask], pods: RunPods, address: str) -> list[ConveyorError]:
    """What went wrong in a run that has ended, the most important first; empty for one that pushed a model.

    Args:
      outcome: the run's outcome.
      tasks: the tasks of the package that it was started from.
      pods: the pods of the run.
      address: where the dashboard shows it.
    """
    exit_task = next((task for task in tasks if task.at_exit), None)
    # To the API, a run whose model was refused is a success like others.
    reported = pods.final_state(exit_task.key) if exit_task is not None else None
    found = [
        _error_of_nodes(outcome, reported, tasks, pods, address),
        _error_of_exit(outcome, reported, exit_task, pods, address),
    ]
    return [error for error in found if error is not None]


def _error_of_nodes(
    outcome: RunOutcome, reported: RunState | None, tasks: list[PackageTask], pods: RunPods, address: str
) -> ConveyorError | None:
    if outcome.state is RunState.INTERRUPTED:
        return ConveyorError("The run was cancelled.", where=outcome.run_id, fix="`conveyor submit` starts another.")
    if outcome.state is RunState.COMPLETE and reported is RunState.NOT_BLESSED:
        return NotBlessedError(
            "A validator refused it, so nothing was pushed.",
            where=outcome.run_id,
            fix=f"The pages of Evaluator and InfraValidator say why: {address}. The served model stays.",
        )
    if outcome.state is not RunState.FAILED:
        return None
    for task in tasks:
        if not task.at_exit and outcome.nodes[task.name].state is NodeState.FAILED:
            return error_of(pods, task.key, task.name)
    unsettled = [name for name, node in outcome.nodes.items() if not node.state.has_ended]
    return NodeError(
        "The run failed, and which of its nodes did cannot be told from here."
        if unsettled
        else "The run failed before any of its nodes did.",
        where=", ".join(unsettled) or outcome.run_id,
        fix=f"Its page says more: {address}",
    )


def _error_of_exit(
    outcome: RunOutcome, reported: RunState | None, exit_task: PackageTask | None, pods: RunPods, address: str
) -> ConveyorError | None:
    is_unknown = outcome.state is RunState.COMPLETE and reported is None
    if exit_task is not None and outcome.nodes[exit_task.name].state is NodeState.FAILED:
        error = error_of(pods, exit_task.key, exit_task.name)
        lost = f", and {_UNKNOWN}" if is_unknown else ""
        error.what = f"The exit task failed: the run's report may be missing{lost}. {error.what}"
        return error
    if not is_unknown:
        return None
    return ConveyorError(
        f"The run is complete, but {_UNKNOWN}.",
        where=outcome.run_id,
        expected="the pod of the exit task, which says so; pods are deleted some time after the end of a run",
        fix=f"runs/{outcome.pipeline}/{outcome.run_id}/report.html on the volume says so, and finish's page: {address}",
    )
