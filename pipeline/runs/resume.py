"""Takes over from earlier runs: the outputs that a partial run builds on, and executions that were left unfinished."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml_metadata.proto import metadata_store_pb2
from tfx.dsl.compiler import constants
from tfx.orchestration.portable import partial_run_utils
from tfx.proto.orchestration import pipeline_pb2

from pipeline.errors import UsageError
from pipeline.runs.metadata import node_state

if TYPE_CHECKING:
    from ml_metadata import MetadataStore
    from tfx.orchestration import metadata


def cancel_interrupted(handle: metadata.Metadata, pipeline_name: str) -> None:
    """Marks executions that a killed run left as running as canceled. Only for a caller that holds the pipeline's run lock.

    Args:
      handle: an open connection.
      pipeline_name: the pipeline whose executions are looked at.
    """
    _cancel_unfinished(handle, constants.PIPELINE_CONTEXT_TYPE_NAME, pipeline_name)


def cancel_run(handle: metadata.Metadata, run_id: str) -> None:
    """Marks executions that a run left as running as canceled. Only for a caller that knows the run's nodes to have ended.

    Args:
      handle: an open connection.
      run_id: the run's id.
    """
    _cancel_unfinished(handle, constants.PIPELINE_RUN_CONTEXT_TYPE_NAME, run_id)


def _cancel_unfinished(handle: metadata.Metadata, context_type: str, context_name: str) -> None:
    context = handle.store.get_context_by_type_and_name(context_type, context_name)
    if context is None:
        return
    executions = handle.store.get_executions_by_context(context.id)
    unfinished = [execution for execution in executions if not node_state(execution).has_ended]
    for execution in unfinished:
        execution.last_known_state = metadata_store_pb2.Execution.CANCELED
    if unfinished:
        handle.store.put_executions(unfinished)


def mark_partial_run(
    handle: metadata.Metadata, ir: pipeline_pb2.Pipeline, from_nodes: tuple[str, ...], to_nodes: tuple[str, ...]
) -> None:
    """Marks a compiled pipeline, in place, to run only the nodes between two sets of nodes.

    The others' outputs come from the newest run in which all of those that are needed were successful.

    Args:
      handle: an open connection.
      ir: the pipeline, bound to its run.
      from_nodes: where to start; empty for the beginning.
      to_nodes: where to end; empty for the end.

    Raises:
      UsageError: the nodes are not connected in this direction, or no earlier run has what they need.
    """
    partial_run_utils.mark_pipeline(ir, from_nodes=from_nodes or None, to_nodes=to_nodes or None)
    nodes = [node.pipeline_node for node in ir.nodes]
    if all(node.execution_options.HasField("skip") for node in nodes):
        raise UsageError(
            f"No node lies between {', '.join(from_nodes)} and {', '.join(to_nodes)}.",
            where=ir.pipeline_info.id,
            expected="--from names a node before the one that --to names",
            fix="Exchange the two.",
        )
    mode = pipeline_pb2.NodeExecutionOptions.Skip.REQUIRED
    needed = {node.node_info.id for node in nodes if node.execution_options.skip.reuse_artifacts_mode == mode}
    if needed:
        base = _newest_run_with(handle.store, ir.pipeline_info.id, needed)
        ir.runtime_spec.snapshot_settings.base_pipeline_run_strategy.base_run_id = base


def _newest_run_with(store: MetadataStore, pipeline_name: str, needed: set[str]) -> str:
    context = store.get_context_by_type_and_name(constants.PIPELINE_CONTEXT_TYPE_NAME, pipeline_name)
    children = store.get_children_contexts_by_context(context.id) if context else []
    runs = [child for child in children if child.type == constants.PIPELINE_RUN_CONTEXT_TYPE_NAME]
    newest_first = sorted(runs, key=lambda run: (run.create_time_since_epoch, run.id), reverse=True)
    for run in newest_first:
        if needed <= _successful_nodes(store, pipeline_name, run):
            return str(run.name)
    raise UsageError(
        f"No earlier run has the outputs of {', '.join(sorted(needed))}, which this partial run would take over.",
        where=pipeline_name,
        expected="one run in which these nodes were successful",
        seen=f"{len(runs)} earlier runs",
        fix="Run the whole pipeline once, without --from; nodes that are cached are not repeated.",
    )


def _successful_nodes(store: MetadataStore, pipeline_name: str, run: metadata_store_pb2.Context) -> set[str]:
    names = [
        context.name
        for execution in store.get_executions_by_context(run.id)
        if node_state(execution).is_successful
        for context in store.get_contexts_by_execution(execution.id)
        if context.type == constants.NODE_CONTEXT_TYPE_NAME
    ]
    return {name.removeprefix(f"{pipeline_name}.") for name in names}
