"""Waiting for what another thread or process does."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE = 600.0
"""The most seconds that a test waits: machines that run tests are busy with other things."""


def wait_until(condition: Callable[[], object], what: str = "it") -> None:
    """Waits until a condition holds.

    Args:
      condition: returns what is true when there is nothing to wait for any more.
      what: what is waited for, for the failure.

    Raises:
      AssertionError: it did not hold in time.
    """
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"{what} did not happen within {PATIENCE:.0f} seconds"
        time.sleep(0.01)
