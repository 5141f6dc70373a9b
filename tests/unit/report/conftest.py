"""Workspaces for the tests of what reads them."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.config import PipelineConfig
from tests.unit.report.workspace import Workspace


@pytest.fixture
def config(tmp_path: Path) -> PipelineConfig:
    """Of the pipeline `flights`, with an empty workspace."""
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
    """One without runs."""
    return Workspace(config)
