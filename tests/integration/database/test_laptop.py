"""A laptop whose commands use the database that CONVEYOR_METADATA names."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from pipeline.config import PipelineConfig
from pipeline.local import PipelineFactory, run_pipeline
from pipeline.runs.status import RunOutcome, RunState
from tests.integration.conftest import CONVEYOR
from tests.integration.database.servers import PASSWORD, Server
from tests.integration.local_runner import tiny_pipeline


def run(workspace: Path, **behaviour: str) -> RunOutcome:
    config = PipelineConfig(name="tiny", label="y", workspace=str(workspace), data={"input": "x"})
    factory = PipelineFactory(f"{tiny_pipeline.__name__}:create", {"root": str(workspace), **behaviour})
    return run_pipeline(config, factory, name="tiny")


def test_runs_and_the_commands_that_look_at_them(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVEYOR_METADATA", url)
    workspace, meeting = tmp_path / ".conveyor", tmp_path / "meeting"
    meeting.mkdir()
    first = run(workspace, left=f"meet:{meeting}", right=f"meet:{meeting}")
    assert first.problem is None
    assert first.state is RunState.COMPLETE
    assert {node.state.value for node in run(workspace).nodes.values()} == {"cached", "complete"}
    assert not (workspace / "metadata.sqlite").exists()

    (tmp_path / "pipeline.yaml").write_text("name: tiny\nlabel: y\ndata: {input: x}\n")
    options = ["--config", "pipeline.yaml", "--json"]
    shown = subprocess.run(
        [CONVEYOR, "show", first.run_id, *options], cwd=tmp_path, env=os.environ, capture_output=True, text=True, check=True
    )
    assert {artifact["node"] for artifact in json.loads(shown.stdout)["artifacts"]} == {"Source", "Left", "Right", "Join"}
    assert shown.stderr == ""
    written = [path for path in workspace.rglob("*") if path.is_file()]
    assert written
    assert not any(PASSWORD in path.read_text(errors="replace") or url in path.read_text(errors="replace") for path in written)


def test_a_run_without_its_database_ends_before_its_first_node(
    server: Server, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONVEYOR_METADATA", url.replace(str(server.port), "1"))
    outcome = run(tmp_path)
    assert outcome.state is RunState.FAILED
    assert outcome.problem is not None
    assert outcome.problem.what == "The metadata database cannot be reached."
    assert outcome.nodes == {}
