"""Runs one node of the pipeline in a pod, or a group of nodes one after another, with the code that runs them on a laptop.

A pod of several nodes starts without TensorFlow, in a second instead of six, and looks into the cache. At the first node that
has work to do, it starts again with TensorFlow, imports once for all, and runs each node in a process forked from there.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from pipeline import nodes
from pipeline.errors import ConveyorError, DataError, NodeError, UsageError
from pipeline.kubeflow.pod.command import run_task
from pipeline.kubeflow.pod.context import Pod
from pipeline.kubeflow.pod.processes import do_without_heavy_packages, exit_on_signal, run_apart, start_again
from pipeline.runs.status import NodeOutcome, NodeState, Problem
from pipeline.runs.verification import DamagedInputError
from pipeline.util.imports import heavy_imports
from pipeline.util.memory import peak_bytes
from pipeline.util.notes import take_notes
from pipeline.util.unexpected import as_conveyor_error

if TYPE_CHECKING:
    from tfx.proto.orchestration import pipeline_pb2

_MODULE = "pipeline.kubeflow.pod.entrypoint"
# The exit codes of errors that a new attempt would meet again, and the headline of one that it would not even find.
_LASTING = (DataError.exit_code, UsageError.exit_code)
_LOST = DamagedInputError.headline


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the nodes that the command line names.

    Args:
      arguments: the command line; the process's own when not given.

    Returns:
      The exit code: 0 when ML Metadata has every node as complete, cached or skipped.
    """
    given = sys.argv[1:] if arguments is None else arguments
    parser = argparse.ArgumentParser(prog=f"python -m {_MODULE}", description=__doc__)
    parser.add_argument("--node", action="append", required=True, help="a node to run; repeatable, in their order")
    parser.add_argument("--from", dest="start", metavar="NODE", help="the node to go on with, in a process with TensorFlow")
    signal.signal(signal.SIGTERM, exit_on_signal)

    def go_on(node_id: str) -> NoReturn:
        print(f"{node_id}: starting again with TensorFlow", flush=True)
        start_again(_MODULE, [*given, "--from", node_id])

    def run(pod: Pod, options: argparse.Namespace) -> None:
        if options.start:
            run_nodes(pod, options.node, options.start)
        elif may_start_light(options.node):
            do_without_heavy_packages()
            run_nodes(pod, options.node, start_again=go_on)
        else:
            run_nodes(pod, options.node)

    return run_task(parser, given, run)


def may_start_light(node_ids: Sequence[str]) -> bool:
    """Whether a pod is to start without TensorFlow.

    Of several nodes, all may be cached. A single node that has work to do would only start later.

    Args:
      node_ids: the nodes of the pod.
    """
    return len(node_ids) > 1 or any(nodes.NODES[node].is_light for node in node_ids if node in nodes.NODES)


def run_nodes(pod: Pod, node_ids: Sequence[str], start: str = "", start_again: Callable[[str], Any] | None = None) -> None:
    """Runs nodes one after another, up to the first that fails.

    Args:
      pod: the pod that they run in.
      node_ids: their ids, in their order.
      start: the node to begin with, where another process has run those before; the first one when empty.
      start_again: starts the process again, with TensorFlow, at a node that has work to do which needs it; None in a process
        that may import what it likes.

    Raises:
      UsageError: there is no such node, or the image holds other code than the package was compiled with.
      ConveyorError: a node failed.
    """
    if not start:
        _refuse_again(pod, node_ids)
        pod.payload.require_same_code()
    ir = pod.pipeline()
    left = node_ids[node_ids.index(start) :] if start else nodes_left(pod, node_ids)
    if len(node_ids) > 1 and start_again is None:
        _import_for_all()
        problem = next((found for node in left if (found := _run_apart(pod, ir, node))), None)
    else:
        problem = next((found for node in left if (found := _run(pod, ir, node, start_again))), None)
    pod.show(node_ids)
    if problem:
        raise problem


def nodes_left(pod: Pod, node_ids: Sequence[str]) -> list[str]:
    """The nodes that a new attempt has to run: what the others made is there, and so is when they did, and what they noted.

    Args:
      pod: the pod of the attempt.
      node_ids: the nodes of the task.
    """
    kept = {node_id: pod.kept(node_id) for node_id in node_ids} if pod.attempt else {}
    done = {node_id for node_id, outcome in kept.items() if outcome is not None and outcome.state.is_successful}
    return [node_id for node_id in node_ids if node_id not in done]


def _refuse_again(pod: Pod, node_ids: Sequence[str]) -> None:
    """Ends a new attempt at once where the last one failed for its data or its configuration, which are still the same.

    So it does after a damaged input, which the run has not got any more: the error that names the file stays the last word.

    Raises:
      ConveyorError: the error of the last attempt.
    """
    if pod.attempt == 0:
        return
    for node_id in node_ids:
        kept = pod.kept(node_id)
        problem = kept.problem if kept is not None and kept.state is NodeState.FAILED else None
        if problem is not None and (problem.exit_code in _LASTING or problem.headline == _LOST):
            print(f"{node_id}: not tried again, since the last attempt failed for what is still the same", flush=True)
            raise problem.as_error()


def _import_for_all() -> None:
    """Imports once what nodes have in common. No TensorFlow operation may run here: a fork loses the threads of its runtime."""
    with heavy_imports():
        import tfx.components.trainer.executor  # noqa: F401

        import pipeline.graph
        import pipeline.runs.execute  # noqa: F401


def _run_apart(pod: Pod, ir: pipeline_pb2.Pipeline, node_id: str) -> ConveyorError | None:
    """Runs a node in a process of its own; returns the error that it failed with, if any."""

    def work() -> int:
        problem = _run(pod, ir, node_id)
        return problem.exit_code if problem else 0

    code = run_apart(work)
    if code == 0:
        return None
    outcome = pod.kept(node_id)
    if outcome is not None and outcome.problem is not None:
        return outcome.problem.as_error()
    problem = _sudden_end(node_id, code)
    if outcome is not None:
        outcome.state, outcome.ended, outcome.problem = NodeState.FAILED, time.time(), Problem.of(problem)
        pod.keep(node_id, outcome)
    return problem


def _run(
    pod: Pod, ir: pipeline_pb2.Pipeline, node_id: str, start_again: Callable[[str], Any] | None = None
) -> ConveyorError | None:
    """Runs a node and keeps its outcome; returns the error that it failed with, if any."""
    from pipeline.runs import execute

    operators = None
    if start_again is not None:
        from pipeline.kubeflow.pod import postponed

        operators = postponed.operators(lambda: start_again(node_id))
    found = execute.find_node(ir, node_id)
    outcome = NodeOutcome(upstream=list(found.upstream_nodes), state=NodeState.RUNNING, started=time.time())
    pod.keep(node_id, outcome)
    print(f"{node_id}: starting, run {pod.run_id}", flush=True)
    problem: ConveyorError | None = None
    try:
        outcome.state = execute.run(ir, node_id, pod.connection, pod.config.execution.verify, operators).state
    except BaseException as error:
        traceback.print_exc()
        interrupted = isinstance(error, (SystemExit, KeyboardInterrupt))
        problem = _ended(node_id) if interrupted else as_conveyor_error(error, node_id, "the log of this task")
        outcome.state = NodeState.INTERRUPTED if interrupted else NodeState.FAILED
        outcome.problem = Problem.of(problem, traceback.format_exc())
        if interrupted:
            raise
    finally:
        outcome.ended, outcome.notes, outcome.peak_bytes = time.time(), take_notes(), peak_bytes()
        pod.keep(node_id, outcome)
        print(f"{node_id}: {outcome.state.value} after {outcome.seconds:.1f} s", flush=True)
    return problem


def _ended(node_id: str) -> ConveyorError:
    return NodeError(f"{node_id} was ended from outside, before it was done.", where=node_id, seen="SIGTERM")


def _sudden_end(node_id: str, code: int) -> ConveyorError:
    by_memory = code == -signal.SIGKILL
    return NodeError(
        f"{node_id} ended without a word.",
        where=node_id,
        seen=(f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}")
        + (", as the system does when memory runs out" if by_memory else ""),
        fix=f"Give it more memory, in a pod of its own: kubeflow.nodes.{node_id}.memory_limit" if by_memory else "",
    )


if __name__ == "__main__":
    sys.exit(main())
