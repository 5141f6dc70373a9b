"""The shell scripts in manifests, run for real on a folder."""

from __future__ import annotations

import gzip
import os
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.unit.manifests.conftest import MANIFESTS


def script(path: str, *way: str | int) -> tuple[list[str], dict[str, str]]:
    """The command line of a container, and the variables that are set to a value."""
    container = yaml.safe_load((MANIFESTS / path).read_text())
    for part in way:
        container = container[part]
    return [*container["command"], *container["args"]], {
        variable["name"]: variable["value"] for variable in container["env"] if "value" in variable
    }


class TestPrepare:
    COMMAND, VARIABLES = script("conveyor/base/prepare.yaml", "spec", "template", "spec", "initContainers", 0)

    def run(self, volume: Path, owner: int | None = None) -> subprocess.CompletedProcess[str]:
        own = {"VOLUME": str(volume), "OWNER": str(os.getuid() if owner is None else owner)}
        assert own.keys() == self.VARIABLES.keys()
        return subprocess.run(self.COMMAND, env={**os.environ, **own}, capture_output=True, text=True, timeout=30, check=False)

    def test_makes_the_folders_of_an_empty_volume(self, tmp_path: Path) -> None:
        tmp_path.chmod(0o755)
        assert self.run(tmp_path).returncode == 0
        assert {path.name for path in tmp_path.iterdir()} == {"artifacts", "backups", "data", "models", "predictions", "runs"}
        assert tmp_path.stat().st_mode & 0o7777 == 0o1777
        assert (tmp_path / "data").stat().st_mode & 0o7777 == 0o1777

    def test_leaves_what_is_there_alone(self, tmp_path: Path) -> None:
        self.run(tmp_path)
        model = tmp_path / "models/flights/1/saved_model.pb"
        model.parent.mkdir(parents=True)
        model.write_bytes(b"model")
        tmp_path.chmod(0o777)
        assert self.run(tmp_path).returncode == 0
        assert model.read_bytes() == b"model"
        assert tmp_path.stat().st_mode & 0o7777 == 0o777

    @pytest.mark.skipif(os.getuid() != 0, reason="only root may give files away: run the tests as root to check it")
    def test_gives_what_pods_make_to_their_user(self, tmp_path: Path) -> None:
        (tmp_path / "models/flights").mkdir(parents=True)
        (tmp_path / "data").mkdir()
        assert self.run(tmp_path, owner=1000).returncode == 0
        assert (tmp_path / "models/flights").stat().st_uid == 1000
        assert (tmp_path / "backups").stat().st_gid == 1000
        assert (tmp_path / "data").stat().st_uid == 0

    def test_says_what_failed(self, tmp_path: Path) -> None:
        (tmp_path / "models").write_text("not a folder")
        done = self.run(tmp_path)
        assert done.returncode != 0
        assert str(tmp_path / "models") in done.stderr


class TestBackup:
    COMMAND, VARIABLES = script(
        "conveyor/database/backup.yaml", "spec", "jobTemplate", "spec", "template", "spec", "containers", 0
    )

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        return tmp_path / "backups"

    def run(self, folder: Path, mysqldump: str) -> subprocess.CompletedProcess[str]:
        """Runs the script with a program in the place of mysqldump, which needs a server."""
        assert self.VARIABLES.keys() == {"FOLDER"}
        programs = folder.parent / "bin"
        programs.mkdir(exist_ok=True)
        (programs / "mysqldump").write_text(f"#!/bin/sh\n{mysqldump}\n")
        (programs / "mysqldump").chmod(0o755)
        environment = {**os.environ, "FOLDER": str(folder), "PATH": f"{programs}:{os.environ['PATH']}"}
        return subprocess.run(self.COMMAND, env=environment, capture_output=True, text=True, timeout=30, check=False)

    def test_copies_the_database(self, folder: Path) -> None:
        done = self.run(folder, 'echo "dump $*"')
        assert done.returncode == 0, done.stderr
        (copy,) = folder.iterdir()
        assert done.stdout.startswith(str(copy))
        dump = gzip.decompress(copy.read_bytes()).decode()
        assert "--host=conveyor-metadata --user=conveyor --single-transaction" in dump

    def test_keeps_the_last_seven(self, folder: Path) -> None:
        folder.mkdir()
        (folder / "notes.txt").write_text("mine")
        days = [f"metadata-202601{day:02}T031700Z.sql.gz" for day in range(1, 10)]
        for name in days:
            (folder / name).write_bytes(b"")
        assert self.run(folder, "echo dump").returncode == 0
        kept = sorted(path.name for path in folder.iterdir())
        assert kept[:6] == days[3:]
        assert len(kept) == 8
        assert "notes.txt" in kept

    def test_a_failed_copy_is_a_failure_and_leaves_nothing(self, folder: Path) -> None:
        folder.mkdir()
        old = folder / "metadata-20260101T031700Z.sql.gz"
        old.write_bytes(b"")
        done = self.run(folder, 'echo half; echo "Access denied" >&2; exit 2')
        assert done.returncode != 0
        assert "Access denied" in done.stderr
        assert list(folder.iterdir()) == [old]
