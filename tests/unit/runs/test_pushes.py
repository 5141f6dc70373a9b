"""What becomes of the records of pushes whose versions are gone."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ml_metadata.proto import metadata_store_pb2
from tfx.proto import pusher_pb2
from tfx.proto.orchestration import pipeline_pb2
from tfx.utils import proto_utils

from pipeline.runs.pushes import forget_lost
from tests.fakes.workspace import Workspace


def pusher(folder: Path) -> pipeline_pb2.PipelineNode:
    """The node that pushes into a folder."""
    destination = pusher_pb2.PushDestination(filesystem=pusher_pb2.PushDestination.Filesystem(base_directory=str(folder)))
    node = pipeline_pb2.PipelineNode()
    node.parameters.parameters["push_destination"].field_value.string_value = proto_utils.proto_to_json(destination)
    return node


def live(workspace: Workspace) -> list[str]:
    """The versions whose pushes are in use."""
    found: list[Any] = workspace.store.get_artifacts_by_type("PushedModel")
    return [
        each.properties["pushed_version"].string_value or each.custom_properties["pushed_version"].string_value
        for each in found
        if each.state != metadata_store_pb2.Artifact.DELETED
    ]


def test_a_push_is_forgotten_where_its_version_is_gone_and_by_its_own_pipeline_alone(workspace: Workspace) -> None:
    folder = workspace.config.serving_path
    for run, version in (("run-1", "1"), ("run-2", "2")):
        workspace.run(run, f"-{version}", version=version)
    (folder / "2").mkdir(parents=True)
    (folder / "2" / "saved_model.pb").touch()
    artifacts = workspace.store.get_artifacts_by_type("PushedModel")
    for artifact in artifacts:
        artifact.state = metadata_store_pb2.Artifact.LIVE
    workspace.store.put_artifacts(artifacts)
    handle: Any = SimpleNamespace(store=workspace.store)

    forget_lost(handle, pusher(folder), "houses")
    # On another volume, or another machine.
    forget_lost(handle, pusher(folder.with_name("elsewhere")), "flights")
    assert live(workspace) == ["1", "2"]
    forget_lost(handle, pusher(folder), "flights")
    assert live(workspace) == ["2"]
