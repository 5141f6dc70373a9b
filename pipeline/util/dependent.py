"""A program that ends with the one that has started it, however that ends: SIGKILL leaves nobody to end its children.

It is run as `python -m pipeline.util.dependent PARENT NICENESS PROGRAM [ARGUMENT]...`.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Sequence

_PR_SET_PDEATHSIG = 1


def command(program: Sequence[str], niceness: int = 0) -> list[str]:
    """The command line that runs a program until this process ends; it then gets SIGTERM.

    The kernel goes by the thread that starts the program: it has to last as long as the program, as the first one does.

    Args:
      program: the program, by its path, and its arguments.
      niceness: how much it gives way to other programs, 0 to 19.
    """
    return [sys.executable, "-m", "pipeline.util.dependent", str(os.getpid()), str(niceness), *program]


def main(arguments: Sequence[str]) -> None:
    """Becomes the program."""
    parent, niceness, *program = arguments
    # prctl(2): kept when another program is executed.
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != int(parent):
        # It has ended already.
        return
    os.nice(int(niceness))
    os.execvp(program[0], program)


if __name__ == "__main__":
    main(sys.argv[1:])
