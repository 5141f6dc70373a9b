"""Which data and models of old runs may be deleted, and deleting them.

Reports, logs, metrics, statistics and schemas stay: they are small, and what later runs are compared with.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock
from ml_metadata.proto import metadata_store_pb2

from pipeline.config import PipelineConfig
from pipeline.errors import StorageError, UsageError
from pipeline.runs.metadata import Execution, Store
from pipeline.runs.resolvers import latest_blessed_model
from pipeline.runs.sqlite_store import SqliteStore

LARGE = frozenset({"Examples", "Model", "PushedModel", "TransformGraph"})
"""Types of artifacts that grow with the data and the model. Without them a run cannot be continued, its report can be read."""

_GONE = (metadata_store_pb2.Artifact.MARKED_FOR_DELETION, metadata_store_pb2.Artifact.DELETED)


@dataclass(frozen=True)
class Prunable:
    """An artifact that nothing needs any more.

    Attributes:
      artifact: as the metadata store has it.
      node: the node that made it.
      run: the run that it did so in.
      size: bytes on the disk; a file that others share by a hard link counts in full.
    """

    artifact: metadata_store_pb2.Artifact
    node: str
    run: str
    size: int


def prunable(config: PipelineConfig, store: Store, keep: int) -> list[Prunable]:
    """The large artifacts that nothing needs any more, oldest first.

    What stays: all that the newest runs have read and made; all that a version in the serving folder was made from; and the run
    that trained the baseline of the next.

    Args:
      config: the pipeline's configuration.
      store: its metadata store.
      keep: how many of the newest runs are kept whole.

    Raises:
      UsageError: no run would be kept.
      StorageError: the store is damaged.
    """
    if keep < 1:
        raise UsageError(
            "The newest run has to stay.",
            where="--keep",
            expected="1 or more",
            seen=str(keep),
            fix="Give a number such as --keep 5.",
        )
    kept = _kept(config, store, keep)
    found = [
        each
        for each in store.artifacts()
        if each.type in LARGE and each.id not in kept and _is_there(each) and config.artifacts_path in Path(each.uri).parents
    ]
    makers = {each.id: store.producer(each.id) for each in found}
    return [Prunable(each, *_named(makers[each.id]), _size(Path(each.uri))) for each in found]


def delete(connection: metadata_store_pb2.ConnectionConfig, doomed: Sequence[Prunable]) -> None:
    """Deletes artifacts. The metadata store knows first: what is cut off in between is deleted by the next call.

    Args:
      connection: the connection to the metadata store, which is a file.
      doomed: the artifacts.

    Raises:
      StorageError: a folder cannot be deleted.
    """
    for each in doomed:
        each.artifact.state = metadata_store_pb2.Artifact.DELETED
    path = Path(connection.sqlite.filename_uri)
    with FileLock(f"{path}.lock"):
        SqliteStore(connection).put_artifacts([each.artifact for each in doomed])
    for each in doomed:
        try:
            shutil.rmtree(each.artifact.uri)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise StorageError(
                "What a run has made cannot be deleted.",
                where=str(error.filename or each.artifact.uri),
                expected="a folder that this user may change",
                seen=error.strerror or str(error),
                fix="Correct its rights, then try again: conveyor prune",
            ) from error


def _kept(config: PipelineConfig, store: Store, keep: int) -> set[int]:
    starts = store.run_starts()
    newest_first = sorted(starts, key=lambda run: (starts[run], run), reverse=True)
    kept = _used(execution for run in newest_first[:keep] for execution in store.run(run).executions.values())
    versions = {path.name for path in config.serving_path.glob("[0-9]*")}
    for version, pushed in store.pushed_versions().items():
        if version in versions:
            kept |= {pushed.id} | _used(store.lineage(pushed).executions)
    baseline = latest_blessed_model(store.live_artifacts()).get("model")
    maker = store.producer(baseline.id) if baseline else None
    return kept | _used(execution for run in (maker.runs if maker else ()) for execution in store.run(run).executions.values())


def _used(executions: Iterable[Execution]) -> set[int]:
    """The artifacts that executions have read or made."""
    return {
        artifact.id
        for execution in executions
        for side in (execution.inputs, execution.outputs)
        for artifacts in side.values()
        for artifact in artifacts
    }


def _is_there(artifact: metadata_store_pb2.Artifact) -> bool:
    """Whether there is something to delete: files, also those whose deletion was cut off."""
    return artifact.state in (metadata_store_pb2.Artifact.LIVE, *_GONE) and Path(artifact.uri).exists()


def _named(maker: Execution | None) -> tuple[str, str]:
    return (maker.node, maker.runs[0] if maker.runs else "") if maker else ("", "")


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
