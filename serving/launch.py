"""Starting a model server on this machine: TensorFlow Serving in a Docker container, or any server as a process."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING

from pipeline.util import dependent
from serving.errors import ServingError

if TYPE_CHECKING:
    from typing_extensions import Self

_PROGRAM = "tensorflow_model_server"
_LOCALHOST = "127.0.0.1"
_INSPECT_SECONDS = 20
_TAIL_LINES = 15
# Longer than the server itself gives requests that are under way.
_STOP_SECONDS = 35.0


def has_image(image: str) -> bool:
    """Whether the Docker engine holds an image."""
    try:
        done = subprocess.run(["docker", "image", "inspect", image], capture_output=True, timeout=_INSPECT_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def pull(image: str) -> bool:
    """Fetches an image, which may take minutes; Docker shows its progress.

    Returns:
      Whether the image is there now.
    """
    return subprocess.run(["docker", "pull", image]).returncode == 0


def container_command(
    image: str, name: str, flags: Sequence[str], ports: Collection[int], folders: Collection[Path]
) -> list[str]:
    """The command line that runs TensorFlow Serving in a container until it is told to stop.

    Args:
      image: the image of TensorFlow Serving.
      name: the container's name.
      flags: the server's flags.
      ports: the ports that the server listens on; only this machine reaches them, under the same numbers.
      folders: the folders that the server reads, under the same paths as here.
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


class ServerProcess:
    """A server that runs no longer than the `with` block, also where this process is killed, with its log in a file.

    Args:
      command: the command that runs the server until it gets SIGTERM.
      log: the file for everything that it prints; an old one is overwritten.
      fix: what to do when the server ends by itself.
      niceness: how much it gives way to other programs, 0 to 19.
      variables: what its environment has besides that of this process.
    """

    def __init__(
        self, command: Sequence[str], log: Path, fix: str, niceness: int = 0, variables: Mapping[str, str] | None = None
    ) -> None:
        self.log, self._fix, self._environment = log, fix, {**os.environ, **(variables or {})}
        self._command = dependent.command(command, niceness)
        self._process: subprocess.Popen[bytes] | None = None
        self._output: IO[bytes] | None = None

    def __enter__(self) -> Self:
        self._output = self.log.open("wb")
        # In a session of its own, so that Ctrl-C reaches only the caller, who then shuts the server down cleanly.
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            env=self._environment,
            start_new_session=True,
        )
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        assert self._process is not None
        assert self._output is not None
        self._process.terminate()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._output.close()

    def check(self) -> None:
        """Makes sure that the server still runs.

        Raises:
          ServingError: it has ended; the error shows the end of its log.
        """
        assert self._process is not None
        status = self._process.poll()
        if status is None:
            return
        lines = self.log.read_text(errors="replace").strip().splitlines()
        raise ServingError(
            f"The model server has ended with status {status}.",
            where=str(self.log),
            seen="\n".join(lines[-_TAIL_LINES:]),
            fix=self._fix,
        )
