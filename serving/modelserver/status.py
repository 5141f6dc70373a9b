"""The outcome of a call that failed: one of gRPC's status codes, and a message."""

from __future__ import annotations

import grpc
import tensorflow as tf
from tensorflow.core.protobuf import error_codes_pb2
from tensorflow_serving.apis import status_pb2

# As tensorflow_serving/model_servers/http_server.cc has them.
_HTTP_CODES = {
    error_codes_pb2.OK: 200,
    error_codes_pb2.CANCELLED: 499,
    error_codes_pb2.INVALID_ARGUMENT: 400,
    error_codes_pb2.DEADLINE_EXCEEDED: 504,
    error_codes_pb2.NOT_FOUND: 404,
    error_codes_pb2.ALREADY_EXISTS: 409,
    error_codes_pb2.PERMISSION_DENIED: 403,
    error_codes_pb2.RESOURCE_EXHAUSTED: 429,
    error_codes_pb2.FAILED_PRECONDITION: 400,
    error_codes_pb2.ABORTED: 409,
    error_codes_pb2.OUT_OF_RANGE: 400,
    error_codes_pb2.UNIMPLEMENTED: 501,
    error_codes_pb2.UNAVAILABLE: 503,
    error_codes_pb2.UNAUTHENTICATED: 401,
}
# As tensorflow_serving/model_servers/grpc_status_util.cc has it: longer ones would not fit into gRPC's metadata.
_MAX_GRPC_MESSAGE_BYTES = 1024
_GRPC_CODES = {code.value[0]: code for code in grpc.StatusCode}


class StatusError(Exception):
    """A call that failed.

    Attributes:
      code: a code of tensorflow.error.Code, whose numbers are gRPC's.
      message: the description.
    """

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message

    def __str__(self) -> str:
        return f"{self.name}: {self.message}"

    @property
    def name(self) -> str:
        """The code's name, such as INVALID_ARGUMENT."""
        return str(error_codes_pb2.Code.Name(self.code))

    @property
    def http_code(self) -> int:
        """The HTTP status code that TensorFlow Serving answers with."""
        return _HTTP_CODES.get(self.code, 500)

    @property
    def grpc_code(self) -> grpc.StatusCode:
        """The code as gRPC's enumeration has it."""
        return _GRPC_CODES.get(self.code, grpc.StatusCode.UNKNOWN)

    @property
    def grpc_message(self) -> str:
        """The message as gRPC can send it, cut off where TensorFlow Serving does."""
        whole = self.message.encode(errors="replace")
        kept = whole[:_MAX_GRPC_MESSAGE_BYTES].decode(errors="ignore")
        return kept if len(whole) <= _MAX_GRPC_MESSAGE_BYTES else f"{kept}...TRUNCATED"

    def to_proto(self) -> status_pb2.StatusProto:
        """The code and message as responses hold them."""
        return status_pb2.StatusProto(error_code=self.code, error_message=self.message)


def invalid_argument(message: str) -> StatusError:
    """The caller sent a wrong request."""
    return StatusError(error_codes_pb2.INVALID_ARGUMENT, message)


def not_found(message: str) -> StatusError:
    """Nothing has that name."""
    return StatusError(error_codes_pb2.NOT_FOUND, message)


def failed_precondition(message: str) -> StatusError:
    """The call is right, but not in the state that the server is in."""
    return StatusError(error_codes_pb2.FAILED_PRECONDITION, message)


def unavailable(message: str) -> StatusError:
    """The server cannot take the call now; a client may try again."""
    return StatusError(error_codes_pb2.UNAVAILABLE, message)


def deadline_exceeded(message: str) -> StatusError:
    """The answer was not there in time."""
    return StatusError(error_codes_pb2.DEADLINE_EXCEEDED, message)


def unimplemented(message: str) -> StatusError:
    """The server cannot do this."""
    return StatusError(error_codes_pb2.UNIMPLEMENTED, message)


def from_exception(error: BaseException) -> StatusError:
    """The status for an exception: TensorFlow's own code where it has one, otherwise INTERNAL."""
    if isinstance(error, StatusError):
        return error
    if isinstance(error, tf.errors.OpError):
        # Python's sessions add where the operation was made, which is in this server, not in the model.
        return StatusError(error.error_code, error.message.partition("\n\nOriginal stack trace")[0].strip())
    if isinstance(error, MemoryError):
        return StatusError(error_codes_pb2.RESOURCE_EXHAUSTED, "The server has not enough memory for the request.")
    return StatusError(error_codes_pb2.INTERNAL, f"{type(error).__name__}: {error}")
