"""What the Job that prepares a cluster refuses; tests/integration/database runs it with real databases."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import StorageError
from pipeline.kubeflow.pod import prepare


@pytest.mark.parametrize(
    ("url", "seen"), [("", "the variable is not set"), ("sqlite:///conveyor/metadata.sqlite", "a SQLite file")]
)
def test_runs_need_a_database_that_every_pod_reaches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], url: str, seen: str
) -> None:
    monkeypatch.setenv("CONVEYOR_METADATA", url)
    assert prepare.main(["--workspace", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert "Configuration error" in error
    assert seen in error
    assert "Secret conveyor-metadata" in error


def test_a_volume_that_is_not_mounted(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="does not exist"):
        prepare.make_folders(tmp_path / "conveyor")


def test_a_file_in_the_way_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "models").touch()
    with pytest.raises(StorageError, match="cannot be written to"):
        prepare.make_folders(tmp_path)


def test_a_volume_that_is_another_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Root may write anywhere, so the system's answer is given for it.
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(StorageError, match="cannot be written to") as caught:
        prepare.make_folders(tmp_path)
    assert "belongs to user" in caught.value.seen
    assert "chown" in caught.value.fix
