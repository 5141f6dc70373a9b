"""A server's process under attack: its memory, which has a limit, and whether it is well."""

from __future__ import annotations

import re
import resource
import time
from collections.abc import Callable
from pathlib import Path

MAX_GROWTH = 300 * 2**20
"""The most bytes that an attack may take."""
_MAX_DATA = 6 * 2**30
_HEALTH_SECONDS = 20.0


def limit_memory() -> None:
    """Limits this process's memory, so that an attack that succeeds kills the server and not the machine (for preexec_fn)."""
    resource.setrlimit(resource.RLIMIT_DATA, (_MAX_DATA, _MAX_DATA))


class Watched:
    """The memory and the health of a server's process.

    Args:
      pid: the process.
      health: raises an exception if the server does not answer.
    """

    def __init__(self, pid: int, health: Callable[[], object]) -> None:
        self._folder, self._health = Path(f"/proc/{pid}"), health
        self._before = self._now("VmRSS")
        self.slowest = 0.0
        """Seconds that the slowest health check took."""

    def check(self) -> None:
        """Fails if the server does not answer, or has taken too much memory since the last check or the start."""
        started = time.monotonic()
        self._health()
        self.slowest = max(self.slowest, time.monotonic() - started)
        assert self.slowest < _HEALTH_SECONDS, f"the server took {self.slowest:.1f} s to say that it is well"
        growth = self.growth()
        assert growth < MAX_GROWTH, f"the server took {growth / 2**20:.0f} MiB more"

    def growth(self) -> int:
        """The most bytes that the process has had since the start of the watch, less those that it had then."""
        return self._now("VmHWM") - self._before

    def forget(self) -> None:
        """Starts the watch again, with the memory of now."""
        (self._folder / "clear_refs").write_text("5")
        self._before = self._now("VmRSS")

    def _now(self, what: str) -> int:
        found = re.search(rf"{what}:\s+(\d+) kB", (self._folder / "status").read_text())
        assert found, "the server is dead"
        return int(found[1]) * 1024
