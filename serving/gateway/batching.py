"""Rows of requests that come at the same time share a call."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from pipeline.errors import DataError
from serving import tracing
from serving.client import ModelFeature, Prediction
from serving.client.features import Row

if TYPE_CHECKING:
    from opentelemetry.context import Context

Features = Mapping[str, ModelFeature]
Call = Callable[[Sequence[Row], Features], Awaitable[list[Prediction]]]


class _Waiting(NamedTuple):
    """The rows of one request, the answer that it waits for, and where it stands in its trace."""

    rows: Sequence[Row]
    answer: asyncio.Future[list[Prediction]]
    place: Context | None


class RequestBatcher:
    """Collects rows while a call is under way, and sends them together.

    The first rows go at once, so a lone caller never waits. A batcher belongs to one event loop.

    Args:
      call: asks the model.
      max_rows: the most rows in one call.
      max_wait: the most seconds that rows wait while another call is under way.
    """

    def __init__(self, call: Call, max_rows: int, max_wait: float) -> None:
        self._call, self._max_rows, self._max_wait = call, max_rows, max_wait
        self._features: Features = {}
        self._waiting: list[_Waiting] = []
        self._timer: asyncio.TimerHandle | None = None
        self._under_way: set[asyncio.Task[None]] = set()

    async def submit(self, rows: Sequence[Row], features: Features) -> list[Prediction]:
        """The predictions for rows; raises what the call raises.

        Args:
          rows: the rows of one request.
          features: the features for which they are encoded; rows that are encoded for others never share a call.
        """
        if len(rows) >= self._max_rows:
            return await self._call(rows, features)
        if features is not self._features or self._count() + len(rows) > self._max_rows:
            self._send()
        self._features = features
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[list[Prediction]] = loop.create_future()
        self._waiting.append(_Waiting(rows, answer, tracing.place()))
        if not self._under_way or self._count() == self._max_rows:
            self._send()
        elif self._timer is None:
            self._timer = loop.call_later(self._max_wait, self._send)
        return await answer

    def _count(self) -> int:
        return sum(len(waiting.rows) for waiting in self._waiting)

    def _send(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        batch, self._waiting = self._waiting, []
        if batch:
            task = asyncio.ensure_future(self._run(batch, self._features))
            self._under_way.add(task)
            task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        self._send()

    async def _run(self, batch: Sequence[_Waiting], features: Features) -> None:
        rows = [row for waiting in batch for row in waiting.rows]
        try:
            with tracing.shared_span("batch", [waiting.place for waiting in batch], {"rows": len(rows)}):
                predictions = await self._call(rows, features)
        except DataError as error:
            # One request's rows must not spoil the others'.
            if len(batch) > 1:
                await asyncio.gather(*(self._run([waiting], features) for waiting in batch))
            else:
                _fail(batch, error)
        except Exception as error:
            _fail(batch, error)
        else:
            start = 0
            for waiting in batch:
                if not waiting.answer.done():
                    waiting.answer.set_result(predictions[start : start + len(waiting.rows)])
                start += len(waiting.rows)


def _fail(batch: Sequence[_Waiting], error: Exception) -> None:
    for waiting in batch:
        # The caller may have gone away.
        if not waiting.answer.done():
            waiting.answer.set_exception(error)
