"""Rows of requests that come at the same time, as one call."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from pipeline.errors import DataError
from serving.client.features import Row
from serving.client.predictions import Prediction

Call = Callable[[Sequence[Row]], Awaitable[list[Prediction]]]
_Waiting = tuple[Sequence[Row], "asyncio.Future[list[Prediction]]"]


class Batcher:
    """Gathers rows while a call is under way, and sends them together.

    The first rows go at once, so a lone caller never waits. It belongs to one event loop.
    """

    def __init__(self, call: Call, max_rows: int, max_wait: float) -> None:
        """Sends nothing yet.

        Args:
          call: asks the model.
          max_rows: of one call.
          max_wait: seconds that rows wait at the most while another call is under way.
        """
        self._call, self._max_rows, self._max_wait = call, max_rows, max_wait
        self._waiting: list[_Waiting] = []
        self._timer: asyncio.TimerHandle | None = None
        self._under_way: set[asyncio.Task[None]] = set()

    async def predict(self, rows: Sequence[Row]) -> list[Prediction]:
        """The predictions for rows; raises what the call raises."""
        if len(rows) >= self._max_rows:
            return await self._call(rows)
        if self._count() + len(rows) > self._max_rows:
            self._send()
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[list[Prediction]] = loop.create_future()
        self._waiting.append((rows, answer))
        if not self._under_way or self._count() == self._max_rows:
            self._send()
        elif self._timer is None:
            self._timer = loop.call_later(self._max_wait, self._send)
        return await answer

    def _count(self) -> int:
        return sum(len(rows) for rows, _ in self._waiting)

    def _send(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        batch, self._waiting = self._waiting, []
        if batch:
            task = asyncio.ensure_future(self._run(batch))
            self._under_way.add(task)
            task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        self._send()

    async def _run(self, batch: Sequence[_Waiting]) -> None:
        try:
            predictions = await self._call([row for rows, _ in batch for row in rows])
        except DataError as error:
            # One request's rows must not spoil the others'.
            if len(batch) > 1:
                await asyncio.gather(*(self._run([waiting]) for waiting in batch))
            else:
                _fail(batch, error)
        except Exception as error:
            _fail(batch, error)
        else:
            start = 0
            for rows, answer in batch:
                if not answer.done():
                    answer.set_result(predictions[start : start + len(rows)])
                start += len(rows)


def _fail(batch: Sequence[_Waiting], error: Exception) -> None:
    for _, answer in batch:
        # Whoever asked may have gone away.
        if not answer.done():
            answer.set_exception(error)
