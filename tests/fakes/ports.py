"""Ports for the servers of tests, which nobody else on this machine is given while the tests run."""

from __future__ import annotations

import os
import random
import socket
import tempfile
from pathlib import Path

from filelock import FileLock, Timeout

_FOLDER = Path(tempfile.gettempdir()) / f"conveyor-test-ports-{os.getuid()}"
_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_FIRST, _LAST = 10_000, 65_535
_held: list[FileLock] = []


def free_ports(count: int) -> list[int]:
    """Ports that nothing listens on, and that no other test is given before this process ends.

    The kernel gives the ports of its own range to any connection: one of them would be free now and taken in a moment.

    Args:
      count: how many.
    """
    candidates = _outside_of_the_kernels()
    found: list[int] = []
    while len(found) < count:
        port = random.SystemRandom().choice(candidates)
        if _take(port):
            found.append(port)
    return found


def free_port() -> int:
    """One of `free_ports`."""
    return free_ports(1)[0]


def _outside_of_the_kernels() -> list[int]:
    first, last = map(int, _RANGE.read_text().split()) if _RANGE.exists() else (32_768, 60_999)
    outside = [port for port in range(_FIRST, _LAST + 1) if not first <= port <= last]
    return outside or list(range(_FIRST, _LAST + 1))


def _take(port: int) -> bool:
    _FOLDER.mkdir(exist_ok=True)
    lock = FileLock(_FOLDER / str(port))
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return False
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError:
            lock.release()
            return False
    _held.append(lock)
    return True
