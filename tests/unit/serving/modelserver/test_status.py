"""What a call ends with: codes of TensorFlow, gRPC and HTTP."""

from __future__ import annotations

import grpc
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import error_codes_pb2

from serving.modelserver.status import StatusError, from_exception, invalid_argument


@pytest.mark.parametrize(
    ("name", "http"),
    [
        ("CANCELLED", 499),
        ("UNKNOWN", 500),
        ("INVALID_ARGUMENT", 400),
        ("DEADLINE_EXCEEDED", 504),
        ("NOT_FOUND", 404),
        ("ALREADY_EXISTS", 409),
        ("PERMISSION_DENIED", 403),
        ("UNAUTHENTICATED", 401),
        ("RESOURCE_EXHAUSTED", 429),
        ("FAILED_PRECONDITION", 400),
        ("ABORTED", 409),
        ("OUT_OF_RANGE", 400),
        ("UNIMPLEMENTED", 501),
        ("INTERNAL", 500),
        ("UNAVAILABLE", 503),
        ("DATA_LOSS", 500),
    ],
)
def test_codes(name: str, http: int) -> None:
    error = StatusError(error_codes_pb2.Code.Value(name), "why")

    assert error.http_code == http
    assert error.grpc_code is grpc.StatusCode[name]
    assert str(error) == f"{name}: why"
    assert (error.to_proto().error_code, error.to_proto().error_message) == (error.code, "why")


def test_what_tensorflow_raises_keeps_its_code_and_loses_where_in_python_it_was() -> None:
    raised = tf.errors.DataLossError(None, None, "broken\n\nOriginal stack trace for 'x':\n  File …")

    assert str(from_exception(raised)) == "DATA_LOSS: broken"


def test_what_nobody_thought_of_is_internal() -> None:
    assert str(from_exception(KeyError("x"))) == "INTERNAL: KeyError: 'x'"


def test_a_status_stays_what_it_is() -> None:
    error = invalid_argument("no")

    assert from_exception(error) is error


@pytest.mark.parametrize("text", ["x" * 1024, "x" * 1025, "ä" * 1000, "\udcff", "\ud800" * 2000, ""])
def test_what_grpc_sends_is_cut_where_tensorflow_serving_cuts_it(text: str) -> None:
    sent = invalid_argument(text).grpc_message.encode()
    whole = text.encode(errors="replace")

    kept, truncated, rest = sent.partition(b"...TRUNCATED")
    assert not rest
    assert bool(truncated) == (len(whole) > 1024)
    assert whole.startswith(kept)
    assert len(kept) in (len(whole), 1023, 1024)


def test_a_lack_of_memory_is_told() -> None:
    assert str(from_exception(MemoryError())) == "RESOURCE_EXHAUSTED: The server has not enough memory for the request."
