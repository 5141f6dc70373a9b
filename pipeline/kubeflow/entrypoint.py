"""What a pod runs: one node of the pipeline, or a group of them one after another, by the code that runs them on a laptop."""

from __future__ import annotations

import argparse
import json
import logging
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from types import FrameType
from typing import TYPE_CHECKING, Any

from pipeline import parameters
from pipeline.errors import ConveyorError, as_conveyor_error
from pipeline.kubeflow.payload import Payload
from pipeline.kubeflow.pod import Pod
from pipeline.outcome import NodeOutcome, NodeState, Problem

if TYPE_CHECKING:
    from tfx.proto.orchestration import pipeline_pb2


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the nodes that the command line names.

    Args:
      arguments: the command line; the process's own when not given.

    Returns:
      The exit code: 0 when ML Metadata has every node as complete, cached or skipped.
    """
    parser = argparse.ArgumentParser(prog="python -m pipeline.kubeflow.entrypoint", description=__doc__)
    parser.add_argument("--node", action="append", required=True, help="a node to run; repeatable, in their order")
    options = parse(parser, arguments)
    signal.signal(signal.SIGTERM, _end)
    log_briefly()
    try:
        pod = Pod.of(Payload.read(options.ir, options.config), options.executor_input)
        pod.payload.require_same_code()
        ir = bound_pipeline(pod)
        problem = next((found for node_id in options.node if (found := _run(pod, ir, node_id))), None)
        pod.show(options.node)
        if problem:
            raise problem
    except ConveyorError as error:
        print(f"\n{error.headline}: {error}", file=sys.stderr, flush=True)
        return error.exit_code
    return 0


def parse(parser: argparse.ArgumentParser, arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parses a task's command line: the arguments of `parser` and those that every task has."""
    parser.add_argument("--ir", required=True, help="the compiled pipeline, packed")
    parser.add_argument("--config", required=True, help="the configuration, packed")
    parser.add_argument(
        "--executor-input",
        required=True,
        type=json.loads,
        help='what Kubeflow says of inputs and outputs; by hand: {"inputs": {"parameterValues": {"run_id": "by-hand"}}}',
    )
    return parser.parse_args(arguments)


def log_briefly() -> None:
    """Logs to stderr; of what TFX says in passing, which holds whole compiled pipelines, the first line."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Brief("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    # Hundreds of lines about type hints, each time Beam is imported.
    logging.getLogger("apache_beam.typehints").setLevel(logging.WARNING)


class _Brief(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        first, newline, _ = text.partition("\n")
        return f"{first} …" if newline and record.levelno <= logging.INFO else text


def bound_pipeline(pod: Pod) -> pipeline_pb2.Pipeline:
    """The pipeline, bound to the run and its parameters."""
    from pipeline import node

    ir = pod.payload.pipeline()
    parameters.apply(ir, pod.parameters)
    node.bind(ir, pod.run_id)
    return ir


def _run(pod: Pod, ir: pipeline_pb2.Pipeline, node_id: str) -> ConveyorError | None:
    """Runs a node and keeps its outcome; returns what it failed with."""
    from pipeline import node

    found = node.find_node(ir, node_id)
    outcome = NodeOutcome(upstream=list(found.upstream_nodes), state=NodeState.RUNNING, started=time.time())
    pod.keep(node_id, outcome)
    print(f"{node_id}: starting, run {pod.run_id}", flush=True)
    problem: ConveyorError | None = None
    try:
        outcome.state = node.run(ir, node_id, pod.connection).state
    except BaseException as error:
        traceback.print_exc()
        problem = as_conveyor_error(error, node_id, "the log of this task")
        interrupted = isinstance(error, (SystemExit, KeyboardInterrupt))
        outcome.state = NodeState.INTERRUPTED if interrupted else NodeState.FAILED
        outcome.problem = Problem.of(problem, traceback.format_exc())
        if interrupted:
            raise
    finally:
        outcome.ended = time.time()
        pod.keep(node_id, outcome)
        print(f"{node_id}: {outcome.state.value} after {outcome.seconds:.1f} s", flush=True)
    return problem


def _end(number: int, frame: FrameType | None) -> Any:
    """Ends the process as an exception does, so that the node's execution is marked in ML Metadata."""
    raise SystemExit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
