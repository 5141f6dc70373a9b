"""The Job that makes volume and database ready."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from pipeline.kubeflow.pod import prepare
from pipeline.runs import database as databases
from tests.integration.database.servers import Server


@pytest.fixture(autouse=True)
def address(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVEYOR_METADATA", url)


def test_it_makes_folders_and_tables_and_then_finds_them(
    server: Server, database: str, url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "data").mkdir()
    assert prepare.main(["--workspace", str(tmp_path)]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"data", "artifacts", "runs", "models"}
    assert server.execute("SELECT count(*) FROM MLMDEnv", database)[0][0] == 1
    assert capsys.readouterr().out.splitlines() == [
        f"{tmp_path}/data: there already",
        f"{tmp_path}/artifacts: made",
        f"{tmp_path}/runs: made",
        f"{tmp_path}/models: made",
        f"{databases.address(databases.parse(url))}: has ML Metadata's tables",
    ]
    assert prepare.main(["--workspace", str(tmp_path)]) == 0
    assert "made" not in capsys.readouterr().out


def test_it_waits_for_a_database_that_is_starting(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(prepare, "_SECONDS_BETWEEN_TRIES", 0.2)
    server.stop()
    start = threading.Timer(1, server.start)
    start.start()
    try:
        assert prepare.main(["--workspace", str(tmp_path), "--patience", "60"]) == 0
    finally:
        start.join()
    assert "no answer for 0 s of 60 s" in capsys.readouterr().out


def test_its_patience_ends(server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    server.stop()
    try:
        assert prepare.main(["--workspace", str(tmp_path), "--patience", "0.5"]) == 1
    finally:
        server.start()
    assert "Storage error: The metadata database cannot be reached." in capsys.readouterr().err


def test_it_does_not_wait_for_a_password_to_become_right(
    server: Server, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CONVEYOR_METADATA", server.url(database, password="wrong"))
    assert prepare.main(["--workspace", str(tmp_path)]) == 1
    assert "refuses the user or the password" in capsys.readouterr().err
