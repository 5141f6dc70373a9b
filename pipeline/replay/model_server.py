"""A model server of its own for a replay, so that callers notice nothing of it."""

from __future__ import annotations

import socket
import sys
import tempfile
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.config import PipelineConfig
from serving.launch import ServerProcess
from serving.rollout.model_servers import RunningServer
from serving.rollout.models_config import render_versions

NICENESS = 19
"""How much a replay gives way to the callers of a gateway on the same machine: as much as can be."""
# Nobody waits for its answers, so traces of them would only hide those of callers.
_UNTRACED = {"OTEL_SDK_DISABLED": "true"}
_HOST = "127.0.0.1"
_POLL_SECONDS = 0.2


@contextmanager
def model_server(config: PipelineConfig, versions: Collection[int], seconds: float) -> Iterator[str]:
    """The embedded model server with some versions of a model, for as long as the block lasts.

    Args:
      config: the pipeline's configuration.
      versions: the versions to load.
      seconds: the longest time for a version to load.

    Yields:
      The server's host:port.

    Raises:
      ServingError: the server ends, or a version cannot be loaded.
    """
    with tempfile.TemporaryDirectory(prefix="conveyor-replay-") as folder:
        models_config = Path(folder) / "models.config"
        models_config.write_text(render_versions(config.name, str(config.serving_path), versions, {}))
        address = f"{_HOST}:{_free_port()}"
        command = [
            *(sys.executable, "-m", "serving.modelserver", f"--host={_HOST}", f"--port={address.rpartition(':')[2]}"),
            *(f"--model_config_file={models_config}", "--max_num_load_retries=0"),
        ]
        if config.push.public_key is not None:
            command.append(f"--model_public_key_file={config.resolve(config.push.public_key)}")
        fix = "Look whether each version is whole: conveyor models"
        with ServerProcess(command, Path(folder) / "server.log", fix, NICENESS, _UNTRACED) as process:
            server = RunningServer(address, config.name)
            end = time.monotonic() + seconds
            while server.versions() is None and time.monotonic() < end:
                process.check()
                time.sleep(_POLL_SECONDS)
            server.wait_until_loaded(versions, max(end - time.monotonic(), 1.0), {})
            yield address


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        return int(probe.getsockname()[1])
