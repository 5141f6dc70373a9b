"""A workspace for the tests of what reads one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from pipeline.cli import main as command_line
from pipeline.config import PipelineConfig

if TYPE_CHECKING:
    from tests.fakes.workspace import Workspace


@pytest.fixture
def config(tmp_path: Path) -> PipelineConfig:
    """The configuration of the pipeline `flights`, with an empty workspace."""
    return PipelineConfig.model_validate(
        {
            "name": "flights",
            "label": "late",
            "workspace": str(tmp_path / "workspace"),
            "data": {"input": "/data/flights-{SPAN}.csv"},
            "evaluation": {"min_slice_rows": 10},
        }
    )


@pytest.fixture
def workspace(config: PipelineConfig) -> Workspace:
    """A workspace without runs."""
    from tests.fakes.workspace import Workspace  # imports TensorFlow, which most tests do without

    return Workspace(config)


@pytest.fixture
def conveyor(config: PipelineConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Runs a command on the workspace in this process; returns its exit code, stdout and stderr."""
    path = tmp_path / "pipeline.yaml"
    path.write_text(yaml.safe_dump(config.effective()))

    def run(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            command_line.main([*arguments, "-c", str(path)])
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out, printed.err

    return run
