"""The folder that a model server watches, with a sub-folder for each version, named by its number."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from filelock import FileLock

from components.pusher.push_record import PushRecord
from pipeline.contracts import signature
from pipeline.contracts.serving_folder import versions
from pipeline.errors import StorageError
from pipeline.util import disk, files

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from ml_metadata.proto import metadata_store_pb2

# Names that are not numbers are no versions.
_LOCK = ".push.lock"
_UNFINISHED = ".unfinished-"
# The lock does not reach pushes from other machines onto a shared disk, which may be at work for as long.
_LEFT_SECONDS = 24 * 60 * 60


class Signer(NamedTuple):
    """By what a version is signed.

    Attributes:
      name: the name of the model, which is signed, too.
      key: the private key.
    """

    name: str
    key: EllipticCurvePrivateKey


def add_version(model: str, folder: Path, record: PushRecord | None = None, signer: Signer | None = None) -> int:
    """Copies a model into the serving folder as its next version, whole or not at all.

    The copy is made and brought to disk under a name that model servers ignore, then renamed. Unfinished copies that pushes of
    this machine have left, or others a day ago, are removed. Existing versions are never touched.

    Args:
      model: folder of the SavedModel, on any file system that TFX can read.
      folder: the serving folder, local or mounted; created when it does not exist.
      record: what the version is to know of its push, for a process that is killed before the push is recorded.
      signer: by what the version is signed, all of it; None to push it without a signature.

    Returns:
      The number of the new version: one more than the largest there is, 1 at first.

    Raises:
      StorageError: the serving folder cannot be written to, for example because the disk is full.
    """
    import tensorflow as tf  # TFX copies with its file system, whose errors are not OSErrors.

    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / _LOCK):
            for leftover in folder.glob(f"{_UNFINISHED}*"):
                if _is_left(leftover):
                    shutil.rmtree(leftover)
            return _add(model, folder, record, signer)
    except (OSError, tf.errors.OpError) as error:
        if disk.says_full(error):
            raise disk.full_disk("The push", folder, _reason(error)) from error
        raise StorageError(
            "The model could not be pushed. The versions that were there before are unchanged.",
            where=str(folder),
            expected="a folder that can be written to",
            seen=_reason(error),
            fix="Correct the folder's permissions, then run again. Nodes that are complete are not repeated.",
        ) from error


def push_is_in_place(pushed_model: metadata_store_pb2.Artifact) -> bool:
    """Whether the version that was pushed is still there.

    Args:
      pushed_model: the Pusher's output in the metadata store.

    Returns:
      False when the version has been deleted since, also where another has got its number; True also where nothing was pushed.
    """
    properties = dict(pushed_model.custom_properties)
    if "pushed" not in properties or not properties["pushed"].int_value:
        return True
    version = Path(properties["pushed_destination"].string_value)
    record = PushRecord.load(version)
    # The number of a version that was deleted is given again.
    return (version / "saved_model.pb").is_file() and (record is None or record.uri == pushed_model.uri)


def _add(model: str, folder: Path, record: PushRecord | None, signer: Signer | None) -> int:
    from tfx.utils import io_utils

    copy = Path(tempfile.mkdtemp(prefix=_of_this_machine(), dir=folder))
    try:
        io_utils.copy_dir(model, str(copy))
        if record is not None:
            record.save(copy)
        if signer is not None:
            signature.sign(copy, signer.name, signer.key)
        copy.chmod(0o755)  # mkdtemp's 0700 would keep out a model server that runs as another user.
        _sync(copy)
        version = _rename_to_next_version(copy, folder)
        files.sync(folder)
        return version
    finally:
        shutil.rmtree(copy, ignore_errors=True)


def _rename_to_next_version(copy: Path, folder: Path) -> int:
    version = max(versions(folder), default=0) + 1
    while True:
        try:
            copy.rename(folder / str(version))
            return version
        except OSError:
            # A push from another machine has got the number: take the one after it.
            if not (folder / str(version)).exists():
                raise
            version += 1


def _of_this_machine() -> str:
    """How the names of this machine's unfinished copies begin."""
    return f"{_UNFINISHED}{socket.gethostname()}@"


def _is_left(copy: Path) -> bool:
    """Whether no push is at work on an unfinished copy, while none of this machine is."""
    try:
        return copy.name.startswith(_of_this_machine()) or time.time() - copy.stat().st_mtime > _LEFT_SECONDS
    except FileNotFoundError:  # Another machine has completed it.
        return False


def _sync(folder: Path) -> None:
    for path, _, names in os.walk(folder):
        for name in names:
            files.sync(Path(path, name))
        files.sync(Path(path))


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or getattr(error, "message", None) or error)
