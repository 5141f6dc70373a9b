"""The memory of requests that are under way, bounded for all of them together."""

from __future__ import annotations

from threading import Lock

from serving.modelserver.status import invalid_argument, unavailable

_LARGEST_REQUESTS = 8
"""The number of requests of the largest size that may be under way at once."""


class Budget:
    """Bytes that requests under way may take together before they are known to be wanted; threads may share it.

    Args:
      max_request_bytes: the size of the largest request.

    Attributes:
      limit: the bytes of all requests together.
    """

    def __init__(self, max_request_bytes: int) -> None:
        self.limit = _LARGEST_REQUESTS * max_request_bytes
        self._taken = 0
        self._lock = Lock()

    def add(self, num_bytes: int) -> None:
        """Takes or, if negative, gives back some bytes.

        Raises:
          StatusError: UNAVAILABLE: so many are not left.
        """
        with self._lock:
            if num_bytes > 0 and self._taken + num_bytes > self.limit:
                raise unavailable("The requests under way take all memory that requests may have")
            self._taken += num_bytes


class Share:
    """What one request has taken of a budget.

    Args:
      budget: all requests' budget.
    """

    def __init__(self, budget: Budget) -> None:
        self._budget, self._taken = budget, 0

    def take(self, num_bytes: int) -> None:
        """Takes some bytes more.

        Raises:
          StatusError: UNAVAILABLE: so many are not left. INVALID_ARGUMENT: no request may take so many.
        """
        if self._taken + num_bytes > self._budget.limit:
            raise invalid_argument(
                f"The request has too many values: reading them may take {self._taken + num_bytes} bytes, more than "
                f"{self._budget.limit} (eight times --max_request_bytes)"
            )
        self._budget.add(num_bytes)
        self._taken += num_bytes

    def give_back(self) -> None:
        """Gives back all that was taken."""
        self._budget.add(-self._taken)
        self._taken = 0
