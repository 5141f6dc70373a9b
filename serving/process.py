"""A model server as a process of this machine, with its log in a file."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING

from serving.errors import ServingError

if TYPE_CHECKING:
    from typing_extensions import Self

_TAIL_LINES = 15
# Longer than the server itself gives requests that are under way.
_STOP_SECONDS = 35.0


class ServerProcess:
    """Runs as long as the `with` block, at the most."""

    def __init__(self, command: Sequence[str], log: Path, fix: str) -> None:
        """Runs nothing yet.

        Args:
          command: that runs the server until it gets SIGTERM.
          log: where everything goes that it prints; written anew.
          fix: what to do when it ends by itself.
        """
        self.log, self._fix = log, fix
        self._command = list(command)
        self._process: subprocess.Popen[bytes] | None = None
        self._output: IO[bytes] | None = None

    def __enter__(self) -> Self:
        self._output = self.log.open("wb")
        # In a session of its own, so that Ctrl-C reaches the one who started it, who then ends it in good order.
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.DEVNULL, stdout=self._output, stderr=subprocess.STDOUT, start_new_session=True
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
        """Makes sure that the server runs.

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
