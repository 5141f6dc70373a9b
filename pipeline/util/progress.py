"""How far a node has come, on its standard output: `conveyor run` shows the last line that says so beside the node."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

MARK = "progress: "
"""What such a line begins with."""

_SECONDS = 1.0
_Batch = TypeVar("_Batch")


def say(what: str) -> None:
    """Says what the node is doing now."""
    print(f"{MARK}{what}", flush=True)


class RowProgress:
    """Says once a second how many rows a node has dealt with; nothing of work that takes less."""

    def __init__(self, doing: str, total: int | None = None) -> None:
        """Begins to count.

        Args:
          doing: what is done to the rows, such as "reading".
          total: rows there are; None where that is not known.
        """
        self._doing = doing
        self._of_total = "" if total is None else f" of {total:,}"
        self._rows = 0
        self._said = time.monotonic()

    def add(self, rows: int) -> None:
        """Counts rows that have been dealt with."""
        self._rows += rows
        now = time.monotonic()
        if now - self._said >= _SECONDS:
            self._said = now
            say(f"{self._doing}, {self._rows:,}{self._of_total} rows")

    def through(self, batches: Iterable[_Batch], size: Callable[[Any], int] = len) -> Iterator[_Batch]:
        """Passes batches on and counts the rows of each when the next one is asked for.

        Args:
          batches: of rows.
          size: tells how many rows are in one.
        """
        for batch in batches:
            yield batch
            self.add(size(batch))
