from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.serving.gateway.running import write_model
from tests.integration.serving.modelserver.running import program


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a model with one version."""
    folder = tmp_path_factory.mktemp("models") / "flights"
    folder.mkdir()
    write_model(folder, 1, 1 / 6000)
    return folder


@pytest.fixture(scope="module")
def model_server(models: Path) -> Iterator[str]:
    """The address of that model at the embedded model server."""
    flags = ("--model_name=flights", f"--model_base_path={models}", "--file_system_poll_wait_seconds=1")
    with program(*flags, log=models.parent / "server.log") as (running, _):
        yield f"grpc://127.0.0.1:{running.port}/flights"
