"""A model server behind the gateway, asked for the version that plays one role."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from pipeline.config import Gateway
from pipeline.errors import ConveyorError
from serving.client import NOT_FINITE, Address, AsyncClient, ModelFeature, ModelSchema, Prediction
from serving.client.features import Row
from serving.errors import RejectedError, ServingError, UnknownModelError
from serving.gateway.answers import Served
from serving.gateway.batching import RequestBatcher
from serving.gateway.logs import log
from serving.gateway.metrics import AnswerMetrics

Result = TypeVar("Result")

_LOOK_SECONDS = 3.0
"""The maximum number of seconds for a look at the server: one that hangs must not hide a change of the rollout."""


class Upstream:
    """The version of a role at a model server, asked for by its label, or by its number where the server lacks the label.

    Args:
      address: the model's address.
      role: the version's role, which is also its label.
      gateway: the settings.
      metrics: counts and times.
    """

    def __init__(self, address: Address, role: str, gateway: Gateway, metrics: AnswerMetrics) -> None:
        self._timeout, self._metrics = gateway.timeout_seconds, metrics
        self._batcher = RequestBatcher(self._predict_batch, gateway.batching.max_rows, gateway.batching.max_wait_ms / 1000)
        self._placed: int | None = None
        self._clients: dict[Address, AsyncClient] = {}
        self.address, self.role = address, role
        self.schema: ModelSchema | None = None
        self.version: int | None = None
        """The version that is expected to answer."""
        self.failure: ConveyorError | None = None
        """The reason why it did not answer the last look."""

    def place(self, version: int | None) -> None:
        """Sets the version that plays the role.

        Args:
          version: the version that the rollout says; None without a rollout: then the server chooses.
        """
        if version != self._placed:
            self._placed, self.failure = version, None
            self.version = version or self.version

    @property
    def served(self) -> Served | None:
        """The model that is expected to answer; None while that is not known."""
        if self.schema is None or self.schema.version != self.version:
            return None
        return Served(self.address.model, self.schema.version, self.schema.digest)

    async def refresh(self) -> None:
        """Finds out whether the server answers, with which version, and which features that version takes."""
        was_away = self.failure is not None or self.schema is None
        try:
            schema = await self._call(lambda client: client.schema(timeout=self._look_timeout))
        except ConveyorError as error:
            if self.failure is None:
                log(logging.WARNING, "the model is away", role=self.role, address=str(self.address), error=error.what)
            self.failure = error
            return
        if was_away or self.schema is None or schema.version != self.schema.version:
            log(logging.INFO, "the model answers", role=self.role, address=str(self.address), version=schema.version)
        if self.schema and schema.version == self.schema.version and schema.digest != self.schema.digest:
            log(logging.WARNING, "another model has the number of the version: it is counted anew", version=schema.version)
            self._metrics.forget(self.address.model, schema.version)
        self.schema, self.version, self.failure = schema, schema.version, None

    async def predict(self, rows: Sequence[Row], features: Mapping[str, ModelFeature]) -> list[Prediction]:
        """The predictions for rows, which may share a call with others.

        Args:
          rows: the rows, encoded.
          features: the features for which they are encoded. The other version may take more features than this one.

        Raises:
          ConveyorError: the errors are those of `serving.client.Client.predict`, and that an answer is no finite number.
        """
        return self._finite(await self._batcher.submit(rows, features))

    async def explain(self, rows: Sequence[Row], features: Mapping[str, ModelFeature]) -> list[Prediction]:
        """The predictions for rows with explanations, in calls of their own; arguments and errors are those of `predict`."""
        explained = await self._call(lambda client: client.predict(rows, encoded=features, explain=True))
        self.version = explained[0].version
        return self._finite(explained)

    async def versions(self) -> dict[int, str]:
        """The state of each version that the server knows.

        Raises:
          ConveyorError: the errors are those of `serving.client.Client.versions`.
        """
        return await self._client(self.address).versions(timeout=self._look_timeout)

    @property
    def _look_timeout(self) -> float:
        return min(self._timeout, _LOOK_SECONDS)

    async def close(self) -> None:
        """Closes the connections."""
        await asyncio.gather(*(client.close() for client in self._clients.values()))

    async def _predict_batch(self, rows: Sequence[Row], features: Mapping[str, ModelFeature]) -> list[Prediction]:
        predictions = await self._call(lambda client: client.predict(rows, encoded=features))
        answer = predictions[0]
        self.version = answer.version
        self._metrics.prediction_seconds.labels(answer.model, str(answer.version)).observe(answer.latency)
        return predictions

    def _finite(self, predictions: list[Prediction]) -> list[Prediction]:
        if all(prediction.is_finite for prediction in predictions):
            return predictions
        raise ServingError(NOT_FINITE, where=f"{self.address}, version {predictions[0].version}")

    async def _call(self, question: Callable[[AsyncClient], Awaitable[Result]]) -> Result:
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
