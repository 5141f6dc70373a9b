"""Which database the environment names."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipeline.config import PipelineConfig
from pipeline.errors import ConfigError
from pipeline.runs import database


@pytest.fixture
def config(tmp_path: Path) -> PipelineConfig:
    return PipelineConfig(name="tiny", label="y", workspace=str(tmp_path / "not there yet"), data={"input": "x"})


def test_without_the_variable_it_is_sqlite_in_the_workspace(
    config: PipelineConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CONVEYOR_METADATA", raising=False)
    connection = database.connection(config)
    assert connection.sqlite.filename_uri == database.address(connection) == str(config.metadata_path)
    assert list(tmp_path.iterdir()) == []


def test_the_variable_comes_before_the_workspace(config: PipelineConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    # A Secret that is made from a file often ends with a line break.
    monkeypatch.setenv("CONVEYOR_METADATA", "mysql://conveyor:secret@conveyor-metadata:3307/conveyor\n")
    mysql = database.connection(config).mysql
    assert (mysql.host, mysql.port, mysql.database) == ("conveyor-metadata", 3307, "conveyor")
    assert (mysql.user, mysql.password) == ("conveyor", "secret")


def test_ports_have_defaults() -> None:
    assert database.parse("mysql://u:p@host/db").mysql.port == 3306
    assert database.parse("postgresql://u:p@host/db").postgresql.port == "5432"


def test_signs_with_a_meaning_are_decoded() -> None:
    mysql = database.parse("mysql://a%40b:p%2F%3A%25@host/db").mysql
    assert (mysql.user, mysql.password) == ("a@b", "p/:%")
    assert database.parse("postgresql://u:it%27s%20a%5C@host/db").postgresql.password == "it's a\\"


def test_a_file_is_named_by_its_path(tmp_path: Path) -> None:
    assert database.parse(f"sqlite://{tmp_path}/a%20b.sqlite").sqlite.filename_uri == f"{tmp_path}/a b.sqlite"


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("mysql://u:hush@host/db", "mysql://host:3306/db"),
        ("postgresql://u:hush@host:1/db", "postgresql://host:1/db"),
        ("sqlite:///a/b", "/a/b"),
    ],
)
def test_an_address_holds_no_password(url: str, address: str) -> None:
    assert database.address(database.parse(url)) == address


@pytest.mark.parametrize(
    ("url", "seen"),
    [
        ("hush", "no scheme"),
        ("oracle://u:hush@host/db", "the scheme 'oracle'"),
        ("mysql://u:hush/more@host/db", "a port"),
        ("mysql://u:hush@host:port/db", "a port"),
        ("mysql://u:hush@host:99999/db", "a port"),
        ("mysql://u:12#hush@host/db", "after ? or #"),
        ("mysql://u:12?hush@host/db", "after ? or #"),
        ("mysql://u:12/hush@host/db", "no user"),
        ("mysql://u:hush@[::1/db", "a host"),
        ("mysql://:hush@host/db", "no user"),
        ("postgresql://u:hush@/db", "no host"),
        ("postgresql://u:hush@host", "no database"),
        ("postgresql://u:hush@host/a/b", "other than letters"),
        ("mysql://u:hush@host/a%3Bb", "other than letters"),
        ("sqlite://hush", "no absolute path"),
        ("sqlite:///", "no absolute path"),
    ],
)
def test_what_is_no_database_is_refused_without_showing_the_password(
    config: PipelineConfig, monkeypatch: pytest.MonkeyPatch, url: str, seen: str
) -> None:
    monkeypatch.setenv("CONVEYOR_METADATA", url)
    with pytest.raises(ConfigError) as caught:
        database.connection(config)
    assert caught.value.where == "CONVEYOR_METADATA"
    assert seen in caught.value.seen
    assert "hush" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@contextmanager
def answering(greeting: bytes) -> Iterator[int]:
    """A port that takes connections and says something that no database says, or nothing."""
    taken = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                connection.sendall(greeting)
                taken.append(connection)

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join()
    for connection in taken:
        connection.close()


@pytest.mark.parametrize("scheme", ["mysql", "postgresql"])
@pytest.mark.parametrize(
    "greeting", [b"", b"SSH-2.0-OpenSSH_9.6\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\0" * 64, b"N" * 64]
)
def test_what_answers_and_is_no_database_is_told_in_time(scheme: str, greeting: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "_SECONDS_TO_CONNECT", 0.3)
    with answering(greeting) as port:
        refused = database.refusal(database.parse(f"{scheme}://conveyor:hush@127.0.0.1:{port}/metadata"))
    assert isinstance(refused, database.DatabaseDownError)
    assert refused.seen
    assert "hush" not in str(refused)
