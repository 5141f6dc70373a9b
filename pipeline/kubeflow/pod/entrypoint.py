"""Runs one node of the pipeline in a pod, or a group of nodes one after another, with the code that runs them on a laptop."""

from __future__ import annotations

import argparse
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from types import FrameType
from typing import TYPE_CHECKING, Any

from pipeline.errors import ConveyorError, as_conveyor_error
from pipeline.kubeflow.pod.command import run_task
from pipeline.kubeflow.pod.context import Pod
from pipeline.runs.status import NodeOutcome, NodeState, Problem
from pipeline.util.notes import take_notes

if TYPE_CHECKING:
    from tfx.proto.orchestration import pipeline_pb2


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the nodes that the command line names.

    Args:
      arguments: the command line; the process's own when not given.

    Returns:
      The exit code: 0 when ML Metadata has every node as complete, cached or skipped.
    """
    parser = argparse.ArgumentParser(prog="python -m pipeline.kubeflow.pod.entrypoint", description=__doc__)
    parser.add_argument("--node", action="append", required=True, help="a node to run; repeatable, in their order")
    signal.signal(signal.SIGTERM, _exit_on_signal)
    return run_task(parser, arguments, lambda pod, options: run_nodes(pod, options.node))


def run_nodes(pod: Pod, nodes: Sequence[str]) -> None:
    """Runs nodes one after another, up to the first that fails.

    Args:
      pod: the pod that they run in.
      nodes: their ids, in their order.

    Raises:
      UsageError: there is no such node, or the image holds other code than the package was compiled with.
      ConveyorError: a node failed.
    """
    pod.payload.require_same_code()
    ir = pod.pipeline()
    problem = next((found for node_id in nodes if (found := _run(pod, ir, node_id))), None)
    pod.show(nodes)
    if problem:
        raise problem


def _run(pod: Pod, ir: pipeline_pb2.Pipeline, node_id: str) -> ConveyorError | None:
    """Runs a node and keeps its outcome; returns the error that it failed with, if any."""
    from pipeline.runs import execute

    found = execute.find_node(ir, node_id)
    outcome = NodeOutcome(upstream=list(found.upstream_nodes), state=NodeState.RUNNING, started=time.time())
    pod.keep(node_id, outcome)
    print(f"{node_id}: starting, run {pod.run_id}", flush=True)
    problem: ConveyorError | None = None
    try:
        outcome.state = execute.run(ir, node_id, pod.connection).state
    except BaseException as error:
        traceback.print_exc()
        problem = as_conveyor_error(error, node_id, "the log of this task")
        interrupted = isinstance(error, (SystemExit, KeyboardInterrupt))
        outcome.state = NodeState.INTERRUPTED if interrupted else NodeState.FAILED
        outcome.problem = Problem.of(problem, traceback.format_exc())
        if interrupted:
            raise
    finally:
        outcome.ended, outcome.notes = time.time(), take_notes()
        pod.keep(node_id, outcome)
        print(f"{node_id}: {outcome.state.value} after {outcome.seconds:.1f} s", flush=True)
    return problem


def _exit_on_signal(number: int, frame: FrameType | None) -> Any:
    """Ends the process with an exception, so that the node's execution is marked in ML Metadata."""
    raise SystemExit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
