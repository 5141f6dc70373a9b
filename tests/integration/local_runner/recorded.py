"""What a metadata store has of a run, apart from what every run has of its own: ids, times and names of executions."""

from __future__ import annotations

from typing import Any

from ml_metadata import MetadataStore
from ml_metadata.proto import metadata_store_pb2 as mlmd


def recorded(store: MetadataStore, run_id: str) -> dict[str, Any]:
    """Executions by node, with all their fields, contexts and events; and the run's context.

    Args:
      store: the metadata store.
      run_id: of the run.
    """
    run = store.get_context_by_type_and_name("pipeline_run", run_id)
    executions = {}
    for execution in store.get_executions_by_context(run.id):
        contexts = store.get_contexts_by_execution(execution.id)
        node = next(context.name for context in contexts if context.type == "node")
        executions[node] = {
            "fields": _fields(execution),
            "named": len(execution.name),
            "contexts": sorted((context.type, context.name) for context in contexts if context.id != run.id),
            "events": sorted(_event(event) for event in store.get_events_by_execution_ids([execution.id])),
        }
    return {
        "executions": executions,
        "properties": [str(run.properties), str(run.custom_properties)],
        "parents": [parent.name for parent in store.get_parent_contexts_by_context(run.id)],
        "artifacts": sorted(artifact.id for artifact in store.get_artifacts_by_context(run.id)),
    }


def artifacts_by_context(store: MetadataStore) -> dict[str, list[int]]:
    """The artifacts of each context that is not a run, by the context's name."""
    return {
        context.name: sorted(artifact.id for artifact in store.get_artifacts_by_context(context.id))
        for context in store.get_contexts()
        if context.type != "pipeline_run"
    }


def _fields(execution: mlmd.Execution) -> dict[str, str]:
    own = ("id", "name", "create_time_since_epoch", "last_update_time_since_epoch")
    return {field.name: _text(value) for field, value in execution.ListFields() if field.name not in own}


def _text(value: Any) -> str:
    # Mappings have no order.
    return str(sorted((key, str(value[key])) for key in value)) if hasattr(value, "keys") else str(value)


def _event(event: mlmd.Event) -> tuple[int, int, list[tuple[str, int]], bool]:
    steps = event.path.steps
    # An artifact that is two inputs is one event with two paths, in any order.
    paths = sorted((steps[index].key, steps[index + 1].index) for index in range(0, len(steps), 2))
    return event.type, event.artifact_id, paths, event.milliseconds_since_epoch > 0
