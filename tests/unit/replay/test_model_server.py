"""The model server of a replay, by the command line and the environment that it gets."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from pipeline.config import PipelineConfig
from pipeline.config.evaluation import Push
from pipeline.replay.model_server import model_server
from serving.errors import ServingError


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """What a server is started with: its arguments, and whether it takes part in traces."""
    program = tmp_path / "server"
    program.write_text('#!/bin/sh\necho "$*" traces off: "$OTEL_SDK_DISABLED"\n')
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))

    def started(config: PipelineConfig) -> str:
        with pytest.raises(ServingError, match="has ended") as caught, model_server(config, (3, 4), 60):
            pass
        return caught.value.seen

    return started


def test_it_leaves_no_traces(started, config: PipelineConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318")
    assert "traces off: true" in started(config)


def test_it_loads_only_what_is_signed_where_a_key_is_trusted(started, config: PipelineConfig, tmp_path: Path) -> None:
    assert "--model_public_key_file" not in started(config)
    trusting = config.model_copy(update={"push": Push(public_key="public.pem")})
    assert f"--model_public_key_file={trusting.resolve('public.pem')}" in started(trusting)
