"""The environment in which the fork server starts."""

import os
from pathlib import Path

import pytest

from pipeline.local import runner


def test_the_environment_is_as_before_when_the_server_has_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "0")
    monkeypatch.delenv("PYTHONHASHSEED", raising=False)
    before, of_server = dict(os.environ), {}
    monkeypatch.setattr(runner.forkserver, "ensure_running", lambda: of_server.update(os.environ))
    runner._start_fork_server(tmp_path / "startup.log")
    assert of_server["TF_CPP_MIN_LOG_LEVEL"] == "0", "what the user has set stays"
    assert of_server["PYTHONHASHSEED"] == "0"
    assert dict(os.environ) == before
