"""Rate limits by caller."""

from __future__ import annotations

import logging
import time
from math import ceil

from limits import RateLimitItem, parse
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter

from serving.gateway.access import Caller
from serving.gateway.logs import log
from serving.gateway.problems import ProblemError
from serving.gateway.shared_store import AwayError, SharedStore


class RateLimits:
    """Counts requests by caller: in Redis where there is one, so that all gateways count together.

    Args:
      store: Redis. While it is away, and without it, the process counts by itself.
    """

    def __init__(self, store: SharedStore | None) -> None:
        self._store = store
        self._own = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._shared = store and SlidingWindowCounterRateLimiter(
            RedisStorage(
                f"async+{store.url}",
                implementation="redispy",
                key_prefix="conveyor:limits",
                connection_pool=store.redis.connection_pool,  # type: ignore[arg-type]
            )
        )

    async def count(self, caller: Caller) -> None:
        """Counts a request.

        Raises:
          ProblemError: the caller's limit is exceeded.
        """
        if caller.rate_limit is None:
            return
        limit = parse(caller.rate_limit)
        if self._store and self._shared:
            shared = self._shared
            try:
                await self._store.attempt(lambda: _count(shared, limit, caller))
            except AwayError:
                pass
            except (ValueError, TypeError, OverflowError) as error:
                # Another program has written into the counts.
                log(logging.WARNING, "a count of requests in Redis is not a number: counting without it", error=str(error))
            else:
                return
        await _count(self._own, limit, caller)


async def _count(limiter: SlidingWindowCounterRateLimiter, limit: RateLimitItem, caller: Caller) -> None:
    if not await limiter.hit(limit, caller.kind, caller.name):
        reset = (await limiter.get_window_stats(limit, caller.kind, caller.name)).reset_time
        raise ProblemError(
            429,
            f"Rate limit exceeded: {caller.rate_limit} for {caller.name}.",
            headers={"Retry-After": str(max(1, ceil(reset - time.time())))},
        )
