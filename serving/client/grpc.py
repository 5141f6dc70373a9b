"""TF Serving's gRPC interface: its messages, and the transports that carry them."""

from __future__ import annotations

import array
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import grpc

from pipeline.errors import ConveyorError
from serving import tracing
from serving.client import failures
from serving.client.address import Address
from serving.client.features import Columns, Value, Values
from serving.client.predictions import Answer
from serving.client.retry import ATTEMPTS, FIRST_PAUSE, GROWTH, LONGEST_PAUSE, Deadline
from serving.client.schema import ModelSchema, read_schema
from serving.errors import ServingError
from serving.protocol import (
    GetModelMetadataRequest,
    GetModelStatusRequest,
    ModelServiceStub,
    ModelSpec,
    ModelVersionStatus,
    PredictionServiceStub,
    PredictRequest,
    SignatureDefMap,
    TensorProto,
    types_pb2,
)

KEEPALIVE_SECONDS, KEEPALIVE_TIMEOUT_SECONDS = 20.0, 5.0
"""Seconds of silence during a call after which the server is pinged, and seconds that its answer to the ping may take."""

CONNECT_SECONDS = 2.0
"""The most seconds until a server has taken a connection: twice the way there and back, and the patience for a busy machine."""

_RETRIES = {
    "methodConfig": [
        {
            "name": [{}],
            "retryPolicy": {
                "maxAttempts": ATTEMPTS,
                "initialBackoff": f"{FIRST_PAUSE}s",
                "maxBackoff": f"{LONGEST_PAUSE}s",
                "backoffMultiplier": GROWTH,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ]
}
_OPTIONS = (
    ("grpc.enable_retries", 1),
    ("grpc.service_config", json.dumps(_RETRIES)),
    # Otherwise attempts fail by the first one's broken connection for a second, without a try.
    ("grpc.initial_reconnect_backoff_ms", int(1000 * FIRST_PAUSE)),
    ("grpc.max_reconnect_backoff_ms", int(1000 * LONGEST_PAUSE)),
    # To connect; by default it would be twenty times as long.
    ("grpc.min_reconnect_backoff_ms", int(1000 * CONNECT_SECONDS)),
    # A peer that is gone without a word, as after a failure of the network, would be noticed after a quarter of an hour only.
    ("grpc.keepalive_time_ms", int(1000 * KEEPALIVE_SECONDS)),
    ("grpc.keepalive_timeout_ms", int(1000 * KEEPALIVE_TIMEOUT_SECONDS)),
    # For the pings that measure the line: while one is under way, none is sent to keep alive.
    ("grpc.http2.ping_timeout_ms", int(1000 * KEEPALIVE_TIMEOUT_SECONDS)),
    # The number of rows bounds an answer.
    ("grpc.max_receive_message_length", -1),
)

# The field of a TensorProto in which values of a type are, and its type code in `array` where they can be packed.
_FIELDS = {
    "DT_FLOAT": ("float_val", "f"),
    "DT_INT64": ("int64_val", "q"),
    "DT_STRING": ("string_val", ""),
}


@dataclass(frozen=True)
class Call:
    """One call: the service's method by its name, and the request."""

    method: str
    request: Any


class GrpcProtocol:
    """Calls and replies as messages of TF Serving's gRPC services."""

    names_version = True

    def __init__(self, address: Address) -> None:
        self._address = address

    def schema_call(self) -> Call:
        """A call of GetModelMetadata."""
        return Call("GetModelMetadata", GetModelMetadataRequest(model_spec=self._spec(), metadata_field=["signature_def"]))

    def read_schema(self, reply: Any) -> ModelSchema:
        """The schema in its reply."""
        signatures = SignatureDefMap()
        reply.metadata["signature_def"].Unpack(signatures)
        return read_schema(reply.model_spec.version.value, signatures, self._address.model)

    def versions_call(self) -> Call:
        """A call of GetModelStatus."""
        return Call("GetModelStatus", GetModelStatusRequest(model_spec=ModelSpec(name=self._address.model)))

    def read_versions(self, reply: Any) -> dict[int, str]:
        """The states in its reply, by version."""
        return {status.version: ModelVersionStatus.State.Name(status.state) for status in reply.model_version_status}

    def predict_call(self, schema: ModelSchema, columns: Columns) -> Call:
        """A call of Predict, with a tensor for each column."""
        request = PredictRequest(model_spec=self._spec(signature_name=schema.signature))
        for name, values in columns.items():
            request.inputs[name].CopyFrom(to_tensor(schema.features[name].dtype, values))
        return Call("Predict", request)

    def read_answer(self, reply: Any, schema: ModelSchema) -> Answer:
        """The answer in its reply."""
        outputs = {name: read_rows(tensor) for name, tensor in reply.outputs.items()}
        return Answer(reply.model_spec.version.value, outputs)

    def _spec(self, **fields: str) -> Any:
        spec = ModelSpec(name=self._address.model, **fields)
        if self._address.version is not None:
            spec.version.value = self._address.version
        elif self._address.label is not None:
            spec.version_label = self._address.label
        return spec


def to_tensor(dtype: str, values: Sequence[Value] | Sequence[Values]) -> Any:
    """A tensor of shape [len(values)], or of two dimensions for values in lists of the same length.

    Args:
      dtype: TensorFlow's name of its type.
      values: its values.
    """
    tensor = TensorProto(dtype=types_pb2.DataType.Value(dtype))
    tensor.tensor_shape.dim.add(size=len(values))
    field = getattr(tensor, _FIELDS[dtype][0])
    if values and isinstance(values[0], list):
        tensor.tensor_shape.dim.add(size=len(values[0]))
        field.extend(value for row in values for value in row)  # type: ignore[union-attr]
    else:
        field.extend(values)
    return tensor


def read_rows(tensor: Any) -> list[list[Any]]:
    """The values of a tensor of shape [rows] or [rows, values], a list a row.

    Raises:
      ServingError: it has another shape or type.
    """
    dtype = types_pb2.DataType.Name(tensor.dtype)
    shape = [dimension.size for dimension in tensor.tensor_shape.dim]
    if dtype not in _FIELDS or len(shape) not in (1, 2):
        raise ServingError(
            "The model server answered with a tensor that this client does not know.",
            expected="the shape [rows, values] and numbers or strings",
            seen=f"{shape}, {dtype}",
        )
    field, code = _FIELDS[dtype]
    packed = bool(tensor.tensor_content and code)
    values = array.array(code, tensor.tensor_content).tolist() if packed else list(getattr(tensor, field))
    rows, width = shape[0], shape[1] if len(shape) == 2 else 1
    # A TensorProto may leave out values at its end that equal the last one.
    values += values[-1:] * (rows * width - len(values))
    return [values[row * width : (row + 1) * width] for row in range(rows)]


def to_error(error: Any, deadline: Deadline, address: Address) -> ConveyorError:
    """The error that a client raises for a call that failed.

    Args:
      error: gRPC's error, with code and details.
      deadline: the call's deadline.
      address: the model's address.
    """
    code, details = error.code(), str(error.details() or "")
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return deadline.error()
    if code is grpc.StatusCode.UNAVAILABLE:
        return failures.server_away(address, details)
    if code is grpc.StatusCode.NOT_FOUND:
        return failures.not_served(address, details)
    if code in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.OUT_OF_RANGE):
        return failures.refused(address, details)
    if code is grpc.StatusCode.UNIMPLEMENTED:
        return failures.not_a_model_server(address, "TF Serving's PredictionService", details)
    return failures.server_failed(address, f"{code.name}: {details}")


class GrpcTransport:
    """Keeps a channel. gRPC itself tries again where a server is unavailable."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._channel = grpc.insecure_channel(address.server, _OPTIONS)
        self._methods = _methods(self._channel)

    def send(self, call: Call, deadline: Deadline) -> Any:
        """The reply to a call.

        Raises:
          ConveyorError: there is none: the error is that of `to_error`.
        """
        with tracing.client_span(call.method, _attributes(call, self._address)):
            try:
                return self._methods[call.method](call.request, timeout=deadline.remaining(), metadata=_metadata())
            except grpc.RpcError as error:
                raise to_error(error, deadline, self._address) from error

    def close(self) -> None:
        """Closes the channel."""
        self._channel.close()


class AsyncGrpcTransport:
    """`GrpcTransport` for asyncio. The channel belongs to the event loop of the first call."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._channel: Any = None
        self._methods: dict[str, Any] = {}

    async def send(self, call: Call, deadline: Deadline) -> Any:
        """The reply to a call.

        Raises:
          ConveyorError: there is none: the error is that of `to_error`.
        """
        if self._channel is None:
            self._channel = grpc.aio.insecure_channel(self._address.server, _OPTIONS)
            self._methods = _methods(self._channel)
        with tracing.client_span(call.method, _attributes(call, self._address)):
            try:
                return await self._methods[call.method](call.request, timeout=deadline.remaining(), metadata=_metadata())
            except grpc.RpcError as error:
                raise to_error(error, deadline, self._address) from error

    async def close(self) -> None:
        """Closes the channel."""
        if self._channel is not None:
            await self._channel.close()


def _attributes(call: Call, address: Address) -> dict[str, str]:
    return {"rpc.system": "grpc", "rpc.method": call.method, "server.address": address.server}


def _metadata() -> tuple[tuple[str, str], ...] | None:
    return tuple(tracing.headers().items()) or None


def _methods(channel: Any) -> dict[str, Any]:
    predictions, models = PredictionServiceStub(channel), ModelServiceStub(channel)
    return {
        "GetModelMetadata": predictions.GetModelMetadata,
        "Predict": predictions.Predict,
        "GetModelStatus": models.GetModelStatus,
    }
