"""Stderr that goes to a file."""

import os
import subprocess
from pathlib import Path

import pytest

from pipeline.util.stderr import stderr_to


def test_native_code_and_started_processes_write_to_the_file(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with (tmp_path / "log").open("ab") as file, stderr_to(file):
        os.write(2, b"native\n")
        subprocess.run("echo started >&2", shell=True, check=True)
    assert (tmp_path / "log").read_text() == "native\nstarted\n"
    assert capfd.readouterr().err == ""


def test_stderr_is_itself_again_after_an_error(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="broken"), (tmp_path / "log").open("ab") as file, stderr_to(file):
        raise ValueError("broken")
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "after\n"
