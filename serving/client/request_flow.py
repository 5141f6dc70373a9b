"""What is asked of a model server, in which order, and what the answers mean; whoever carries them, and however they wait."""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from pipeline.errors import ConveyorError
from serving.client.address import Address
from serving.client.features import Row, Value, encode_rows
from serving.client.predictions import Answer, Prediction, read_predictions
from serving.client.schema import ModelSchema
from serving.errors import FeatureError, RejectedError, UnknownModelError

Result = TypeVar("Result")
Steps = Generator[Any, Any, Result]
"""Yields calls, is sent their replies or thrown their errors, and returns a result."""


class Dialect(Protocol):
    """How a protocol puts calls and replies. Calls and replies are its own: only its carriers look into them."""

    tells_version: bool
    """Whether an answer says which version it is from. If not, a version has to be chosen before each question."""

    def ask_schema(self) -> Any:
        """The call for the signatures of the model."""

    def read_schema(self, reply: Any) -> ModelSchema:
        """What the reply to it says."""

    def ask_versions(self) -> Any:
        """The call for the state of every version."""

    def read_versions(self, reply: Any) -> dict[int, str]:
        """The states, such as AVAILABLE, by version."""

    def ask_answer(self, schema: ModelSchema, columns: Mapping[str, Sequence[Value]]) -> Any:
        """The call for predictions."""

    def read_answer(self, reply: Any, schema: ModelSchema) -> Answer:
        """What the reply to it says."""


class Conversation:
    """With the server of one model. Threads may share it: each call makes steps of its own."""

    def __init__(self, address: Address, dialect: Dialect, max_rows: int) -> None:
        """Asks nothing yet.

        Args:
          address: of the model.
          dialect: of the server.
          max_rows: of one call.
        """
        self._address, self._dialect, self._max_rows = address, dialect, max_rows
        self._schema: ModelSchema | None = None

    def schema(self) -> Steps[ModelSchema]:
        """Steps to the model's schema as it is now."""
        try:
            reply = yield from self._call(self._dialect.ask_schema())
        except RejectedError as error:
            # There is nothing to refuse in the question but the label.
            if self._address.label is None:
                raise
            raise (yield from self._explained(error)) from error
        self._schema = self._dialect.read_schema(reply)
        return self._schema

    def versions(self) -> Steps[dict[int, str]]:
        """Steps to the states of the model's versions, such as AVAILABLE."""
        reply = yield from self._call(self._dialect.ask_versions())
        return self._dialect.read_versions(reply)

    def predict(self, rows: Sequence[Row]) -> Steps[list[Prediction]]:
        """Steps to the predictions for rows."""
        if not rows:
            return []
        schema = self._schema if self._dialect.tells_version else None
        schema = schema or (yield from self.schema())
        try:
            return (yield from self._ask(schema, rows))
        except (FeatureError, RejectedError, UnknownModelError):
            # Another version may have taken its place, with other features.
            current = yield from self.schema()
            if current == schema:
                raise
        return (yield from self._ask(current, rows))

    def _ask(self, schema: ModelSchema, rows: Sequence[Row]) -> Steps[list[Prediction]]:
        predictions: list[Prediction] = []
        for start in range(0, len(rows), self._max_rows):
            some = rows[start : start + self._max_rows]
            call = self._dialect.ask_answer(schema, encode_rows(some, schema.features, first=start + 1))
            started = time.perf_counter()
            answer = self._dialect.read_answer((yield from self._call(call)), schema)
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
        """The error with what is there instead; as it is, if the server does not say."""
        try:
            found = self._dialect.read_versions((yield self._dialect.ask_versions()))
        except UnknownModelError:
            found = {}
        except ConveyorError:
            return error
        address, model = self._address, repr(self._address.model)
        if not found:
            return UnknownModelError(
                f"The model server knows no model {model}.",
                where=str(address),
                expected="the name that the server was started with: by `conveyor serve`, that of the configuration",
                seen=error.seen,
                fix="conveyor models lists what is pushed and served",
            )
        if address.label is not None:
            missing = f"label {address.label!r} of a version that can answer"
        else:
            missing = "version that can answer" if address.version is None else f"version {address.version} that can answer"
        return UnknownModelError(
            f"{model} has no {missing}.",
            where=str(address),
            expected="one of what is there: " + ", ".join(f"version {each} ({state})" for each, state in sorted(found.items())),
            seen=error.seen,
            fix=f"ask for one of them, as {address.model_url}/versions/{max(found)}; conveyor models lists labels, too",
        )
