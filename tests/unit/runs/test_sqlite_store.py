"""ML Metadata in a SQLite file: what a full disk, a damaged file and missing rights are called."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ml_metadata import errors
from ml_metadata.proto import metadata_store_pb2 as mlmd

from pipeline.errors import ConveyorError, StorageError
from pipeline.runs import database, sqlite_store
from pipeline.runs.connections import open_metadata
from pipeline.runs.metadata import open_store
from pipeline.runs.sqlite_store import DamagedStoreError, as_storage_error
from pipeline.util import disk
from tests.fakes.small_disk import fill, small_disk
from tests.unit.local.history import History

BAD_ADVICE = "move it away"


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A metadata store with two runs."""
    history = History(tmp_path_factory.mktemp("history"))
    history.first()
    history.second()
    return Path(history.connection.sqlite.filename_uri)


def read_all(path: Path) -> None:
    with open_store(database.sqlite(path), "tables") as store:
        for run_id in store.run_starts():
            store.run(run_id).outcome()
        for pushed in store.pushed_versions().values():
            store.lineage(pushed)
            store.version_of(pushed)


def test_whatever_bit_flips_is_read_or_an_error_with_a_name(stored, tmp_path):
    path = tmp_path / "metadata.sqlite"
    content = stored.read_bytes()
    used = [start for start in range(0, len(content), 64) if any(content[start : start + 64])]

    @settings(max_examples=120, derandomize=True)
    @given(st.integers(0, len(used) - 1), st.integers(0, 511))
    def check(block: int, bit: int) -> None:
        flipped = bytearray(content)
        flipped[used[block] + bit // 8] ^= 1 << (bit % 8)
        path.write_bytes(flipped)
        if error := error_of(lambda: read_all(path)):
            assert isinstance(error, ConveyorError)

    check()


def error_of(step: Callable[[], None]) -> Exception | None:
    """What a step raises; None if it succeeds."""
    try:
        step()
    except Exception as error:
        return error
    return None


def change(path: Path, statement: str) -> None:
    with sqlite3.connect(path) as connection:
        connection.executescript(statement)
    connection.close()


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM Artifact WHERE id = 1",
        "UPDATE Event SET artifact_id = 77 WHERE id = 1",
        "UPDATE Execution SET create_time_since_epoch = 9000000000000000",
        "UPDATE Execution SET last_update_time_since_epoch = -5",
        "UPDATE Artifact SET type_id = 9999",
        "UPDATE Execution SET last_known_state = 77",
        "UPDATE EventPath SET is_index_step = 'a word'",
        "UPDATE EventPath SET is_index_step = 3",
        "UPDATE Event SET milliseconds_since_epoch = 0.5",
        "DROP TABLE EventPath",
        "UPDATE MLMDEnv SET schema_version = 99",
        "UPDATE MLMDEnv SET schema_version = 10000000000",
        "DELETE FROM MLMDEnv",
        "DELETE FROM ArtifactProperty WHERE artifact_id = 1; DELETE FROM Artifact WHERE id = 1",
    ],
)
def test_what_no_run_has_written_is_an_error_with_a_name(stored, tmp_path, statement):
    path = tmp_path / "metadata.sqlite"
    shutil.copy(stored, path)
    change(path, statement)
    with pytest.raises(DamagedStoreError) as caught:
        read_all(path)
    assert caught.value.where == str(path)
    assert "Restore the file from a copy" in caught.value.fix


def test_nodes_meet_the_same_errors(stored, tmp_path):
    path = tmp_path / "metadata.sqlite"
    path.write_bytes(stored.read_bytes()[:20_000])
    opened = open_metadata(database.sqlite(path))
    with pytest.raises(DamagedStoreError), opened as handle:
        handle.store.get_executions()


def test_an_error_of_a_call_is_kept_for_those_who_meet_only_its_text(stored, tmp_path):
    path = tmp_path / "metadata.sqlite"
    shutil.copy(stored, path)
    opened = open_metadata(database.sqlite(path))
    with opened as handle:
        change(path, "DROP TABLE Artifact")
        with pytest.raises(DamagedStoreError) as caught:
            handle.store.get_artifacts()
    assert opened.failure is caught.value


def test_a_store_that_another_program_keeps_is_not_damaged(stored):
    error = as_storage_error(stored, errors.InternalError("database is locked"))
    assert not isinstance(error, DamagedStoreError)
    assert "Another program" in error.what


@pytest.mark.parametrize("said", ["Cannot find the edge", ""])
def test_an_error_with_a_whole_store_is_not_damage(stored, said):
    error = as_storage_error(stored, errors.InternalError(said))
    assert not isinstance(error, DamagedStoreError)
    assert error.what == "The metadata store did not answer."
    assert "Run again" in error.fix


def test_an_error_with_a_damaged_store_is_damage(stored, tmp_path):
    path = tmp_path / "metadata.sqlite"
    path.write_bytes(stored.read_bytes()[:20_000])
    for error in (RuntimeError("CHECK failed"), errors.InternalError("no such table"), errors.UnknownError("?")):
        assert isinstance(as_storage_error(path, error), DamagedStoreError)
    assert isinstance(as_storage_error(tmp_path / "missing", RuntimeError("?")), DamagedStoreError)


def test_missing_rights_are_not_damage(stored, monkeypatch):
    monkeypatch.setattr(sqlite_store.os, "access", lambda *_: False)
    error = as_storage_error(stored, errors.InternalError("attempt to write a readonly database"))
    assert not isinstance(error, DamagedStoreError)
    assert "rights" in error.fix


@pytest.mark.parametrize("said", ["attempt to write a readonly database", "unable to open database file", "disk I/O error"])
def test_a_full_disk_is_named_whatever_sqlite_calls_it(stored, monkeypatch, said):
    monkeypatch.setattr(disk, "is_full", lambda folder: folder == stored.parent)
    error = as_storage_error(stored, errors.InternalError(said))
    assert "the disk is full" in error.what
    assert error.seen == said
    assert BAD_ADVICE not in str(error)


def write(path: Path, rows: int) -> None:
    """Writes artifacts, as nodes do, through the connection that they use."""
    with open_metadata(database.sqlite(path)) as handle:
        kind = handle.store.put_artifact_type(mlmd.ArtifactType(name="Examples"))
        for _ in range(rows):
            artifact = mlmd.Artifact(type_id=kind, uri="x" * 2000)
            artifact.custom_properties["what"].string_value = "y" * 2000
            handle.store.put_artifacts([artifact] * 5)


def test_a_disk_of_any_size_is_full_or_large_enough(tmp_path):
    """Each failure says that the disk is full, and when it no longer is, the store is whole."""
    size = 6 << 20

    @settings(max_examples=25)
    @given(st.integers(0, size // 2))
    def check(free: int) -> None:
        with small_disk(tmp_path / "disk", size) as folder:
            fill(folder, free)
            path = folder / "metadata.sqlite"
            if error := error_of(lambda: write(path, 40)):
                assert is_told(error), error
            (folder / "filler").unlink()
            write(path, 1)
            with open_store(database.sqlite(path), "tables") as store:
                store.run_starts()

    check()


def test_reading_on_a_full_disk_undoes_what_a_killed_process_left(stored, tmp_path):
    with small_disk(tmp_path / "disk", 2 << 20) as folder:
        path = folder / "metadata.sqlite"
        shutil.copy(stored, path)
        _leave_a_journal(path)
        fill(folder, 0)
        error = error_of(lambda: read_all(path))
        assert error is None or is_told(error)
        (folder / "filler").unlink()
        read_all(path)


def is_told(error: Exception) -> bool:
    """Whether a person who meets the error reads that the disk is full. The command line words an OSError."""
    return (isinstance(error, StorageError) and "the disk is full" in error.what) or disk.says_full(error)


def _leave_a_journal(path: Path) -> None:
    """Copies a store in the midst of a transaction over itself: as a process that is killed within it leaves it."""
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA cache_size = 1")
    connection.execute("BEGIN")
    connection.execute("UPDATE Artifact SET uri = uri || zeroblob(5000)")
    halfway = {each: each.read_bytes() for each in (path, Path(f"{path}-journal"))}
    connection.rollback()
    connection.close()
    for each, content in halfway.items():
        each.write_bytes(content)
