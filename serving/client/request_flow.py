"""The order of a client's calls and the meaning of their replies, whatever the transport and however it waits."""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from pipeline.errors import ConveyorError
from serving.client.address import Address
from serving.client.explanations import REFERENCE_NUMBERS, Walks, read_references, reference_schema
from serving.client.features import Columns, ModelFeature, Row, encode_rows
from serving.client.predictions import Answer, Prediction, read_predictions
from serving.client.schema import ModelSchema
from serving.errors import FeatureError, NotExplainableError, RejectedError, UnknownModelError

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
        self._references: tuple[tuple[int, str] | None, Columns] = None, {}

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

    def predict(
        self, rows: Sequence[Row], encoded: Mapping[str, ModelFeature] | None = None, *, explain: bool = False
    ) -> Steps[list[Prediction]]:
        """Steps to the predictions for rows.

        Args:
          rows: the rows, as `encode_rows` takes them.
          encoded: the features for which they have been encoded already, as `encode_rows` takes them.
          explain: whether predictions come with their explanations.
        """
        if not rows:
            return []
        answer = self._explain_by if explain else self._predict_by
        # An explanation compares with rows that the model carries: those of another with the same number would be wrong.
        schema = self._schema if self._protocol.names_version and not explain else None
        schema = schema or (yield from self.schema())
        try:
            return (yield from answer(schema, rows, encoded))
        except (FeatureError, NotExplainableError, RejectedError, UnknownModelError):
            # Another version may have taken its place, with other features.
            current = yield from self.schema()
            if current == schema:
                raise
        return (yield from answer(current, rows, encoded))

    def _predict_by(
        self, schema: ModelSchema, rows: Sequence[Row], encoded: Mapping[str, ModelFeature] | None
    ) -> Steps[list[Prediction]]:
        predictions: list[Prediction] = []
        for start in range(0, len(rows), self._max_rows):
            some = rows[start : start + self._max_rows]
            columns = encode_rows(some, schema.features, start + 1, encoded)
            predictions += yield from self._predict_part(schema, columns, len(some))
        return predictions

    def _explain_by(
        self, schema: ModelSchema, rows: Sequence[Row], encoded: Mapping[str, ModelFeature] | None
    ) -> Steps[list[Prediction]]:
        explained: list[Prediction] = []
        for number, row in enumerate(rows, start=1):
            columns = encode_rows([row], schema.features, number, encoded)
            walks = Walks(columns, (yield from self._reference_rows(schema)), schema.features)
            predictions: list[Prediction] = []
            for part in walks.columns(self._max_rows):
                num_rows = min(self._max_rows, walks.num_rows - len(predictions))
                predictions += yield from self._predict_part(schema, part, num_rows)
            for one in predictions:
                self._require_version(schema, one.version)
            explained.append(walks.explain(predictions))
        return explained

    def _reference_rows(self, schema: ModelSchema) -> Steps[Columns]:
        """Steps to what a row is compared with, which is asked for once for each model."""
        known, references = self._references
        if known != (schema.version, schema.digest):
            if not schema.is_explainable:
                raise NotExplainableError(
                    f"Version {schema.version} of {self._address.model!r} cannot be explained.",
                    where=str(self._address),
                    expected="a model that carries rows of the training data to compare with",
                    fix="Train a model with training.explainable: true, and push it.",
                )
            question = reference_schema(schema.version)
            reply = yield from self._call(self._protocol.predict_call(question, REFERENCE_NUMBERS))
            answer = self._protocol.read_answer(reply, question)
            self._require_version(schema, answer.version)
            references = read_references(answer, schema.features)
            self._references = (schema.version, schema.digest), references
        return references

    def _require_version(self, schema: ModelSchema, version: int) -> None:
        """Raises an error if another version has answered than the one whose rows are compared."""
        if version != schema.version:
            self._schema = None
            raise UnknownModelError(
                f"Version {schema.version} of {self._address.model!r} was replaced while it was asked.",
                where=str(self._address),
                expected=f"answers of version {schema.version}",
                seen=f"an answer of version {version}",
                fix="Ask again.",
            )

    def _predict_part(self, schema: ModelSchema, columns: Columns, num_rows: int) -> Steps[list[Prediction]]:
        call = self._protocol.predict_call(schema, columns)
        started = time.perf_counter()
        answer = self._protocol.read_answer((yield from self._call(call)), schema)
        latency = time.perf_counter() - started
        is_known = answer.version == schema.version
        if not is_known:
            self._schema = None
        return read_predictions(answer, num_rows, self._address.model, latency, schema.digest if is_known else "")

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
