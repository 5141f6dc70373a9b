"""How a signal ends a command that runs nodes: with what it has written so far, and a line that says how to go on."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import typer

from pipeline.util.signals import Interruption, interruptible


@contextmanager
def ending_on_signals(how: str = "") -> Iterator[None]:
    """A context that Ctrl-C, SIGTERM and SIGHUP end, with the exit status that shells expect.

    Args:
      how: what is different about the command that goes on, such as "without --no-cache "; empty for nothing.

    Raises:
      typer.Exit: a signal came.
    """
    try:
        with interruptible():
            yield
    except Interruption as interruption:
        # A terminal that has hung up takes no more text.
        with suppress(OSError):
            print(
                f"Interrupted by {interruption}: what was at work is ended, and the state of the run is written. "
                f"The same command {how}goes on from there; nodes that are complete are not repeated.",
                file=sys.stderr,
            )
        raise typer.Exit(interruption.exit_code) from interruption
