"""The exit task: collects the outcomes of the nodes, writes the run's outcome and report, and tells others of it."""

from __future__ import annotations

import argparse
import os
import sys
import time
import traceback
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pipeline.errors import ConveyorError, NodeError
from pipeline.kubeflow.pod import dashboard
from pipeline.kubeflow.pod.command import run_task
from pipeline.kubeflow.pod.context import Pod
from pipeline.kubeflow.pod.processes import do_without_heavy_packages
from pipeline.kubeflow.pod.termination import report
from pipeline.runs.announcement import announce
from pipeline.runs.provenance import Provenance
from pipeline.runs.status import UNKNOWN_VERDICT, NodeOutcome, NodeState, Problem, RunOutcome, RunState
from pipeline.tracking import track_ended
from pipeline.util.events import deliver

if TYPE_CHECKING:
    from tfx.proto.orchestration import pipeline_pb2

WEBHOOK_VARIABLE = "CONVEYOR_WEBHOOK"


def main(arguments: Sequence[str] | None = None) -> int:
    """Finishes a run.

    Args:
      arguments: the command line; the process's own when not given.

    Returns:
      The exit code: 0 when the outcome is written and posted, whatever it is.
    """
    parser = argparse.ArgumentParser(prog="python -m pipeline.kubeflow.pod.finish", description=__doc__)
    do_without_heavy_packages()
    return run_task(parser, arguments, lambda pod, options: finish(pod))


def finish(pod: Pod) -> None:
    """Writes the run's outcome and report, posts the outcome, and tells the tracking server of the run.

    Args:
      pod: the pod of the exit task.

    Raises:
      ConveyorError: ML Metadata could not be read, or the webhook could not be reached; everything else is done by then.
    """
    outcome = collect_outcome(pod, pod.payload.pipeline())
    unread = _settle_with_metadata(pod, outcome)
    outcome.save(pod.folder)
    print(f"{outcome.pipeline}, run {outcome.run_id}: {outcome.state.value}", flush=True)
    # To the API, a run whose model was refused is a success like others.
    report(outcome=outcome)
    if problem := announce(pod.config, outcome):
        print(f"Events without nodes and verdict: {problem}", flush=True)
    unreached = post_webhook(outcome)
    _write_report(pod)
    if problem := track_ended(pod.config, pod.run_id):
        print(f"Not tracked: {problem}", flush=True)
    if problem := unread or unreached:
        raise problem


def collect_outcome(pod: Pod, ir: pipeline_pb2.Pipeline) -> RunOutcome:
    """The run's outcome, from what the pods of its nodes have kept on the volume; the verdict on the model is not in it.

    Args:
      pod: the pod of the exit task.
      ir: the pipeline, or its outline.
    """
    outcome = RunOutcome(
        run_id=pod.run_id,
        pipeline=pod.config.name,
        note=str(pod.parameters["run_note"]),
        config=pod.config.effective(),
        provenance=Provenance.here(pod.config.workspace_path),
        ended=time.time(),
    )
    for entry in ir.nodes:
        node = entry.pipeline_node
        kept = pod.kept(node.node_info.id)
        outcome.nodes[node.node_info.id] = kept or NodeOutcome(upstream=list(node.upstream_nodes))
    outcome.settle()
    outcome.started = min((node.started for node in outcome.nodes.values() if node.started), default=outcome.started)
    states = [node.state for node in outcome.nodes.values()]
    outcome.state = RunState.of(states, blessed=True)
    # KFP calls a run failed only if a launcher lived to say so. Of one whose pod was killed it says that it is running.
    if not all(state.is_done for state in states) or pod.final_status.get("state") == "FAILED":
        outcome.state, outcome.problem = RunState.FAILED, _problem(pod, outcome)
    return outcome


def _settle_with_metadata(pod: Pod, outcome: RunOutcome) -> ConveyorError | None:
    """Marks executions that no pod works on any more as canceled, and gives the outcome the verdict on the model.

    Returns:
      Why that could not be done.
    """
    from pipeline.runs import resume
    from pipeline.runs.connections import open_metadata
    from pipeline.runs.metadata import open_store

    try:
        with open_metadata(pod.connection) as handle:
            resume.cancel_run(handle, pod.run_id)
        with open_store(pod.connection, pod.config.name) as store:
            refused = store.run(pod.run_id).refusal() is not None
    except ConveyorError as error:
        if outcome.state is RunState.COMPLETE:
            outcome.warnings.append(UNKNOWN_VERDICT)
        return error
    if refused and outcome.state is RunState.COMPLETE:
        outcome.state = RunState.NOT_BLESSED
    return None


def _problem(pod: Pod, outcome: RunOutcome) -> Problem:
    """Why the run failed: the error of a node, or that a pod ended before its node could say why."""
    failed = [node.problem for node in outcome.nodes.values() if node.state is NodeState.FAILED and node.problem]
    if failed:
        return failed[0]
    cut_off = [name for name, node in outcome.nodes.items() if node.state is NodeState.INTERRUPTED]
    waiting = [name for name, node in outcome.nodes.items() if not node.state.is_done]
    seen = str((pod.final_status.get("error") or {}).get("message", ""))
    if cut_off:
        problem = outcome.nodes[cut_off[0]].problem
        return Problem.of(
            NodeError(
                f"The pod of {cut_off[0]} was ended from outside, before the node was done.",
                where=", ".join(cut_off),
                seen=seen or (problem.details.get("seen", "") if problem else "no word from the node"),
                fix=f"It was killed, deleted, evicted or out of time, or the run was cancelled: `conveyor status {pod.run_id}` "
                "says which, as long as Kubernetes knows. `conveyor submit` takes over what is complete.",
            )
        )
    return Problem.of(
        NodeError(
            "A pod ended before its node could say why."
            if waiting
            else "A task failed after its nodes were complete: what they made for the dashboard could not be kept.",
            where=", ".join(waiting[:1]),
            seen=seen,
            fix=f"`conveyor status {pod.run_id}` says what Kubernetes knows of the pod. Memory limits, missing images and "
            "cancelled runs are the usual reasons.",
        )
    )


def _write_report(pod: Pod) -> None:
    """Writes the report beside the outcome, and gives it to the dashboard. A failure is only logged: the run is what counts."""
    from pipeline.report import read_run_details, write_report

    try:
        write_report(pod.config, pod.run_id)
        dashboard.write(dashboard.artifacts_of_run(read_run_details(pod.config, pod.run_id)), pod.executor_input)
    except Exception as error:
        if not isinstance(error, (OSError, ConveyorError)):
            traceback.print_exc()
        print(f"No report: {error}", flush=True)


def post_webhook(outcome: RunOutcome) -> NodeError | None:
    """Posts the outcome to the webhook, if there is one.

    Returns:
      Why it was not received; None if it was, or there is none. The address is not shown, as it may hold a secret.
    """
    address = os.environ.get(WEBHOOK_VARIABLE)
    if not address:
        return None
    if seen := deliver(address, _message(outcome)):
        return NodeError(
            "The outcome could not be posted to the webhook.",
            where="kubeflow.webhook",
            seen=seen,
            expected="an address that accepts a POST of JSON, without a redirect",
            fix="Correct the address in the Secret for the next run. The outcome of this one is on the volume.",
        )
    print("The outcome was posted to the webhook.", flush=True)
    return None


def _message(outcome: RunOutcome) -> dict[str, Any]:
    """The posted document: chat services show `text`; the rest is for programs."""
    failed = [name for name, node in outcome.nodes.items() if node.state is NodeState.FAILED]
    what = f": {outcome.problem.what}" if outcome.problem else ""
    return {
        "text": f"{outcome.pipeline}, run {outcome.run_id}: {outcome.state.value.replace('_', ' ')}{what}",
        "pipeline": outcome.pipeline,
        "run_id": outcome.run_id,
        "note": outcome.note,
        "state": outcome.state.value,
        "seconds": round((outcome.ended or time.time()) - outcome.started, 1),
        "nodes": {name: node.state.value for name, node in outcome.nodes.items()},
        "failed": failed,
        "problem": outcome.problem.model_dump(exclude={"traceback"}) if outcome.problem else None,
    }


if __name__ == "__main__":
    sys.exit(main())
