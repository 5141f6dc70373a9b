"""Prepares a cluster for its first run: folders of the workspace on the volume, and ML Metadata's tables in the database.

What exists already is left as it is.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.config import Kubeflow
from pipeline.errors import ConfigError, ConveyorError, StorageError
from pipeline.runs import database

if TYPE_CHECKING:
    from ml_metadata.proto import metadata_store_pb2

_FOLDERS = ("data", "artifacts", "runs", "models")
_SECONDS_BETWEEN_TRIES = 5.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Prepares the workspace and the database for runs.

    Args:
      arguments: the command line; the process's own when not given.

    Returns:
      The exit code: 0 when everything exists.
    """
    parser = argparse.ArgumentParser(prog="python -m pipeline.kubeflow.pod.prepare", description=__doc__)
    mount_path = Kubeflow().mount_path
    parser.add_argument(
        "--workspace",
        type=Path,
        default=Path(mount_path),
        help=f"the volume's folder; {mount_path} when not given",
    )
    parser.add_argument(
        "--patience", type=float, default=300, metavar="SECONDS", help="how long to wait for a database that is starting"
    )
    options = parser.parse_args(arguments)
    try:
        make_folders(options.workspace)
        make_tables(options.patience)
    except ConveyorError as error:
        print(f"\n{error.headline}: {error}", file=sys.stderr, flush=True)
        return error.exit_code
    return 0


def make_folders(workspace: Path) -> None:
    """Creates the folders for data, artifacts, runs and models.

    Raises:
      StorageError: the volume is not mounted there, or this user cannot write to it.
    """
    if not workspace.is_dir():
        raise StorageError(
            "The workspace does not exist.",
            where=str(workspace),
            expected="the folder that the volume is mounted at",
            fix="Mount the volume, or name the folder with --workspace.",
        )
    for folder in (workspace / name for name in _FOLDERS):
        there = folder.is_dir()
        try:
            folder.mkdir(exist_ok=True)
        except OSError as error:
            raise _not_writable(folder.parent, os.strerror(error.errno or 0)) from error
        if not os.access(folder, os.W_OK | os.X_OK):
            raise _not_writable(folder, f"it belongs to user {folder.stat().st_uid}")
        print(f"{folder}: {'there already' if there else 'made'}", flush=True)


def make_tables(patience: float) -> None:
    """Creates ML Metadata's tables in the database that CONVEYOR_METADATA names.

    Args:
      patience: seconds to wait for a database that does not answer yet.

    Raises:
      ConfigError: CONVEYOR_METADATA does not name a database on a server.
      StorageError: the database does not answer in time, refuses this user, or has other tables.
    """
    connection = database.from_environment()
    if connection is None or connection.HasField("sqlite"):
        raise ConfigError(
            "The runs share no metadata database.",
            where=database.ENVIRONMENT_VARIABLE,
            expected="the URL of a database on a server: SQLite serves the processes of one machine",
            seen="a SQLite file" if connection else "the variable is not set",
            fix="Take it from the Secret conveyor-metadata, key url.",
        )
    where = database.address(connection)
    _wait_for(connection, where, patience)
    database.connect(connection)
    print(f"{where}: has ML Metadata's tables", flush=True)


def _wait_for(connection: metadata_store_pb2.ConnectionConfig, where: str, patience: float) -> None:
    started = time.monotonic()
    while refused := database.refusal(connection):
        waited = time.monotonic() - started
        if not isinstance(refused, database.DatabaseDownError) or waited >= patience:
            raise refused
        print(f"{where}: no answer for {waited:.0f} s of {patience:.0f} s: {refused.seen}", flush=True)
        time.sleep(min(_SECONDS_BETWEEN_TRIES, patience - waited))


def _not_writable(folder: Path, seen: str) -> StorageError:
    return StorageError(
        "The workspace cannot be written to.",
        where=str(folder),
        expected=f"a folder in which user {os.getuid()} may create files",
        seen=seen,
        fix=f"As root: chown -R {os.getuid()} {folder}",
    )


if __name__ == "__main__":
    sys.exit(main())
