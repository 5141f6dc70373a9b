"""The folder that a model server watches: one sub-folder a version, named by a number."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from pipeline.errors import StorageError

if TYPE_CHECKING:
    from ml_metadata.proto import metadata_store_pb2

# TensorFlow Serving looks only at names that are numbers.
_LOCK = ".push.lock"
_PARTIAL = ".partial-"


def versions(folder: Path) -> list[int]:
    """The versions in a serving folder, in ascending order; none if there is no such folder."""
    if not folder.is_dir():
        return []
    return sorted(int(entry.name) for entry in folder.iterdir() if entry.name.isascii() and entry.name.isdecimal())


def add_version(model: str, folder: Path) -> int:
    """Copies a model into the serving folder as its next version, whole or not at all.

    The copy is made and brought to disk under a name that model servers ignore, then renamed. What an earlier, killed
    push left behind is removed. Existing versions are never touched.

    Args:
      model: folder of the SavedModel, on any file system that TFX can read.
      folder: the serving folder, local or mounted; created when it does not exist.

    Returns:
      The number of the new version: one more than the largest there is, 1 at first.

    Raises:
      StorageError: the serving folder cannot be written to, for example because the disk is full.
    """
    import tensorflow as tf  # TFX copies with its file system, whose errors are not OSErrors.

    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / _LOCK):
            for leftover in folder.glob(f"{_PARTIAL}*"):
                shutil.rmtree(leftover)
            return _add(model, folder)
    except (OSError, tf.errors.OpError) as error:
        raise StorageError(
            "The model could not be pushed; the versions already there are untouched.",
            where=str(folder),
            expected="a folder that can be written to, with room for the model",
            seen=_reason(error),
            fix="free space or mend the rights of the folder, then repeat the run: finished nodes are not repeated",
        ) from error


def push_is_in_place(pushed_model: metadata_store_pb2.Artifact) -> bool:
    """Whether what a push left behind is still there: False when its version has been deleted since.

    Args:
      pushed_model: the Pusher's output as the metadata store holds it. One that was not pushed has nothing to be in place.
    """
    properties = dict(pushed_model.custom_properties)
    if "pushed" not in properties or not properties["pushed"].int_value:
        return True
    return (Path(properties["pushed_destination"].string_value) / "saved_model.pb").is_file()


def _add(model: str, folder: Path) -> int:
    from tfx.utils import io_utils

    partial = Path(tempfile.mkdtemp(prefix=_PARTIAL, dir=folder))
    try:
        io_utils.copy_dir(model, str(partial))
        partial.chmod(0o755)  # mkdtemp's 0700 would keep out a model server that runs as another user.
        _sync(partial)
        version = _rename_to_next_version(partial, folder)
        _sync_folder(folder)
        return version
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _rename_to_next_version(partial: Path, folder: Path) -> int:
    version = max(versions(folder), default=0) + 1
    while True:
        try:
            partial.rename(folder / str(version))
            return version
        except OSError:
            # The lock does not reach a push from another machine onto a shared disk: take the number after its.
            if not (folder / str(version)).exists():
                raise
            version += 1


def _sync(folder: Path) -> None:
    for path, _, files in os.walk(folder):
        for name in files:
            with open(os.path.join(path, name), "rb") as file:
                os.fsync(file.fileno())
        _sync_folder(Path(path))


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or getattr(error, "message", None) or error)
