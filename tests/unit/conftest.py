"""A workspace for the tests of what reads one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

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
