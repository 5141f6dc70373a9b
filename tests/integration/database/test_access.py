"""What a person sees of a database that lets nobody in."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from pipeline.errors import StorageError
from pipeline.runs import database as databases
from tests.integration.conftest import CONFIG, CONVEYOR
from tests.integration.database.servers import PASSWORD, Server


def refused(url: str) -> StorageError:
    with pytest.raises(StorageError) as caught:
        databases.connect(databases.parse(url))
    return caught.value


def test_a_password_with_any_sign_opens_it_by_either_name_of_this_machine(url: str) -> None:
    for address in (url, url.replace("127.0.0.1", "localhost")):
        assert databases.connect(databases.parse(address)).get_contexts() == []


def test_a_wrong_password(server: Server, database: str) -> None:
    error = refused(server.url(database, password="guess-4711"))
    assert error.what == "The metadata database refuses the user or the password."
    assert error.where == f"{server.scheme}://127.0.0.1:{server.port}/{database}"
    assert "Secret conveyor-metadata" in error.fix
    assert "4711" not in str(error)


def test_no_such_database(server: Server, database: str) -> None:
    error = refused(server.url("elsewhere"))
    assert error.what == "The metadata database does not exist, or the user may not use it."
    assert "elsewhere" in error.seen


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nowhere.invalid:3306"], ids=["closed port", "unknown host"])
def test_no_server(server: Server, url: str, address: str) -> None:
    error = refused(url.replace(f"127.0.0.1:{server.port}", address))
    assert isinstance(error, databases.DatabaseDownError)
    assert address in error.where
    assert "kubectl -n kubeflow get deployment conveyor-metadata" in error.fix


def test_tables_of_a_later_release(server: Server, database: str, url: str) -> None:
    databases.connect(databases.parse(url))
    server.execute("UPDATE MLMDEnv SET schema_version = 99", database)
    error = refused(url)
    assert error.what == "The tables in the metadata database are not what ML Metadata expects."
    assert "version 99 is greater than library version" in error.seen


def test_commands_print_the_error_alone_and_never_the_password(server: Server, url: str, tmp_path: Path) -> None:
    address = url.replace(str(server.port), "1")
    done = subprocess.run(
        [CONVEYOR, "runs", "--config", CONFIG],
        cwd=tmp_path,
        env={**os.environ, "CONVEYOR_METADATA": address},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("Storage error: The metadata database cannot be reached.")
    assert PASSWORD not in done.stderr
    assert address not in done.stderr
    assert list(tmp_path.iterdir()) == []
