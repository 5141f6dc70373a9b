from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from pipeline.util import files


def test_content_is_there_with_its_folder_and_readable_by_others(tmp_path: Path) -> None:
    path = tmp_path / "new" / "state.json"
    files.write(path, "žluťoučký\n")
    assert path.read_text(encoding="utf-8") == "žluťoučký\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_a_failure_leaves_the_old_content_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    files.write(path, "old")
    with pytest.raises(ZeroDivisionError), files.replacing(path) as partial:
        partial.write_text(f"ne{1 // 0}")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["state.json"]


def test_content_is_on_the_disk_before_the_name_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    real_sync, real_replace = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda descriptor: (calls.append("fsync"), real_sync(descriptor)))
    monkeypatch.setattr(Path, "replace", lambda self, target: (calls.append("replace"), real_replace(self, target))[1])
    files.write(tmp_path / "state.json", b"new")
    assert calls == ["fsync", "replace", "fsync"]


def test_the_file_to_write_keeps_the_suffix(tmp_path: Path) -> None:
    with files.replacing(tmp_path / "scores.parquet") as partial:
        assert partial.suffix == ".parquet"
        assert partial.parent == tmp_path


def test_it_has_another_suffix_where_readers_take_all_files_with_the_paths_own(tmp_path: Path) -> None:
    with files.replacing(tmp_path / "scores.parquet", suffix=".partial"):
        assert not list(tmp_path.glob("*.parquet"))
    assert list(tmp_path.glob("*.parquet")) == [tmp_path / "scores.parquet"]
