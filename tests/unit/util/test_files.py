from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline.util import files


@pytest.fixture
def umask() -> Iterator[Callable[[int], int]]:
    before = os.umask(0o022)
    yield os.umask
    os.umask(before)


def test_content_is_there_with_its_folder(tmp_path: Path) -> None:
    path = tmp_path / "new" / "state.json"
    files.write(path, "žluťoučký\n")
    assert path.read_text(encoding="utf-8") == "žluťoučký\n"


@pytest.mark.parametrize(("mask", "mode", "expected"), [(0o077, None, 0o600), (0o002, None, 0o664), (0o077, 0o644, 0o644)])
def test_permissions_are_those_of_every_new_file_unless_told_otherwise(
    tmp_path: Path, umask: Callable[[int], int], mask: int, mode: int | None, expected: int
) -> None:
    umask(mask)
    files.write(tmp_path / "state.json", "{}", mode)
    assert stat.S_IMODE((tmp_path / "state.json").stat().st_mode) == expected


def test_a_folder_that_cannot_be_synced_is_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real_sync = files.sync

    def sync(path: Path) -> None:
        if path.is_dir():
            raise OSError(errno.EINVAL, "Invalid argument")
        real_sync(path)

    monkeypatch.setattr(files, "sync", sync)
    files.write(tmp_path / "state.json", "new")
    assert (tmp_path / "state.json").read_text() == "new"


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
