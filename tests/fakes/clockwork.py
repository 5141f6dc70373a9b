"""An event loop whose clock is not the machine's: waiting takes no time, and nothing that the machine does comes between."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")


class ClockworkLoop(asyncio.SelectorEventLoop):
    """Goes on to the time of the next timer whenever there is nothing else to do."""

    def __init__(self) -> None:
        super().__init__()
        self._seconds = 0.0

    def time(self) -> float:
        """The seconds since the loop was made, as timers have them."""
        return self._seconds

    def _run_once(self) -> None:
        if not self._ready and self._scheduled:
            self._seconds = max(self._seconds, self._scheduled[0].when())
        super()._run_once()


def run(coroutine: Coroutine[Any, Any, Result]) -> Result:
    """What a coroutine returns that waits for timers alone."""
    loop = ClockworkLoop()
    try:
        return loop.run_until_complete(coroutine)
    finally:
        loop.close()
