"""Runs one node of a compiled pipeline: the only way in which nodes run, on a laptop and in a pod alike."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ml_metadata.proto import metadata_store_pb2
from tfx.dsl.compiler import constants
from tfx.orchestration import metadata
from tfx.orchestration.local import runner_utils
from tfx.orchestration.portable import partial_run_utils, runtime_parameter_utils
from tfx.orchestration.portable.mlmd import context_lib, execution_lib

from pipeline.errors import NodeError, UsageError
from pipeline.runs import pushes
from pipeline.runs.connections import SerialisedMetadata, ServerMetadata, connection_of, open_metadata
from pipeline.runs.launcher import Launcher
from pipeline.runs.metadata import node_state
from pipeline.runs.status import NodeState
from pipeline.util.suggestions import did_you_mean

if TYPE_CHECKING:
    from tfx.proto.orchestration import pipeline_pb2

    from pipeline.util.manifests import Thoroughness

_Execution = metadata_store_pb2.Execution


@dataclass(frozen=True)
class NodeResult:
    """The result of running a node.

    Attributes:
      state: as read back from the metadata store; SKIPPED when a condition was not met.
      execution_id: the id of the execution in the metadata store; None for a skipped node.
    """

    state: NodeState
    execution_id: int | None


def bind(ir: pipeline_pb2.Pipeline, run_id: str) -> None:
    """Binds a compiled pipeline to a run, in place."""
    runtime_parameter_utils.substitute_runtime_parameter(ir, {constants.PIPELINE_RUN_ID_PARAMETER_NAME: run_id})


def find_node(ir: pipeline_pb2.Pipeline, node_id: str) -> pipeline_pb2.PipelineNode:
    """The node of that id.

    Raises:
      UsageError: there is none.
    """
    nodes = {node.pipeline_node.node_info.id: node.pipeline_node for node in ir.nodes}
    if node_id not in nodes:
        raise UsageError(
            f"The pipeline has no node {node_id!r}.",
            where=ir.pipeline_info.id,
            expected=", ".join(nodes),
            seen=node_id,
            fix=did_you_mean(node_id, nodes) or "Name one of these nodes.",
        )
    return nodes[node_id]


def run(
    ir: pipeline_pb2.Pipeline,
    node_id: str,
    connection: metadata_store_pb2.ConnectionConfig | None = None,
    verify: Thoroughness = "whole",
    operators: Mapping[Any, Any] | None = None,
) -> NodeResult:
    """Runs one node: driver, cache look-up, executor, publisher.

    Args:
      ir: a compiled pipeline that is bound to a run.
      node_id: the node to run; the nodes it depends on have run before.
      connection: to the metadata store; the one that the pipeline was compiled with when None.
      verify: how much of what the node reads or takes from the cache is compared with what was made.
      operators: TFX's executor operators by the type of the executor's spec, in the place of its own.

    Returns:
      The node's state as the metadata store holds it.

    Raises:
      NodeError: the store says that the node did not complete, although no exception was raised: TFX ends so when a
        node's inputs cannot be resolved.
      StorageError: an input is not what its node has made.
      Exception: whatever the executor raised.
    """
    pipeline_node = find_node(ir, node_id)
    deployment = runner_utils.extract_local_deployment_config(ir)
    opened = open_metadata(connection or connection_of(ir))
    if pipeline_node.execution_options.run.perform_snapshot:
        with opened as handle:
            partial_run_utils.snapshot(handle, ir)
    if pushes.is_pusher(pipeline_node):
        with opened as handle:
            pushes.record_unfinished(handle, pipeline_node, ir.runtime_spec.pipeline_run_id.field_value.string_value)
            pushes.forget_lost(handle, pipeline_node, ir.pipeline_info.id)
    node_launcher = Launcher(
        pipeline_node=pipeline_node,
        mlmd_connection=opened,
        pipeline_info=ir.pipeline_info,
        pipeline_runtime_spec=ir.runtime_spec,
        executor_spec=runner_utils.extract_executor_spec(deployment, node_id),
        custom_driver_spec=runner_utils.extract_custom_driver_spec(deployment, node_id),
        how=verify,
        operators=operators,
    )
    try:
        execution_info = node_launcher.launch()
    except BaseException as error:
        interrupted = isinstance(error, (KeyboardInterrupt, SystemExit))
        try:
            _publish_end(opened, pipeline_node, _Execution.CANCELED if interrupted else _Execution.FAILED)
        except Exception:
            # The node's own error is the one to tell.
            logging.exception("ML Metadata does not know that %s has ended.", node_id)
        raise
    if execution_info is None or not execution_info.execution_id:
        return NodeResult(NodeState.SKIPPED, None)
    return _read_back(opened, node_id, execution_info.execution_id)


def _publish_end(connection: metadata.Metadata, pipeline_node: pipeline_pb2.PipelineNode, state: int) -> None:
    """Marks the node's execution in this run as ended. TFX does so when an executor fails, but not when a driver does."""
    with connection as handle:
        contexts = context_lib.prepare_contexts(handle, pipeline_node.contexts)
        executions = execution_lib.get_executions_associated_with_all_contexts(handle, contexts)
        active = [execution for execution in executions if execution_lib.is_execution_active(execution)]
        for execution in active:
            execution.last_known_state = state
        if active:
            handle.store.put_executions(active)


def _read_back(connection: SerialisedMetadata | ServerMetadata, node_id: str, execution_id: int) -> NodeResult:
    with connection as handle:
        (execution,) = handle.store.get_executions_by_id([execution_id])
    state = node_state(execution)
    if state.is_successful or state is NodeState.INTERRUPTED:
        return NodeResult(state, execution_id)
    if connection.failure:
        raise connection.failure
    name = _Execution.State.Name(execution.last_known_state)
    message = _last_line(execution.custom_properties["__execution_result__"].string_value)
    raise NodeError(
        f"{node_id} did not complete: ML Metadata has its execution {execution_id} as {name}.",
        where=node_id,
        expected="COMPLETE or CACHED",
        seen=message or name,
        fix="The node's inputs could not be resolved: look at the nodes before it, then run again.",
    )


def _last_line(result: str) -> str:
    """What a traceback ends with; TFX keeps it, within JSON, as the result of an execution."""
    try:
        text = json.loads(result)["resultMessage"]
    except (ValueError, KeyError):
        text = result
    lines = text.strip().splitlines()
    return lines[-1] if lines else ""
