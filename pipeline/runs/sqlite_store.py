"""ML Metadata in a SQLite file, with errors that say what is wrong: the disk is full, or the file is damaged."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from google.protobuf.message import DecodeError
from ml_metadata import MetadataStore, errors

from pipeline.errors import StorageError
from pipeline.util import disk

if TYPE_CHECKING:
    from ml_metadata.proto import metadata_store_pb2

# What the binding raises where the file is not what it should be, or cannot be written: RuntimeError while it connects, and
# UnicodeDecodeError and DecodeError for values that are no text or no message any more.
_FAULTS = (RuntimeError, UnicodeDecodeError, DecodeError, errors.InternalError, errors.DataLossError, errors.UnknownError)
# Those of them that ML Metadata raises for other reasons too.
_UNCERTAIN = (errors.InternalError, errors.UnknownError)
# SQLite's words where it may not write.
_REFUSED = ("readonly", "unable to open")


# What values of the declared types of ML Metadata's tables are, of a column by its name.
_WHOLE = "typeof(`{0}`) = 'integer'"
_KINDS = {
    "INT": _WHOLE,
    "INTEGER": _WHOLE,
    "TINYINT(1)": "`{0}` IN (0, 1) OR '{0}' = 'type_kind' AND `{0}` = 2",
    "BOOLEAN": "`{0}` IN (0, 1)",
    "DOUBLE": "typeof(`{0}`) IN ('real', 'integer')",
}

# ML Metadata is at 10 after six years.
_MOST_VERSIONS = 1000
# Columns with the ids of rows in other tables.
_REFERENCES = {
    "Artifact": {"type_id": "Type"},
    "ArtifactProperty": {"artifact_id": "Artifact"},
    "Association": {"context_id": "Context", "execution_id": "Execution"},
    "Attribution": {"context_id": "Context", "artifact_id": "Artifact"},
    "Context": {"type_id": "Type"},
    "ContextProperty": {"context_id": "Context"},
    "Event": {"artifact_id": "Artifact", "execution_id": "Execution"},
    "EventPath": {"event_id": "Event"},
    "Execution": {"type_id": "Type"},
    "ExecutionProperty": {"execution_id": "Execution"},
    "ParentContext": {"context_id": "Context", "parent_context_id": "Context"},
    "TypeProperty": {"type_id": "Type"},
}


class DamagedStoreError(StorageError):
    """The file of the metadata store is not one, or holds what a store cannot hold."""


class SqliteStore(MetadataStore):
    """ML Metadata's client for a SQLite file.

    Args:
      connection: the settings; their file's folder exists.

    Raises:
      DamagedStoreError: the file is not a metadata store, or a part of it is damaged; so do the calls.
      StorageError: the disk is full, or the file cannot be read or written; so do the calls.
    """

    def __init__(self, connection: metadata_store_pb2.ConnectionConfig) -> None:
        self._path = Path(connection.sqlite.filename_uri)
        self.failure: StorageError | None = None
        """The first error of a call."""
        try:
            super().__init__(connection)
        except _FAULTS as error:
            raise as_storage_error(self._path, error) from error

    def _call_method(self, method_name: str, request: Any, response: Any) -> None:
        try:
            super()._call_method(method_name, request, response)
        except _FAULTS as error:
            problem = as_storage_error(self._path, error)
            self.failure = self.failure or problem
            raise problem from error


def as_storage_error(path: Path, error: Exception) -> StorageError:
    """The error that a user sees for one that met the file of a metadata store.

    SQLite calls a database read-only, or its journal impossible to open, where the disk is full: what it says is not enough.

    Args:
      path: the file.
      error: what ML Metadata or SQLite raised.
    """
    seen = str(error).strip().splitlines()[0][:500] if str(error).strip() else type(error).__name__
    if disk.says_full(error) or disk.is_full(path.parent):
        return disk.full_disk("The metadata store", path, seen)
    if "locked" in seen:
        return StorageError(
            "Another program keeps the metadata store to itself.",
            where=str(path),
            seen=seen,
            fix="End what has the file open, such as a browser for SQLite, then run again: complete nodes are not repeated.",
        )
    if any(words in seen for words in _REFUSED) and not os.access(path if path.exists() else path.parent, os.R_OK | os.W_OK):
        return StorageError(
            "The metadata store cannot be read or written.",
            where=str(path),
            expected="a file and a folder that this user may write to",
            seen=seen,
            fix="Correct the rights of the file and of its folder, then run again.",
        )
    if isinstance(error, _UNCERTAIN) and not _flaw(path):
        return StorageError(
            "The metadata store did not answer.",
            where=str(path),
            expected="an answer of the ML Metadata database, which is whole as far as SQLite can tell",
            seen=seen,
            fix="Run again: complete nodes are not repeated. If it fails again, restore the file from a copy, or move it away: "
            "the next run starts a new one, beside the artifacts.",
        )
    return damaged(path, seen)


def damaged(path: Path | str, seen: str) -> DamagedStoreError:
    """The error about a metadata store that holds what a store cannot hold."""
    return DamagedStoreError(
        "The metadata store is damaged.",
        where=str(path),
        expected="an ML Metadata database",
        seen=seen,
        fix="Restore the file from a copy, or move it away: the next run starts a new one, beside the artifacts.",
    )


def require_whole(path: Path) -> None:
    """Makes sure that a file that is there is a whole database, and that no killed process has left a transaction in it.

    ML Metadata ends the process where it meets a part of what is damaged, and does not undo transactions where it only reads
    (https://www.sqlite.org/lockingv3.html#hot_journals). It takes a hundredth of a second for a megabyte.

    Args:
      path: the file. Where it is missing or empty, there is nothing to make sure of.

    Raises:
      DamagedStoreError: it is damaged.
      StorageError: it cannot be read, or the transaction not be undone.
    """
    if not path.is_file() or path.stat().st_size == 0:
        return
    try:
        found = _found(path)
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise as_storage_error(path, error) from error
    if found:
        raise damaged(path, found)


def _flaw(path: Path) -> str:
    """What is wrong with a database, whatever tells it; empty if nothing is, or another program keeps it to itself."""
    try:
        return _found(path) if path.is_file() else "no such file"
    except (sqlite3.Error, UnicodeDecodeError) as error:
        return "" if "locked" in str(error) else str(error)


def _found(path: Path) -> str:
    """What is wrong with a database that can be read; empty if nothing is."""
    with closing(sqlite3.connect(path)) as database:
        # A damaged name within a message is no text any more.
        database.text_factory = lambda text: text.decode(errors="replace")
        (found,) = database.execute("PRAGMA integrity_check(1)").fetchone()
        return str(found) if found != "ok" else _misfit(database) or _orphan(database) or _unversioned(database)


def _misfit(database: sqlite3.Connection) -> str:
    """The table and columns in which a value is not of the declared type, as SQLite allows; empty if there is none."""
    for (table,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
        columns = database.execute(f"PRAGMA table_info('{table}')").fetchall()
        rules = {name: _KINDS[kind].format(name) for _, name, kind, *_ in columns if kind in _KINDS}
        fits = " AND ".join(f"(`{name}` IS NULL OR {rule})" for name, rule in rules.items())
        if rules and database.execute(f"SELECT 1 FROM `{table}` WHERE NOT ({fits}) LIMIT 1").fetchone():
            return f"a value of another type than declared, among {', '.join(rules)} of {table}"
    return ""


def _orphan(database: sqlite3.Connection) -> str:
    """The table in which an id is that of no row; empty if there is none."""
    for table, references in _REFERENCES.items():
        for column, target in references.items():
            if database.execute(f"SELECT 1 FROM {table} WHERE {column} NOT IN (SELECT id FROM {target}) LIMIT 1").fetchone():
                return f"an id in {table} that {target} does not have"
    return ""


def _unversioned(database: sqlite3.Connection) -> str:
    """What is wrong with the version of the tables; empty if it is a number that ML Metadata can read."""
    versions = [version for (version,) in database.execute("SELECT schema_version FROM MLMDEnv")]
    return "" if len(versions) == 1 and 0 < versions[0] < _MOST_VERSIONS else f"versions of the tables: {versions}"
