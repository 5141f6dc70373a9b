"""A model server behind the gateway: the version that plays one role there."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from pipeline.config import Gateway
from pipeline.errors import ConveyorError
from serving.client.address import Address
from serving.client.client import AsyncClient
from serving.client.features import Row
from serving.client.predictions import Prediction
from serving.client.schema import ModelSchema
from serving.errors import RejectedError, UnknownModelError
from serving.gateway.batching import Batcher
from serving.gateway.logs import log
from serving.gateway.metrics import Metrics

Result = TypeVar("Result")

_LOOK_SECONDS = 3.0
"""For a look at the server: one that hangs must not hide a change of the rollout."""


class Upstream:
    """Asks for the version with a label, or, where the server does not know the label (yet), for it by its number."""

    def __init__(self, address: Address, role: str, gateway: Gateway, metrics: Metrics) -> None:
        """Makes no call yet.

        Args:
          address: of the model.
          role: of the version, which is also its label.
          gateway: the settings.
          metrics: what is counted.
        """
        self._timeout, self._metrics = gateway.timeout_seconds, metrics
        self._batcher = Batcher(self._call, gateway.batching.max_rows, gateway.batching.max_wait_ms / 1000)
        self._placed: int | None = None
        self._clients: dict[Address, AsyncClient] = {}
        self.address, self.role = address, role
        self.schema: ModelSchema | None = None
        self.version: int | None = None
        """The one that is expected to answer."""
        self.failure: ConveyorError | None = None
        """Why it did not answer when it was last looked at."""

    def place(self, version: int | None) -> None:
        """Says which version plays the role.

        Args:
          version: by the rollout; None where there is no rollout: then the server chooses.
        """
        if version != self._placed:
            self._placed, self.failure = version, None
            self.version = version or self.version

    async def refresh(self) -> None:
        """Looks whether the server answers, with which version, and what that takes."""
        was_away = self.failure is not None or self.schema is None
        try:
            schema = await self._ask(lambda client: client.schema(timeout=min(self._timeout, _LOOK_SECONDS)))
        except ConveyorError as error:
            if self.failure is None:
                log(logging.WARNING, "the model is away", role=self.role, address=str(self.address), error=error.what)
            self.failure = error
            return
        if was_away or self.schema is None or schema.version != self.schema.version:
            log(logging.INFO, "the model answers", role=self.role, address=str(self.address), version=schema.version)
        self.schema, self.version, self.failure = schema, schema.version, None

    async def predict(self, rows: Sequence[Row]) -> list[Prediction]:
        """The predictions for rows, which may share a call with others.

        Raises:
          ConveyorError: see `serving.client.client.Client.predict`.
        """
        if self.schema:
            # The other version may take more features than this one.
            features = self.schema.features
            rows = [{name: value for name, value in row.items() if name in features} for row in rows]
        return await self._batcher.predict(rows)

    async def versions(self) -> dict[int, str]:
        """The state of each version that the server knows.

        Raises:
          ConveyorError: see `serving.client.client.Client.versions`.
        """
        return await self._client(self.address).versions()

    async def close(self) -> None:
        """Closes the connections."""
        await asyncio.gather(*(client.close() for client in self._clients.values()))

    async def _call(self, rows: Sequence[Row]) -> list[Prediction]:
        predictions = await self._ask(lambda client: client.predict(rows))
        answer = predictions[0]
        self.version = answer.version
        self._metrics.prediction_seconds.labels(answer.model, str(answer.version)).observe(answer.latency)
        return predictions

    async def _ask(self, question: Callable[[AsyncClient], Awaitable[Result]]) -> Result:
        if self._placed is None or self.address.version is not None or self.address.label is not None:
            return await question(self._client(self.address))
        try:
            return await question(self._client(replace(self.address, label=self.role)))
        except (RejectedError, UnknownModelError):
            # To TensorFlow Serving, a label that it does not know is an invalid argument.
            return await question(self._client(replace(self.address, version=self._placed)))

    def _client(self, address: Address) -> AsyncClient:
        if address not in self._clients:
            self._clients[address] = AsyncClient(address, timeout=self._timeout)
        return self._clients[address]
