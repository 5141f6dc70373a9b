"""Caches of predictions, by model version and row."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Protocol

from cachetools import LRUCache

from serving.client import Prediction
from serving.client.features import Row
from serving.gateway.shared_store import AwayError, SharedStore


class Cache(Protocol):
    """Keeps predictions. A cache never makes a request fail."""

    async def get(self, model: str, version: int, rows: Sequence[Row]) -> list[Prediction | None]:
        """The earlier predictions of a version for rows; None for a row without one."""

    async def put(self, rows: Sequence[Row], predictions: Sequence[Prediction]) -> None:
        """Keeps predictions for rows."""


class NoCache:
    """Keeps nothing."""

    async def get(self, model: str, version: int, rows: Sequence[Row]) -> list[Prediction | None]:
        """Finds nothing."""
        return [None] * len(rows)

    async def put(self, rows: Sequence[Row], predictions: Sequence[Prediction]) -> None:
        """Keeps nothing."""


class MemoryCache:
    """Keeps the predictions that were used last, in this process.

    Args:
      rows: the number of predictions that it keeps.
    """

    def __init__(self, rows: int) -> None:
        self._predictions: LRUCache[Any, Prediction] = LRUCache(rows)

    async def get(self, model: str, version: int, rows: Sequence[Row]) -> list[Prediction | None]:
        """Finds predictions in memory."""
        return [self._predictions.get((model, version, _key(row))) for row in rows]

    async def put(self, rows: Sequence[Row], predictions: Sequence[Prediction]) -> None:
        """Keeps predictions in memory."""
        for row, prediction in zip(rows, predictions, strict=True):
            self._predictions[prediction.model, prediction.version, _key(row)] = prediction


class RedisCache:
    """Keeps predictions in Redis, where all gateways find them.

    Args:
      store: Redis.
      seconds: the time that a prediction is kept.
    """

    def __init__(self, store: SharedStore, seconds: int) -> None:
        self._store, self._seconds = store, seconds

    async def get(self, model: str, version: int, rows: Sequence[Row]) -> list[Prediction | None]:
        """Finds predictions in Redis; none while it is away."""
        keys = [_name(model, version, row) for row in rows]
        try:
            found = await self._store.attempt(lambda: self._store.redis.mget(keys))
        except AwayError:
            return [None] * len(rows)
        return [None if text is None else _prediction(text) for text in found]

    async def put(self, rows: Sequence[Row], predictions: Sequence[Prediction]) -> None:
        """Keeps predictions in Redis, unless it is away."""
        pipeline = self._store.redis.pipeline(transaction=False)
        for row, prediction in zip(rows, predictions, strict=True):
            name = _name(prediction.model, prediction.version, row)
            pipeline.set(name, json.dumps(asdict(prediction)), ex=self._seconds)
        try:
            await self._store.attempt(pipeline.execute)
        except AwayError:
            return


def _key(row: Row) -> tuple[tuple[str, Any], ...]:
    return tuple((name, tuple(value) if isinstance(value, list) else value) for name, value in row.items())


def _name(model: str, version: int, row: Row) -> str:
    """A name that does not reveal the row, which may be personal."""
    text = json.dumps(row, sort_keys=True)
    return f"conveyor:{model}:{version}:{hashlib.blake2b(text.encode(), digest_size=20).hexdigest()}"


def _prediction(text: bytes | str) -> Prediction | None:
    """A prediction as `put` has written it; None if another program wrote something else."""
    try:
        content = json.loads(text)
        return Prediction(**{**content, "probabilities": tuple(content["probabilities"])})
    except (ValueError, TypeError, LookupError):
        return None
