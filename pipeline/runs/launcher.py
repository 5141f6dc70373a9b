"""TFX's launcher of a node, with stored files that can be relied on.

A node writes into folders of its own, which held nothing before; each artifact that it finishes gets a manifest; and what it
reads or takes from the cache is compared with the manifest first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_metadata.proto import metadata_store_pb2
from tfx.orchestration import metadata
from tfx.orchestration.portable import launcher, outputs_utils
from tfx.orchestration.portable.mlmd import execution_lib
from tfx.types import artifact_utils
from tfx.types.value_artifact import ValueArtifact

from pipeline.errors import StorageError
from pipeline.runs import pushes, verification
from pipeline.util import manifests
from pipeline.util.manifests import Flaw, Thoroughness
from pipeline.util.notes import note

if TYPE_CHECKING:
    from tfx.orchestration.portable import data_types
    from tfx.proto.orchestration import execution_result_pb2, pipeline_pb2
    from tfx.types import Artifact

_Artifacts = Mapping[str, Sequence["Artifact"]]


class Launcher(launcher.Launcher):
    """Runs a node as TFX does, and sees to it that it reads what was made, and writes where nothing is.

    Args:
      pipeline_node: the node.
      mlmd_connection: the connection to the metadata store.
      pipeline_info: the pipeline.
      pipeline_runtime_spec: where it runs.
      executor_spec: the node's executor; None for a resolver.
      custom_driver_spec: the node's driver, where it has one.
      how: how much of stored artifacts is compared with their manifests.
      operators: executor operators by the type of the executor's spec, in the place of TFX's own.
    """

    def __init__(
        self,
        pipeline_node: pipeline_pb2.PipelineNode,
        mlmd_connection: metadata.Metadata,
        pipeline_info: pipeline_pb2.PipelineInfo,
        pipeline_runtime_spec: pipeline_pb2.PipelineRuntimeSpec,
        executor_spec: Any = None,
        custom_driver_spec: Any = None,
        *,
        how: Thoroughness = "whole",
        operators: Mapping[Any, Any] | None = None,
    ) -> None:
        super().__init__(
            pipeline_node,
            mlmd_connection,
            pipeline_info,
            pipeline_runtime_spec,
            executor_spec,
            custom_driver_spec,
            custom_executor_operators=operators,
        )
        self._node_id = pipeline_node.node_info.id
        self._how = how
        self._refused: dict[int, str] = {}
        self._output_resolver = _NewFolders(pipeline_node, pipeline_info, pipeline_runtime_spec)

    def _prepare_execution(self) -> Any:
        with _cached_outputs_pass(self._check_cached):
            prepared = super()._prepare_execution()
        if prepared.is_execution_needed:
            self._tell_of_other_store(prepared.execution_info.execution_id)
            # TFX does so when the node is done. A push that is recorded later is then found in the cache too.
            if pushes.is_pusher(self._pipeline_node):
                with self._mlmd_connection as handle:
                    execution_lib.put_execution(handle, prepared.execution_metadata, prepared.contexts)
        return prepared

    def _run_executor(self, execution_info: data_types.ExecutionInfo) -> execution_result_pb2.ExecutorOutput:
        self._require(execution_info.input_dict)
        _claim(execution_info.output_dict)
        output = super()._run_executor(execution_info)
        try:
            for artifacts in output.output_artifacts.values():
                for artifact in artifacts.artifacts:
                    if Path(artifact.uri).exists():
                        verification.record(artifact)
        except OSError:
            outputs_utils.remove_output_dirs(execution_info.output_dict)
            raise
        return output

    def _check_cached(self, artifacts: _Artifacts) -> None:
        """Refuses outputs of an earlier execution that are not what it made.

        Raises:
          RuntimeError: they are not, or nobody can tell. TFX then looks for others, and runs the node if there are none.
        """
        for artifact in _protos(artifacts):
            if not verification.is_recorded(artifact):
                raise RuntimeError(f"{artifact.uri} has no manifest: it is of an earlier release")
            # Each earlier run that took an artifact from the cache offers it again.
            if artifact.id not in self._refused:
                flaw = next(verification.flaws(artifact, self._how), None)
                if flaw is None:
                    continue
                note(f"{flaw.path} is not what {self._node_id} has made, and is not used: {_comparison(flaw)}.")
                self._refused[artifact.id] = f"{flaw.path}: {_comparison(flaw)}"
            raise RuntimeError(self._refused[artifact.id])

    def _require(self, artifacts: _Artifacts) -> None:
        """Makes sure that inputs are what their nodes have made. One that certainly is not will not be used again.

        Raises:
          DamagedInputError: one certainly is not.
          StorageError: one cannot be read.
        """
        for artifact in filter(verification.is_recorded, _protos(artifacts)):
            flaw = next(verification.flaws(artifact, self._how), None)
            if flaw is None:
                continue
            if flaw.is_damage:
                artifact.state = metadata_store_pb2.Artifact.DELETED
                with self._mlmd_connection as handle:
                    handle.store.put_artifacts([artifact])
            kind = verification.DamagedInputError if flaw.is_damage else StorageError
            raise kind(
                f"An input of {self._node_id} is not what was made.",
                where=str(flaw.path),
                expected=flaw.expected,
                seen=flaw.seen,
                fix="Run the whole pipeline again: what is damaged is not used any more, and made anew."
                if flaw.is_damage
                else "Check the disk and the folder's permissions, then run again.",
            )

    def _tell_of_other_store(self, execution_id: int) -> None:
        """Tells if the store does not know of artifacts that are there, as a new one or one restored from a copy does not."""
        taken = self._output_resolver.taken(execution_id)
        if taken is None:
            return
        with self._mlmd_connection as handle:
            (execution,) = handle.store.get_executions_by_id([execution_id])
        # A folder of an earlier attempt at this execution is newer.
        if taken.stat().st_mtime < execution.create_time_since_epoch / 1000:
            note(
                f"The metadata store is newer or older than the artifacts, as it does not know {taken}. "
                "That stays as it is, and this run writes beside it."
            )


class _NewFolders(outputs_utils.OutputsResolver):
    """Gives an execution folders that did not exist: named by its id, or by id and a number where there is one of that name."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._names: dict[int, str] = {}

    def generate_output_artifacts(self, execution_id: int) -> dict[str, list[Artifact]]:
        """The execution's outputs, each with its folder."""
        return outputs_utils.generate_output_artifacts(
            execution_id=self._name(execution_id), outputs=self._pipeline_node.outputs.outputs, node_dir=self._node_dir
        )

    def get_executor_output_uri(self, execution_id: int) -> str:
        """The file in which an executor may leave its result."""
        return str(outputs_utils.get_executor_output_uri(self._node_dir, self._name(execution_id)))

    def make_tmp_dir(self, execution_id: int) -> str:
        """Makes the folder for temporary files."""
        return str(outputs_utils.make_tmp_dir(self._node_dir, self._name(execution_id)))

    def taken(self, execution_id: int) -> Path | None:
        """What was there under the execution's own name; None where that was free."""
        own = str(execution_id)
        return None if self._name(execution_id) == own else self._found(own)

    def _name(self, execution_id: int) -> Any:
        if execution_id not in self._names:
            names = chain([str(execution_id)], (f"{execution_id}-{number}" for number in count(2)))
            self._names[execution_id] = next(name for name in names if not self._found(name))
        return self._names[execution_id]

    def _found(self, name: str) -> Path | None:
        node = Path(self._node_dir)
        outputs = [node / key / name for key in self._pipeline_node.outputs.outputs]
        places = (*outputs, *map(manifests.path_of, outputs), node / ".system" / "executor_execution" / name)
        return next((place for place in places if place.exists()), None)


@contextmanager
def _cached_outputs_pass(check: Callable[[_Artifacts], None]) -> Iterator[None]:
    """A context in which TFX takes only those outputs from the cache that a function does not refuse by a RuntimeError."""
    original = artifact_utils.verify_artifacts

    def verify(artifacts: _Artifacts) -> None:
        original(artifacts)
        check(artifacts)

    artifact_utils.verify_artifacts = verify
    try:
        yield
    finally:
        artifact_utils.verify_artifacts = original


def _claim(artifacts: _Artifacts) -> None:
    """Makes the folders of outputs, which must not exist.

    Raises:
      StorageError: one exists: two runs with different metadata stores are at work.
    """
    for artifact in (artifact for each in artifacts.values() for artifact in each if not artifact.is_external):
        folder = Path(artifact.uri)
        try:
            (folder.parent if isinstance(artifact, ValueArtifact) else folder).mkdir(parents=True)
        except FileExistsError:
            raise StorageError(
                "Another process has just made the folder of an output.",
                where=str(folder),
                expected="one metadata store for all runs that write to a workspace at a time",
                fix="Wait for the other run to end, then run again.",
            ) from None


def _protos(artifacts: _Artifacts) -> Iterator[metadata_store_pb2.Artifact]:
    return (artifact.mlmd_artifact for each in artifacts.values() for artifact in each)


def _comparison(flaw: Flaw) -> str:
    return f"{flaw.seen} instead of {flaw.expected}"
