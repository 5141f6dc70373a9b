"""The progress of a node, on its standard output: `conveyor run` shows the last such line beside the node."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

MARK = "progress: "
"""The beginning of such a line."""

_SECONDS = 1.0
_Batch = TypeVar("_Batch")


def say(what: str) -> None:
    """Prints what the node is doing now."""
    print(f"{MARK}{what}", flush=True)


class RowProgress:
    """Prints once a second how many rows a node has processed.

    Args:
      doing: what is done to the rows, such as "reading".
      total: the number of rows; None where it is not known.
      unit: what is counted, if not rows.
    """

    def __init__(self, doing: str, total: int | None = None, unit: str = "rows") -> None:
        self._doing, self._unit = doing, unit
        self._of_total = "" if total is None else f" of {total:,}"
        self._rows = 0
        self._said = time.monotonic()

    def add(self, rows: int) -> None:
        """Counts rows that have been processed."""
        self._rows += rows
        now = time.monotonic()
        if now - self._said >= _SECONDS:
            self._said = now
            say(f"{self._doing}, {self._rows:,}{self._of_total} {self._unit}")

    def through(self, batches: Iterable[_Batch], size: Callable[[Any], int] = len) -> Iterator[_Batch]:
        """Passes batches on and counts the rows of each when the next one is asked for.

        Args:
          batches: batches of rows.
          size: returns the number of rows of a batch.
        """
        for batch in batches:
            yield batch
            self.add(size(batch))
