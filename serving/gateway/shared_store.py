"""Redis, which gateways share. It may fail at any time: each gateway then goes on by itself."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from serving.gateway.logs import log

PASSWORD_VARIABLE = "CONVEYOR_REDIS_PASSWORD"
PASSWORD_FILE_VARIABLE = "CONVEYOR_REDIS_PASSWORD_FILE"
_CONNECTIONS = 32
_TIMEOUT_SECONDS = 0.25
_PAUSE_SECONDS = 5.0
"""Seconds without calls after a failure, so that Redis' absence does not slow down every request."""

Result = TypeVar("Result")


class AwayError(Exception):
    """Redis does not answer, or did not a moment ago."""


class SharedStore:
    """A Redis, to which the first call connects.

    Args:
      url: redis://HOST:PORT/DATABASE; the password, if any, is in the environment variable CONVEYOR_REDIS_PASSWORD, or in the
        file that CONVEYOR_REDIS_PASSWORD_FILE names, if that is there.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=_CONNECTIONS,
            timeout=_TIMEOUT_SECONDS,
            password=_password(),
            socket_timeout=_TIMEOUT_SECONDS,
            socket_connect_timeout=_TIMEOUT_SECONDS,
            retry=Retry(NoBackoff(), 0),
        )
        self.redis: Redis = Redis.from_pool(pool)
        self._again = 0.0

    async def attempt(self, call: Callable[[], Awaitable[Result]]) -> Result:
        """The result of a call.

        Args:
          call: calls Redis.

        Raises:
          AwayError: Redis does not answer.
        """
        if time.monotonic() < self._again:
            raise AwayError
        try:
            result = await call()
        except (RedisError, OSError) as error:
            if not self._again:
                log(logging.WARNING, "Redis is away: going on without it", url=self.url, error=str(error))
            self._again = time.monotonic() + _PAUSE_SECONDS
            raise AwayError from error
        if self._again:
            self._again = 0.0
            log(logging.INFO, "Redis is back", url=self.url)
        return result

    async def close(self) -> None:
        """Closes the connections."""
        await self.redis.aclose()


def _password() -> str | None:
    given, path = os.environ.get(PASSWORD_VARIABLE), os.environ.get(PASSWORD_FILE_VARIABLE)
    if given is None and path and Path(path).exists():
        return Path(path).read_text().rstrip("\n")
    return given
