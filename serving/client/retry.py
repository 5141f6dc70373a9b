"""The deadline of a call, and the pauses between its attempts."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator

from serving.errors import DeadlineError

ATTEMPTS = 5
FIRST_PAUSE, LONGEST_PAUSE, GROWTH = 0.1, 1.0, 2
"""Seconds before the second attempt, seconds at most, and the factor from one to the next; times a random number up to 1."""


class Deadline:
    """The time by which a call must end, with all of its attempts and parts.

    Args:
      seconds: the number of seconds from now.
      address: the server's address, for messages.
    """

    def __init__(self, seconds: float, address: str) -> None:
        self._seconds, self._address = seconds, address
        self._end = time.monotonic() + seconds

    def remaining(self) -> float:
        """Seconds until the end.

        Raises:
          DeadlineError: it has passed.
        """
        seconds = self._end - time.monotonic()
        if seconds <= 0:
            raise self.error()
        return seconds

    def pauses(self) -> Iterator[float]:
        """Seconds to wait before each further attempt, as long as one makes sense."""
        for attempt in range(ATTEMPTS - 1):
            pause = random.uniform(0, min(LONGEST_PAUSE, FIRST_PAUSE * GROWTH**attempt))
            if time.monotonic() + pause >= self._end:
                return
            yield pause

    def error(self) -> DeadlineError:
        """The error for an answer that did not come in time."""
        return DeadlineError(
            "The model server did not answer in time.",
            where=self._address,
            expected=f"an answer within {self._seconds:g} s",
            fix="Ask for fewer rows at a time, allow more time, or find out what keeps the server busy.",
        )
