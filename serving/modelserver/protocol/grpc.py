"""The gRPC interface: PredictionService, ModelService, health and reflection."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from threading import Thread
from typing import Any

import grpc
import grpc.aio
import uvloop
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.message import DecodeError, Message
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    predict_pb2,
    regression_pb2,
)

from pipeline.errors import ConfigError, UsageError
from pipeline.util.hosts import bracketed
from serving import tracing
from serving.modelserver import metrics
from serving.modelserver.flags import Flags
from serving.modelserver.protocol.budget import Budget, Share
from serving.modelserver.protocol.dataplane import DataPlane
from serving.modelserver.protocol.ports import reserve
from serving.modelserver.status import StatusError, deadline_exceeded, from_exception, invalid_argument
from serving.modelserver.text_protos import SSLConfig, read_text_proto

_LOG = logging.getLogger(__name__)
_PACKAGE = "tensorflow.serving"
_MESSAGE_SECONDS = 30.0
"""The most seconds that a call may take to send its message."""
_HURRIED_SECONDS = 1.0
"""The same, while many calls have not sent theirs."""
_MANY = 64
_OPTIONS = {
    "grpc.max_send_message_length": -1,
    "grpc.so_reuseport": 0,
    # Connections that never speak end.
    "grpc.server_handshake_timeout_ms": 10_000,
    # Those whose other end is gone are noticed, and those without calls are closed in good order.
    "grpc.keepalive_time_ms": 60_000,
    "grpc.keepalive_timeout_ms": 20_000,
    "grpc.max_connection_idle_ms": 600_000,
    "grpc.max_concurrent_streams": 1024,
}
# The names that TensorFlow Serving's own health service knows, besides the one of the whole server.
_HEALTH_NAMES = ("", "ModelService", "PredictionService")
# Files and calls as in tensorflow_serving/apis/*_service.proto.
_SERVICES = {
    "PredictionService": {
        "Classify": (classification_pb2.ClassificationRequest, classification_pb2.ClassificationResponse),
        "Regress": (regression_pb2.RegressionRequest, regression_pb2.RegressionResponse),
        "Predict": (predict_pb2.PredictRequest, predict_pb2.PredictResponse),
        "MultiInference": (inference_pb2.MultiInferenceRequest, inference_pb2.MultiInferenceResponse),
        "GetModelMetadata": (
            get_model_metadata_pb2.GetModelMetadataRequest,
            get_model_metadata_pb2.GetModelMetadataResponse,
        ),
    },
    "ModelService": {
        "GetModelStatus": (get_model_status_pb2.GetModelStatusRequest, get_model_status_pb2.GetModelStatusResponse),
        "HandleReloadConfigRequest": (
            model_management_pb2.ReloadConfigRequest,
            model_management_pb2.ReloadConfigResponse,
        ),
    },
}
_COUNTED = ("Predict", "Classify", "Regress")
"""The calls that count in the metrics, as in TensorFlow Serving."""
_TRACED = (*_COUNTED, "MultiInference")
"""The calls that have spans: others come each second from whoever looks after a model."""


class _Calls:
    """The calls of both services: each waits for its message on the event loop, and is answered on a pool of threads.

    A thread for each call from its beginning on would let a few calls that send nothing stop all others.

    Args:
      dataplane: answers the calls.
      workers: the threads.
      budget: the memory of requests under way.
    """

    def __init__(self, dataplane: DataPlane, workers: ThreadPoolExecutor, budget: Budget) -> None:
        self._dataplane, self._workers, self._budget = dataplane, workers, budget
        self._waiting = 0

    def handlers(self) -> list[grpc.GenericRpcHandler]:
        """The handlers of both services."""
        dataplane = self._dataplane
        answers: Mapping[str, Callable[[Any, float | None], Message]] = {
            "Predict": dataplane.predict,
            "Classify": dataplane.classify,
            "Regress": dataplane.regress,
            "MultiInference": dataplane.multi_inference,
            "GetModelMetadata": dataplane.model_metadata,
            "GetModelStatus": dataplane.model_status,
            "HandleReloadConfigRequest": self._reload,
        }
        return [
            grpc.method_handlers_generic_handler(
                f"{_PACKAGE}.{service}",
                {
                    # As a stream of one message: gRPC waits for that of a unary call without a limit.
                    name: grpc.stream_unary_rpc_method_handler(partial(self._serve, name, request, answers[name]))
                    for name, (request, _) in calls.items()
                },
            )
            for service, calls in _SERVICES.items()
        ]

    async def _serve(
        self,
        name: str,
        kind: type[Message],
        answer: Callable[[Any, float | None], Message],
        messages: AsyncIterator[bytes],
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> bytes:
        remaining = context.time_remaining()
        deadline = None if remaining is None else time.monotonic() + remaining
        with self._span(name, context):
            try:
                message = await self._message(messages)
                work = tracing.within(partial(self._answer, name, kind, answer, message, deadline))
                return await asyncio.wrap_future(self._submit(message, work))
            except StatusError as error:
                await context.abort(error.grpc_code, error.grpc_message)
                raise

    @staticmethod
    def _span(name: str, context: grpc.aio.ServicerContext[Any, Any]) -> AbstractContextManager[Any]:
        if name not in _TRACED:
            return nullcontext()
        about = {"rpc.system": "grpc", "rpc.method": name}
        return tracing.server_span(name, lambda: context.invocation_metadata() or (), about)

    async def _message(self, messages: AsyncIterator[bytes]) -> bytes:
        seconds = _MESSAGE_SECONDS if self._waiting < _MANY else _HURRIED_SECONDS
        self._waiting += 1
        try:
            return await asyncio.wait_for(messages.__anext__(), seconds)
        except StopAsyncIteration:
            raise invalid_argument("The call has no message.") from None
        except asyncio.TimeoutError:
            raise deadline_exceeded(f"The call's message did not come within {seconds:g} seconds.") from None
        finally:
            self._waiting -= 1

    def _submit(self, message: bytes, work: Callable[[], bytes]) -> Future[bytes]:
        share = Share(self._budget)
        share.take(len(message))
        future = self._workers.submit(work)
        future.add_done_callback(lambda _: share.give_back())
        return future

    def _answer(
        self,
        name: str,
        kind: type[Message],
        answer: Callable[[Any, float | None], Message],
        message: bytes,
        deadline: float | None,
    ) -> bytes:
        try:
            request: Any = kind.FromString(message)
        except DecodeError as error:
            raise invalid_argument(f"The message is not a {kind.DESCRIPTOR.name}.") from error
        if name not in _COUNTED:
            return _serialized(answer, request, deadline)
        with self._dataplane.counted(request.model_spec.name, name, "GRPC"):
            return _serialized(answer, request, deadline)

    def _reload(
        self, request: model_management_pb2.ReloadConfigRequest, deadline: float | None
    ) -> model_management_pb2.ReloadConfigResponse:
        if request.config.WhichOneof("config") != "model_config_list":
            raise invalid_argument(
                "ServerModelConfig type not supported by HandleReloadConfigRequest. Only ModelConfigList is currently supported"
            )
        before = {name: metrics.counter_value(name) for name in request.metric_names}
        self._dataplane.core.reload(request.config)
        response = model_management_pb2.ReloadConfigResponse()
        response.status.SetInParent()
        for name, value in before.items():
            response.metric.add(name=name, int64_value_increase=metrics.counter_value(name) - value)
        return response


class GrpcServer:
    """The gRPC interface on its port, which is taken at once and answers after `start`.

    It runs on an event loop in a thread of its own, where health checks are answered whatever the other calls do.

    Args:
      flags: the server's flags.
      dataplane: answers the calls.
      budget: the memory of requests under way.

    Raises:
      UsageError: the port cannot be taken.
      ConfigError: the TLS configuration cannot be read.
    """

    def __init__(self, flags: Flags, dataplane: DataPlane, budget: Budget) -> None:
        self._flags, self._credentials = flags, _credentials(flags)
        self._options = {
            "grpc.max_receive_message_length": flags.max_request_bytes,
            **_OPTIONS,
            **_channel_arguments(flags.grpc_channel_arguments),
        }
        self._workers = ThreadPoolExecutor(max(flags.grpc_max_threads, 1), "grpc")
        self._calls = _Calls(dataplane, self._workers, budget)
        self._health = health.aio.HealthServicer()
        self._server: grpc.aio.Server | None = None
        self._loop = uvloop.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name="grpc-server", daemon=True)
        self._reserved = reserve(flags.host, flags.port, "--port") if flags.port else None

    def start(self) -> None:
        """Begins to answer.

        Raises:
          UsageError: the socket cannot be listened on.
        """
        if self._reserved is not None:
            self._reserved.close()
        self._thread.start()
        self._run(self._open())

    def stop(self, grace_seconds: float) -> None:
        """Takes no more calls, and waits for those that are under way.

        Args:
          grace_seconds: the time after which they are cut off.
        """
        if self._reserved is not None:
            self._reserved.close()
        if self._thread.is_alive():
            self._run(self._close(grace_seconds))
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
        self._loop.close()
        self._workers.shutdown(wait=False, cancel_futures=True)

    def _run(self, work: Awaitable[None]) -> None:
        async def run() -> None:
            await work

        asyncio.run_coroutine_threadsafe(run(), self._loop).result()

    async def _open(self) -> None:
        self._server = grpc.aio.server(options=list(self._options.items()))
        self._server.add_generic_rpc_handlers(self._calls.handlers())
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        names = [f"{_PACKAGE}.{service}" for service in _SERVICES]
        reflection.enable_server_reflection([*names, health.SERVICE_NAME, reflection.SERVICE_NAME], self._server, _pool())
        if self._flags.port:
            self._listen(self._server, f"{bracketed(self._flags.host)}:{self._flags.port}")
        if self._flags.grpc_socket_path:
            self._listen(self._server, f"unix:{self._flags.grpc_socket_path}")
        await self._server.start()
        await self._set_health(health_pb2.HealthCheckResponse.SERVING)

    async def _close(self, grace_seconds: float) -> None:
        await self._set_health(health_pb2.HealthCheckResponse.NOT_SERVING)
        if self._server is not None:
            await self._server.stop(grace_seconds)

    def _listen(self, server: grpc.aio.Server, address: str) -> None:
        try:
            if self._credentials is None:
                server.add_insecure_port(address)
            else:
                server.add_secure_port(address, self._credentials)
        except RuntimeError as error:
            raise UsageError("The gRPC interface cannot be opened.", where=address, seen=str(error)) from error

    async def _set_health(self, status: health_pb2.HealthCheckResponse.ServingStatus) -> None:
        for name in (*_HEALTH_NAMES, *(f"{_PACKAGE}.{service}" for service in _SERVICES)):
            await self._health.set(name, status)


def _serialized(answer: Callable[[Any, float | None], Message], request: Any, deadline: float | None) -> bytes:
    """The answer to a call, in bytes; raises nothing but a StatusError."""
    try:
        return answer(request, deadline).SerializeToString()
    except Exception as error:
        if not isinstance(error, StatusError):
            _LOG.exception("A call failed.")
        raise from_exception(error) from error


def _credentials(flags: Flags) -> grpc.ServerCredentials | None:
    if not flags.ssl_config_file:
        return None
    config: Any = read_text_proto(flags.ssl_config_file, SSLConfig)
    if config.client_verify and not config.custom_ca:
        raise ConfigError(
            "Clients are to be verified, but not by whom.",
            where=flags.ssl_config_file,
            expected="custom_ca: the certificate of their authority, beside client_verify",
            fix="Add custom_ca, or leave client_verify out.",
        )
    return grpc.ssl_server_credentials(
        [(config.server_key.encode(), config.server_cert.encode())],
        config.custom_ca.encode() or None,
        config.client_verify,
    )


def _channel_arguments(text: str) -> dict[str, int | str]:
    arguments: dict[str, int | str] = {}
    for argument in filter(None, text.split(",")):
        name, separator, value = argument.partition("=")
        if not separator:
            raise ConfigError(
                "An argument of the gRPC server has no value.",
                where="--grpc_channel_arguments",
                expected="name=value, comma-separated",
                seen=argument,
            )
        arguments[name] = int(value) if value.lstrip("-").isdecimal() else value
    return arguments


def _pool() -> descriptor_pool.DescriptorPool:
    """The default pool with the two services: tensorflow-serving-api's own modules for them fail with today's protobuf."""
    pool = descriptor_pool.Default()
    for service, calls in _SERVICES.items():
        file = descriptor_pb2.FileDescriptorProto(name=f"conveyor/{service}.proto", package=_PACKAGE, syntax="proto3")
        file.dependency.extend(sorted({message.DESCRIPTOR.file.name for pair in calls.values() for message in pair}))
        described = file.service.add(name=service)
        for name, (request, response) in calls.items():
            described.method.add(
                name=name, input_type=f".{request.DESCRIPTOR.full_name}", output_type=f".{response.DESCRIPTOR.full_name}"
            )
        pool.Add(file)
    return pool
