"""Waiting for what another thread or process does."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE = 180.0
"""The most seconds that a test waits for what takes a moment: machines that run tests are busy with other things."""


def wait_until(condition: Callable[[], object], what: str = "it", seconds: float = PATIENCE) -> None:
    """Waits until a condition holds.

    Args:
      condition: returns what is true when there is nothing to wait for any more.
      what: what is waited for, for the failure.
      seconds: how long to wait at most.

    Raises:
      AssertionError: it did not hold in time.
    """
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"{what} did not happen within {seconds:.0f} seconds"
        time.sleep(0.01)
