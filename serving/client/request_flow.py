"""The order of a client's calls and the meaning of their replies, whatever the transport and however it waits."""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from pipeline.errors import ConveyorError
from serving.client.address import Address
from serving.client.features import Columns, ModelFeature, Row, encode_rows
from serving.client.predictions import Answer, Prediction, read_predictions
from serving.client.schema import ModelSchema
from serving.errors import FeatureError, RejectedError, UnknownModelError

Result = TypeVar("Result")
Steps = Generator[Any, Any, Result]
"""Yields calls, is sent their replies or thrown their errors, and returns a result."""


class ServerProtocol(Protocol):
    """Calls and replies in the form of one of TF Serving's interfaces. Only its own transports look into them."""

    names_version: bool
    """Whether an answer names the version that it is from. If not, a version has to be chosen before each call."""

    def schema_call(self) -> Any:
        """The call for the signatures of the model."""

    def read_schema(self, reply: Any) -> ModelSchema:
        """The schema in the reply to it."""

    def versions_call(self) -> Any:
        """The call for the state of every version."""

    def read_versions(self, reply: Any) -> dict[int, str]:
        """The states in the reply to it, such as AVAILABLE, by version."""

    def predict_call(self, schema: ModelSchema, columns: Columns) -> Any:
        """The call for predictions."""

    def read_answer(self, reply: Any, schema: ModelSchema) -> Answer:
        """The answer in the reply to it."""


class RequestFlow:
    """The calls about one model. Threads may share it: each call has steps of its own.

    Args:
      address: the model's address.
      protocol: the form of calls and replies.
      max_rows: the most rows in one call.
    """

    def __init__(self, address: Address, protocol: ServerProtocol, max_rows: int) -> None:
        self._address, self._protocol, self._max_rows = address, protocol, max_rows
        self._schema: ModelSchema | None = None

    def schema(self) -> Steps[ModelSchema]:
        """Steps to the model's schema as it is now."""
        try:
            reply = yield from self._call(self._protocol.schema_call())
        except RejectedError as error:
            # Only the label can be wrong in this call.
            if self._address.label is None:
                raise
            raise (yield from self._explained(error)) from error
        self._schema = self._protocol.read_schema(reply)
        return self._schema

    def versions(self) -> Steps[dict[int, str]]:
        """Steps to the states of the model's versions, such as AVAILABLE."""
        reply = yield from self._call(self._protocol.versions_call())
        return self._protocol.read_versions(reply)

    def predict(self, rows: Sequence[Row], encoded: Mapping[str, ModelFeature] | None) -> Steps[list[Prediction]]:
        """Steps to the predictions for rows; the arguments are those of `encode_rows`."""
        if not rows:
            return []
        schema = self._schema if self._protocol.names_version else None
        schema = schema or (yield from self.schema())
        try:
            return (yield from self._predict_by(schema, rows, encoded))
        except (FeatureError, RejectedError, UnknownModelError):
            # Another version may have taken its place, with other features.
            current = yield from self.schema()
            if current == schema:
                raise
        return (yield from self._predict_by(current, rows, encoded))

    def _predict_by(
        self, schema: ModelSchema, rows: Sequence[Row], encoded: Mapping[str, ModelFeature] | None
    ) -> Steps[list[Prediction]]:
        predictions: list[Prediction] = []
        for start in range(0, len(rows), self._max_rows):
            some = rows[start : start + self._max_rows]
            call = self._protocol.predict_call(schema, encode_rows(some, schema.features, start + 1, encoded))
            started = time.perf_counter()
            answer = self._protocol.read_answer((yield from self._call(call)), schema)
            latency = time.perf_counter() - started
            predictions += read_predictions(answer, len(some), self._address.model, latency)
            if answer.version != schema.version:
                self._schema = None
        return predictions

    def _call(self, call: Any) -> Steps[Any]:
        try:
            return (yield call)
        except UnknownModelError as error:
            raise (yield from self._explained(error)) from error

    def _explained(self, error: ConveyorError) -> Steps[ConveyorError]:
        """The error with the versions that are there instead; unchanged, if the server does not name them."""
        try:
            found = self._protocol.read_versions((yield self._protocol.versions_call()))
        except UnknownModelError:
            found = {}
        except ConveyorError:
            return error
        address, model = self._address, repr(self._address.model)
        if not found:
            return UnknownModelError(
                f"The model server does not know a model {model}.",
                where=str(address),
                expected="the name that the server was started with: for `conveyor serve`, that of the configuration",
                seen=error.seen,
                fix="List the versions that are pushed and served: conveyor models",
            )
        if address.label is not None:
            missing = f"label {address.label!r} of a version that can answer"
        else:
            missing = "version that can answer" if address.version is None else f"version {address.version} that can answer"
        return UnknownModelError(
            f"{model} has no {missing}.",
            where=str(address),
            expected="one of these: " + ", ".join(f"version {each} ({state})" for each, state in sorted(found.items())),
            seen=error.seen,
            fix=f"Ask for one of them, such as {address.model_url}/versions/{max(found)}; conveyor models also lists labels.",
        )
