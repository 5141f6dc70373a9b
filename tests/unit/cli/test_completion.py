"""What the shell completes, asked as bash asks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from pipeline import nodes


@pytest.fixture
def completed(config, tmp_path: Path):
    """The completions of a line, whose last word is not finished."""
    path = tmp_path / "pipeline.yaml"
    path.write_text(yaml.safe_dump(config.effective()))

    def _completed(line: str) -> list[str]:
        words = line.split(" ")
        environment = {
            **os.environ,
            "_CONVEYOR_COMPLETE": "complete_bash",
            "COMP_WORDS": line,
            "COMP_CWORD": str(len(words) - 1),
            "CONVEYOR_CONFIG": str(path),
        }
        done = subprocess.run([sys.executable, "-m", "pipeline.cli.main"], env=environment, capture_output=True, text=True)
        assert done.stderr == ""
        return done.stdout.split()

    return _completed


def test_commands_nodes_and_fields(completed) -> None:
    assert completed("conveyor ru") == ["run", "runs"]
    assert set(completed("conveyor run --from ")) == set(nodes.NODES)
    assert completed("conveyor run --set training.ep") == ["training.epochs="]
    assert "schema.path=" in completed("conveyor run --set schema")


def test_runs_and_versions_of_the_configuration(completed, config) -> None:
    for run in ("20260101-000000", "20260102-000000"):
        (config.runs_path / run).mkdir(parents=True)
    (config.serving_path / "7").mkdir(parents=True)
    assert completed("conveyor show 2026") == ["20260102-000000", "20260101-000000"]
    assert completed("conveyor lineage ") == ["7"]


def test_without_a_workspace_nothing_is_completed(completed) -> None:
    assert completed("conveyor lineage ") == []
