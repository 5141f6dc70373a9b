"""Which data and models of old runs may be deleted, and deleting them.

Reports, logs, metrics, statistics and schemas stay: they are small, and what later runs are compared with.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock
from ml_metadata.proto import metadata_store_pb2

from pipeline.config import PipelineConfig
from pipeline.contracts.serving_folder import versions
from pipeline.errors import StorageError, UsageError
from pipeline.runs.metadata import Execution, Store
from pipeline.runs.resolvers import latest_blessed_model
from pipeline.runs.sqlite_store import SqliteStore

LARGE = frozenset({"Examples", "InferenceResult", "Model", "PushedModel", "TransformGraph"})
"""Types of artifacts that grow with the data and the model. Without them a run cannot be continued, its report can be read."""

CHECKPOINTS = ".system/checkpoints"
"""Below a node's folder: where interrupted trainings stand (`pipeline/training/checkpoints.py`)."""

_GONE = (metadata_store_pb2.Artifact.MARKED_FOR_DELETION, metadata_store_pb2.Artifact.DELETED)


@dataclass(frozen=True)
class Prunable:
    """A folder that nothing needs any more.

    Attributes:
      kind: the type of the artifact in it, or `Checkpoint`.
      folder: where it is.
      node: the node that made it.
      run: the run that it did so in; empty where that is not known, as of a checkpoint.
      size: bytes on the disk; a file that others share by a hard link counts in full.
      artifact: as the metadata store has it; None for what the store does not know, as a checkpoint.
    """

    kind: str
    folder: Path
    node: str
    run: str
    size: int
    artifact: metadata_store_pb2.Artifact | None = None


def prunable(config: PipelineConfig, store: Store, keep: int) -> list[Prunable]:
    """The large folders that nothing needs any more: of runs, of runs that scored tables, and of interrupted trainings.

    What stays: all that the newest runs of each kind have read and made; all that a version in the serving folder was made
    from; the run that trained the baseline of the next; and where trainings stand that were interrupted since the oldest run
    that stays.

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
    newest, scores = _newest(store, keep), store.of(config.scoring_name)
    kept = _used_in(store, newest) | _versions(config, store) | _baseline(store)
    kept_scores = _used_in(scores, _newest(scores, keep))
    since = min((store.run_starts()[run] for run in newest), default=0.0)
    return [
        *_large(store, config.artifacts_path, kept),
        *_large(scores, config.artifacts_path.with_name(config.scoring_name), kept_scores),
        *_checkpoints(config.artifacts_path, since),
    ]


def delete(connection: metadata_store_pb2.ConnectionConfig, doomed: Sequence[Prunable]) -> None:
    """Deletes folders. The metadata store knows first: what is cut off in between is deleted by the next call.

    Args:
      connection: the connection to the metadata store, which is a file.
      doomed: the folders.

    Raises:
      StorageError: a folder cannot be deleted.
    """
    artifacts = [each.artifact for each in doomed if each.artifact is not None]
    for artifact in artifacts:
        artifact.state = metadata_store_pb2.Artifact.DELETED
    path = Path(connection.sqlite.filename_uri)
    with FileLock(f"{path}.lock"):
        SqliteStore(connection).put_artifacts(artifacts)
    for each in doomed:
        try:
            shutil.rmtree(each.folder)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise StorageError(
                "What a run has made cannot be deleted.",
                where=str(error.filename or each.folder),
                expected="a folder that this user may change",
                seen=error.strerror or str(error),
                fix="Correct its rights, then try again: conveyor prune",
            ) from error


def _newest(store: Store, keep: int) -> list[str]:
    starts = store.run_starts()
    return sorted(starts, key=lambda run: (starts[run], run), reverse=True)[:keep]


def _versions(config: PipelineConfig, store: Store) -> set[int]:
    """What the versions in the serving folder were made from."""
    present = set(map(str, versions(config.serving_path)))
    kept: set[int] = set()
    for version, pushed in store.pushed_versions().items():
        if version in present:
            kept |= {pushed.id} | _used(store.lineage(pushed).executions)
    return kept


def _baseline(store: Store) -> set[int]:
    """What the run that trained the baseline of the next has used."""
    baseline = latest_blessed_model(store.live_artifacts()).get("model")
    maker = store.producer(baseline.id) if baseline else None
    return _used_in(store, maker.runs if maker else ())


def _used_in(store: Store, runs: Iterable[str]) -> set[int]:
    return _used(execution for run in runs for execution in store.run(run).executions.values())


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


def _large(store: Store, folder: Path, kept: Collection[int]) -> list[Prunable]:
    """The large artifacts below a folder that are not kept, oldest first."""
    found = [
        each
        for each in store.artifacts()
        if each.type in LARGE and each.id not in kept and _is_there(each) and folder in Path(each.uri).parents
    ]
    makers = {each.id: store.producer(each.id) for each in found}
    return [
        Prunable(each.type, Path(each.uri), *_named(makers[each.id]), _size(Path(each.uri)), artifact=each) for each in found
    ]


def _checkpoints(folder: Path, since: float) -> list[Prunable]:
    """Where trainings stand that were interrupted before a moment, in seconds since 1970."""
    found = sorted(path for path in folder.glob(f"*/{CHECKPOINTS}/*") if path.is_dir())
    return [
        Prunable("Checkpoint", path, path.relative_to(folder).parts[0], "", _size(path))
        for path in found
        if max(each.stat().st_mtime for each in (path, *path.iterdir())) < since
    ]


def _named(maker: Execution | None) -> tuple[str, str]:
    return (maker.node, maker.runs[0] if maker.runs else "") if maker else ("", "")


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
