"""Pushes and their records: the next start makes a record that was cut off, and forgets that of a version that is gone."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

from google.protobuf import json_format
from ml_metadata.proto import metadata_store_pb2
from tfx.dsl.compiler import constants
from tfx.orchestration.portable import execution_publish_utils
from tfx.proto import pusher_pb2
from tfx.types import standard_artifacts
from tfx.utils import proto_utils

from components.pusher.push_record import FILE_NAME, PushRecord
from components.pusher.serving_folder import push_is_in_place
from pipeline.contracts.serving_folder import versions
from pipeline.runs import verification
from pipeline.runs.metadata import node_state

if TYPE_CHECKING:
    from tfx.orchestration import metadata
    from tfx.proto.orchestration import pipeline_pb2

# As in TFX's standard_component_specs, which imports TFMA and with it TensorFlow.
_DESTINATION, _PUSHED_MODEL = "push_destination", "pushed_model"
_RECORDED_WITHIN_SECONDS = 3600.0
"""A push that works is recorded at once; whoever has not done so for this long is gone."""


def is_pusher(node: pipeline_pb2.PipelineNode) -> bool:
    """Whether a node of a compiled pipeline pushes models."""
    name = standard_artifacts.PushedModel.TYPE_NAME
    return any(output.artifact_spec.type.name == name for output in node.outputs.outputs.values())


def record_unfinished(handle: metadata.Metadata, pusher: pipeline_pb2.PipelineNode, run_id: str) -> list[str]:
    """Records the pushes of executions that were cut off, as the executions would have done.

    Args:
      handle: an open connection.
      pusher: the node that pushes, which names the serving folder.
      run_id: the run that is about to start, or to go on: no other process works on its nodes.

    Returns:
      The versions whose pushes were recorded.
    """
    recorded = []
    folder = _serving_folder(pusher)
    for version in versions(folder):
        record = PushRecord.load(folder / str(version))
        path = folder / str(version)
        if record is not None and _is_unfinished(handle, record, run_id, _age(path)):
            _publish(handle, record, path)
            recorded.append(str(version))
    return recorded


def forget_lost(handle: metadata.Metadata, pusher: pipeline_pb2.PipelineNode, pipeline: str) -> None:
    """Marks pushes whose version folder is gone as deleted, so that the cache does not pass them off as done.

    Others push elsewhere, which cannot be seen from here.

    Args:
      handle: an open connection.
      pusher: the node that pushes, which names the serving folder.
      pipeline: the pipeline's name.
    """
    folder = _serving_folder(pusher)
    context = handle.store.get_context_by_type_and_name(constants.PIPELINE_CONTEXT_TYPE_NAME, pipeline)
    artifacts: list[metadata_store_pb2.Artifact] = handle.store.get_artifacts_by_context(context.id) if context else []
    lost = [
        artifact
        for artifact in artifacts
        if artifact.type == standard_artifacts.PushedModel.TYPE_NAME
        and artifact.state == metadata_store_pb2.Artifact.LIVE
        and Path(artifact.custom_properties["pushed_destination"].string_value).parent == folder
        and not push_is_in_place(artifact)
    ]
    for artifact in lost:
        artifact.state = metadata_store_pb2.Artifact.DELETED
    if lost:
        handle.store.put_artifacts(lost)


def _serving_folder(pusher: pipeline_pb2.PipelineNode) -> Path:
    value = pusher.parameters.parameters[_DESTINATION].field_value.string_value
    destination = pusher_pb2.PushDestination()
    proto_utils.json_to_proto(value, destination)
    return Path(destination.filesystem.base_directory)


def _age(version: Path) -> float:
    """How long ago a version was pushed, in seconds."""
    return time.time() - (version / FILE_NAME).stat().st_mtime


def _is_unfinished(handle: metadata.Metadata, record: PushRecord, run_id: str, age: float) -> bool:
    """Whether the store knows the execution as one that did not complete. Another store counts executions of its own."""
    found = handle.store.get_executions_by_id([record.execution]) if _exists(handle, record) else []
    for execution in found:
        state = node_state(execution)
        # Of a run in a cluster that ended without its exit task, the store still says that it is running.
        is_over = state.has_ended or record.run == run_id or age > _RECORDED_WITHIN_SECONDS
        return not state.is_successful and is_over
    return False


def _exists(handle: metadata.Metadata, record: PushRecord) -> bool:
    run = handle.store.get_context_by_type_and_name(constants.PIPELINE_RUN_CONTEXT_TYPE_NAME, record.run)
    pipeline = handle.store.get_context_by_type_and_name(constants.PIPELINE_CONTEXT_TYPE_NAME, record.pipeline)
    if run is None or pipeline is None:
        return False
    executions = {execution.id for execution in handle.store.get_executions_by_context(run.id)}
    parents = {context.id for context in handle.store.get_parent_contexts_by_context(run.id)}
    return record.execution in executions and pipeline.id in parents


def _publish(handle: metadata.Metadata, record: PushRecord, version: Path) -> None:
    pushed = standard_artifacts.PushedModel()
    made = json_format.ParseDict(record.artifact, metadata_store_pb2.Artifact(), ignore_unknown_fields=True)
    made.ClearField("id")
    made.ClearField("type_id")
    pushed.set_mlmd_artifact(made)
    pushed.set_int_custom_property("pushed", 1)
    pushed.set_string_custom_property("pushed_destination", str(version))
    pushed.set_string_custom_property("pushed_version", version.name)
    # A Pusher that fails after the version is there takes its output away.
    if not Path(pushed.uri).exists():
        copy = Path(f"{pushed.uri}.partial")
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(version, copy, ignore=shutil.ignore_patterns(FILE_NAME))
        copy.rename(pushed.uri)
    verification.record(pushed.mlmd_artifact)
    contexts = handle.store.get_contexts_by_execution(record.execution)
    execution_publish_utils.publish_succeeded_execution(handle, record.execution, contexts, {_PUSHED_MODEL: [pushed]})
