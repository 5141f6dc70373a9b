"""The work of the processes that the local runner starts: compiling the pipeline, and running one node."""

from __future__ import annotations

import importlib
import logging
import multiprocessing
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.runs.status import NodeState, Problem
from pipeline.util.memory import peak_bytes
from pipeline.util.unexpected import as_conveyor_error

if TYPE_CHECKING:
    from ml_metadata.proto import metadata_store_pb2

    from pipeline.util.manifests import Thoroughness


@dataclass(frozen=True)
class PipelineFactory:
    """How to build a TFX pipeline, in a form that another process understands.

    Attributes:
      builder: the function that returns the tfx Pipeline, as `module:function`.
      arguments: its keyword arguments; they must be picklable.
    """

    builder: str
    arguments: dict[str, Any]


@dataclass(frozen=True)
class Compiled:
    """A compiled pipeline, bound to a run.

    Attributes:
      ir: the serialized pipeline_pb2.Pipeline.
      connection: the connection to the metadata store.
      upstream: the nodes in the order of the pipeline, each with the nodes it waits for.
      skipped: nodes outside a partial run.
    """

    ir: bytes
    connection: metadata_store_pb2.ConnectionConfig
    upstream: dict[str, list[str]]
    skipped: frozenset[str] = field(default_factory=frozenset)


def compile_pipeline(
    factory: PipelineFactory,
    connection: metadata_store_pb2.ConnectionConfig,
    run_id: str,
    from_nodes: tuple[str, ...],
    to_nodes: tuple[str, ...],
    *,
    is_alone: bool,
) -> Compiled:
    """Builds and compiles the pipeline, binds it to the run, and marks executions of interrupted runs as canceled.

    Args:
      factory: what to build.
      connection: the connection to the metadata store; the pipeline's own is left aside.
      run_id: the run to bind it to.
      from_nodes: where a partial run starts; empty for the beginning.
      to_nodes: where a partial run ends; empty for the end.
      is_alone: whether no other run of the pipeline can be at work in the store.

    Returns:
      The compiled pipeline.

    Raises:
      UsageError: a node of a partial run does not exist, or no earlier run has the outputs it needs.
      ConfigError: the configuration names something that cannot be read.
    """
    from tfx.dsl.compiler.compiler import Compiler

    from pipeline.runs import execute, pushes, resume
    from pipeline.runs.connections import open_metadata

    module, _, function = factory.builder.partition(":")
    ir = Compiler().compile(getattr(importlib.import_module(module), function)(**factory.arguments))
    for name in (*from_nodes, *to_nodes):
        execute.find_node(ir, name)
    execute.bind(ir, run_id)
    with open_metadata(connection) as handle:
        if is_alone:
            resume.cancel_interrupted(handle, ir.pipeline_info.id)
            for node in filter(pushes.is_pusher, (entry.pipeline_node for entry in ir.nodes)):
                pushes.record_unfinished(handle, node, run_id)
        if from_nodes or to_nodes:
            resume.mark_partial_run(handle, ir, from_nodes, to_nodes)
    nodes = [entry.pipeline_node for entry in ir.nodes]
    return Compiled(
        ir=ir.SerializeToString(deterministic=True),
        connection=connection,
        upstream={entry.node_info.id: list(entry.upstream_nodes) for entry in nodes},
        skipped=frozenset(entry.node_info.id for entry in nodes if entry.execution_options.HasField("skip")),
    )


def run_node(compiled: Compiled, node_id: str, verify: Thoroughness) -> NodeState:
    """Runs one node with pipeline.runs.execute.run and returns its state."""
    from tfx.proto.orchestration import pipeline_pb2

    from pipeline.runs import execute

    return execute.run(pipeline_pb2.Pipeline.FromString(compiled.ir), node_id, compiled.connection, verify).state


def enter(connection: Connection, log: Path, title: str, work: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    """The first thing a process does: everything it prints goes to `log`, its result or its problem through `connection`."""
    os.setpgid(0, 0)  # Ctrl-C goes to the runner alone, and the runner can end whatever this process starts
    _die_with_parent()
    try:
        _redirect_output(log)
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", force=True)
        connection.send((work(*arguments), None, peak_bytes()))
    except BaseException as error:
        problem = Problem.of(as_conveyor_error(error, title, log), traceback.format_exc())
        # On a full disk there is no room in the log either.
        with suppress(OSError):
            traceback.print_exc()
            sys.stderr.flush()
        connection.send((None, problem, peak_bytes()))


def _die_with_parent() -> None:
    """Ends this process and all it started when the command is gone, even killed: the fork server would let them live on."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()


def _redirect_output(log: Path) -> None:
    log.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
