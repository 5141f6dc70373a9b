"""A shadow: the candidate is asked what callers have asked, beside their requests, and nobody waits for its answers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.errors import ConveyorError
from serving.client import ModelFeature, Prediction
from serving.errors import UnknownModelError
from serving.gateway.contract import Question
from serving.gateway.logs import log
from serving.gateway.metrics import ShadowMetrics
from serving.gateway.prediction_log import PredictionLog
from serving.gateway.predictor import Predictor

QUEUE_ROWS = 1000
"""Rows that may wait for the shadow, or one request with more. Further rows are dropped and counted."""
QUEUE_BYTES = 16 * 1024**2
"""What the values of these rows may take, where texts are long."""
_NUMBER_BYTES = 8


@dataclass(frozen=True)
class _Asked:
    version: int
    features: Mapping[str, ModelFeature]
    question: Question
    answered: Sequence[Prediction]
    request_id: str
    size: int


class Shadow:
    """Asks the version that is a shadow what callers were answered, one request after the other.

    It never fails or delays a request: what is asked faster than the shadow answers is dropped. Each call has the time that a
    request has, and none of the answers is cached, as they would drive out those that callers need.

    Args:
      predictor: knows the rollout and the shadow's model server.
      metrics: counts and times of what it answers.
      predictions: gets what it answers; None where nothing is logged.
    """

    def __init__(self, predictor: Predictor, metrics: ShadowMetrics, predictions: PredictionLog | None) -> None:
        self._predictor, self._metrics, self._predictions = predictor, metrics, predictions
        self._queue: asyncio.Queue[_Asked] = asyncio.Queue()
        self._waiting = self._waiting_bytes = 0

    def add(
        self, features: Mapping[str, ModelFeature], question: Question, answered: Sequence[Prediction], request_id: str
    ) -> None:
        """Has the shadow asked the same, if there is one; returns at once.

        Args:
          features: the features for which the rows are encoded.
          question: the rows.
          answered: what the caller gets.
          request_id: the request's id.
        """
        state = self._predictor.traffic.state
        if not state.shadow or state.canary is None:
            return
        rows, size = len(question.rows), sum(_size(value) for row in question.rows for value in row.values())
        if self._waiting and (self._waiting + rows > QUEUE_ROWS or self._waiting_bytes + size > QUEUE_BYTES):
            self._metrics.dropped.inc(rows)
            return
        self._waiting += rows
        self._waiting_bytes += size
        self._queue.put_nowait(_Asked(state.canary, features, question, answered, request_id, size))

    async def run(self) -> None:
        """Asks until it is cancelled."""
        while True:
            asked = await self._queue.get()
            self._waiting -= len(asked.question.rows)
            self._waiting_bytes -= asked.size
            try:
                await self._ask(asked)
            except Exception as error:
                log(logging.ERROR, "asking the shadow failed", failure=error)

    async def _ask(self, asked: _Asked) -> None:
        rows = asked.question.rows
        if self._predictor.traffic.state.canary != asked.version:
            # By its label, another version would answer now.
            return
        try:
            predictions = await self._predictor.shadow.predict(rows, asked.features)
        except UnknownModelError:
            # One that is not loaded yet has not failed.
            self._metrics.dropped.inc(len(rows))
            return
        except ConveyorError as error:
            self._metrics.predictions.labels(self._predictor.model, str(asked.version), "error").inc(len(rows))
            log(logging.WARNING, "the shadow failed", error=error.what)
            return
        if predictions[0].version != asked.version:
            # The rollout has gone on, and this gateway does not know it yet.
            self._metrics.dropped.inc(len(rows))
            return
        self._metrics.count(predictions)
        self._metrics.compare(predictions, asked.answered)
        if self._predictions:
            self._predictions.add(asked.features, asked.question, predictions, asked.request_id, shadow=True)


def _size(value: Any) -> int:
    """The bytes of a value, or of the several that a feature may have."""
    if isinstance(value, (list, tuple)):
        return sum(map(_size, value))
    return len(value) if isinstance(value, (bytes, str)) else _NUMBER_BYTES
