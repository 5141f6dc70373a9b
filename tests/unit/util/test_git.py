"""What git says about a folder."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from pipeline.util import git


def test_what_is_asked_changes_nothing_and_locks_nothing(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("a")
    for command in (["init", "--quiet"], ["add", "."]):
        subprocess.run(["git", "-C", str(tmp_path), *command], check=True)
    index = tmp_path / ".git" / "index"
    before = index.read_bytes()
    # The index is out of date: git would write it anew.
    os.utime(file, (1, 1))
    assert git.ask(tmp_path, "status", "--porcelain") == "A  a.txt"
    assert index.read_bytes() == before


def test_a_folder_that_git_does_not_know_has_no_answer(tmp_path: Path) -> None:
    assert git.ask(tmp_path, "rev-parse", "HEAD") is None
    assert git.ask(tmp_path / "missing", "rev-parse", "HEAD") is None
