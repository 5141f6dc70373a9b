"""Runs that are refused before a node has started."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from pipeline.config import PipelineConfig
from pipeline.errors import DataError
from pipeline.local import runner
from pipeline.local.worker import PipelineFactory


def refuse() -> None:
    raise DataError("There are no rows.", where="a.csv", fix="Add some.")


@pytest.mark.parametrize("is_kept", [False, True], ids=["a folder of a disk", "a folder that a network volume keeps"])
def test_a_run_that_is_refused_leaves_no_outcome(is_kept: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rmdir = os.rmdir

    def keep(path: str, *arguments: object, **further: object) -> None:
        # So NFS says of a folder with a file that a process still has open.
        raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY), path)

    monkeypatch.setattr(os, "rmdir", keep if is_kept else rmdir)
    monkeypatch.setattr(runner, "_start_fork_server", lambda log: log.touch())
    config = PipelineConfig(name="tiny", label="y", workspace=str(tmp_path), data={"input": str(tmp_path / "a.csv")})
    with pytest.raises(DataError, match="There are no rows"):
        runner.run_pipeline(config, PipelineFactory("a:b", {}), name="tiny", check=refuse)
    left = [path for path in (tmp_path / "runs" / "tiny").rglob("*") if not path.name.startswith(".")]
    assert [path.is_dir() for path in left] == [True] * is_kept
