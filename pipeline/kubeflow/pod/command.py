"""The command line of a task: its arguments, its log, and how an error ends it."""

from __future__ import annotations

import argparse
import json
import logging
import sys
import traceback
from collections.abc import Callable, Sequence

from pipeline.kubeflow.pod.context import Pod
from pipeline.kubeflow.pod.payload import Payload
from pipeline.kubeflow.pod.termination import report
from pipeline.runs.status import Problem
from pipeline.util.unexpected import as_conveyor_error

_BY_HAND = '{"inputs": {"parameterValues": {"run_id": "by-hand"}}}'


def run_task(
    parser: argparse.ArgumentParser, arguments: Sequence[str] | None, work: Callable[[Pod, argparse.Namespace], None]
) -> int:
    """Runs a task from its command line.

    Args:
      parser: the parser of the arguments that this task alone has.
      arguments: the command line; the process's own when not given.
      work: the function that does the task's work.

    Returns:
      The exit code: 0, or that of the error, which is the last output on stderr and is reported to Kubernetes.
    """
    parser.add_argument("--ir", required=True, help="the compiled pipeline, packed")
    parser.add_argument("--config", required=True, help="the configuration, packed")
    parser.add_argument(
        "--executor-input",
        required=True,
        type=json.loads,
        help=f"the inputs and outputs, as Kubeflow describes them; by hand: {_BY_HAND}",
    )
    options = parser.parse_args(arguments)
    _log_briefly()
    try:
        work(Pod.of(Payload.read(options.ir, options.config), options.executor_input), options)
    except Exception as error:
        problem = as_conveyor_error(error, "The task", "the log of this task")
        if problem is not error:
            traceback.print_exc()
        print(f"\n{problem.headline}: {problem}", file=sys.stderr, flush=True)
        report(problem=Problem.of(problem))
        return problem.exit_code
    return 0


def _log_briefly() -> None:
    """Logs to stderr, and only the first line of TFX's informational messages, which hold whole compiled pipelines."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Brief("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    # Beam logs hundreds of lines about type hints when it is imported.
    logging.getLogger("apache_beam.typehints").setLevel(logging.WARNING)


class _Brief(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        first, newline, _ = text.partition("\n")
        return f"{first} …" if newline and record.levelno <= logging.INFO else text
