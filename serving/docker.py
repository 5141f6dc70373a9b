"""TensorFlow Serving in a Docker container."""

from __future__ import annotations

import subprocess
from collections.abc import Collection, Sequence
from pathlib import Path

_PROGRAM = "tensorflow_model_server"
_LOCALHOST = "127.0.0.1"
_INSPECT_SECONDS = 20


def has_image(image: str) -> bool:
    """Whether the engine holds an image."""
    try:
        done = subprocess.run(["docker", "image", "inspect", image], capture_output=True, timeout=_INSPECT_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def pull(image: str) -> bool:
    """Fetches an image, which may take minutes; Docker shows how far it is.

    Returns:
      Whether it is there now.
    """
    return subprocess.run(["docker", "pull", image]).returncode == 0


def command(image: str, name: str, flags: Sequence[str], ports: Collection[int], folders: Collection[Path]) -> list[str]:
    """The command line that runs the model server in a container until it is told to stop.

    Args:
      image: of TensorFlow Serving.
      name: of the container.
      flags: of the server.
      ports: that the server listens on; this machine alone reaches them, under the same numbers.
      folders: that the server reads, under the same paths as here.
    """
    return [
        *("docker", "run", "--rm", "--name", name),
        # As the first process of a container the server would not hear of a signal to stop.
        "--init",
        *(part for port in ports for part in ("--publish", f"{_LOCALHOST}:{port}:{port}")),
        *(part for folder in folders for part in ("--mount", f"type=bind,source={folder},target={folder},readonly")),
        *("--entrypoint", _PROGRAM, image),
        *flags,
    ]
