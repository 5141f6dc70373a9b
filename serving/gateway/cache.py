"""Caches of predictions, by model and row."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Protocol

from cachetools import LRUCache
from pydantic import TypeAdapter, ValidationError

from serving.client import Prediction
from serving.client.features import Row
from serving.gateway.answers import Served
from serving.gateway.shared_store import AwayError, SharedStore

_PREDICTION = TypeAdapter(Prediction)
_MAX_LENGTH = 1_000_000


class Cache(Protocol):
    """Keeps predictions. A cache never makes a request fail."""

    async def get(self, model: Served, rows: Sequence[Row]) -> list[Prediction | None]:
        """The earlier predictions of a model for rows; None for a row without one."""

    async def put(self, rows: Sequence[Row], predictions: Sequence[Prediction]) -> None:
        """Keeps predictions for rows."""


class NoCache:
    """Keeps nothing."""

    async def get(self, model: Served, rows: Sequence[Row]) -> list[Prediction | None]:
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

    async def get(self, model: Served, rows: Sequence[Row]) -> list[Prediction | None]:
        """Finds predictions in memory."""
        return [self._predictions.get((model, _key(row))) for row in rows]

    async def put(self, rows: Sequence[Row], predictions: Sequence[Prediction]) -> None:
        """Keeps predictions in memory."""
        for row, prediction in zip(rows, predictions, strict=True):
            self._predictions[_served(prediction), _key(row)] = prediction


class RedisCache:
    """Keeps predictions in Redis, where all gateways find them.

    Args:
      store: Redis.
      seconds: the time that a prediction is kept.
    """

    def __init__(self, store: SharedStore, seconds: int) -> None:
        self._store, self._seconds = store, seconds

    async def get(self, model: Served, rows: Sequence[Row]) -> list[Prediction | None]:
        """Finds predictions in Redis; none while it is away."""
        keys = [_name(model, row) for row in rows]
        try:
            found = await self._store.attempt(lambda: self._store.redis.mget(keys))
        except AwayError:
            return [None] * len(rows)
        return [None if text is None else _prediction(text, model) for text in found]

    async def put(self, rows: Sequence[Row], predictions: Sequence[Prediction]) -> None:
        """Keeps predictions in Redis, unless it is away."""
        pipeline = self._store.redis.pipeline(transaction=False)
        for row, prediction in zip(rows, predictions, strict=True):
            name = _name(_served(prediction), row)
            pipeline.set(name, json.dumps(asdict(prediction)), ex=self._seconds)
        try:
            await self._store.attempt(pipeline.execute)
        except AwayError:
            return


def _key(row: Row) -> tuple[tuple[str, Any], ...]:
    return tuple((name, tuple(value) if isinstance(value, list) else value) for name, value in row.items())


def _served(prediction: Prediction) -> Served:
    return Served(prediction.model, prediction.version, prediction.digest)


def _name(model: Served, row: Row) -> str:
    """A name that does not reveal the row, which may be personal."""
    text = json.dumps(row, sort_keys=True)
    return f"conveyor:{model.name}:{model.version}:{model.digest}:{hashlib.blake2b(text.encode(), digest_size=20).hexdigest()}"


def _prediction(text: bytes | str, model: Served) -> Prediction | None:
    """A prediction as `put` has written it; None if another program, or another release, wrote something else."""
    if len(text) > _MAX_LENGTH:
        return None
    try:
        prediction = _PREDICTION.validate_json(text, strict=True)
    except (ValidationError, ValueError):
        return None
    numbers = (*prediction.probabilities, prediction.probability, prediction.score)
    shares = [number for number in numbers if number is not None]
    is_whole = _served(prediction) == model and prediction.explanation is None
    is_answer = (prediction.value is None) != (prediction.label is None or prediction.probability is None)
    is_finite = all(0 <= share <= 1 for share in shares) and math.isfinite(prediction.value or 0)
    return prediction if is_whole and is_answer and is_finite else None
