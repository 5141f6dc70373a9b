"""The memory of processes."""

from __future__ import annotations

import resource
from pathlib import Path

_STATUS = Path("/proc/self/status")
_KIB = 1024


def peak_bytes() -> int:
    """The most memory that this process, or a program that it has waited for, has had in RAM, in bytes.

    Pages that processes share, such as what a fork has taken over, count in full. Sources: proc(5), VmHWM, and getrusage(2),
    which says of a process itself what the one that started it had.
    """
    own = next((line.split()[1] for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM:")), "0")
    return _KIB * max(int(own), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
