"""The gRPC interface: PredictionService, ModelService, health and reflection."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.message import Message
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

from pipeline.errors import ConfigError, UsageError
from serving.modelserver import metrics
from serving.modelserver.flags import Flags
from serving.modelserver.protocol.dataplane import DataPlane, counted
from serving.modelserver.protocol.ports import reserve
from serving.modelserver.status import StatusError, from_exception, invalid_argument
from serving.modelserver.text_protos import SSLConfig, read_text_proto

_LOG = logging.getLogger(__name__)
_PACKAGE = "tensorflow.serving"
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


class _PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    def __init__(self, dataplane: DataPlane) -> None:
        self._dataplane = dataplane

    def Predict(self, request: Any, context: grpc.ServicerContext) -> Message:  # noqa: N802 - of the generated stubs
        return _serve(self._dataplane.predict, request, context, "Predict")

    def Classify(self, request: Any, context: grpc.ServicerContext) -> Message:  # noqa: N802
        return _serve(self._dataplane.classify, request, context, "Classify")

    def Regress(self, request: Any, context: grpc.ServicerContext) -> Message:  # noqa: N802
        return _serve(self._dataplane.regress, request, context, "Regress")

    def MultiInference(self, request: Any, context: grpc.ServicerContext) -> Message:  # noqa: N802
        return _serve(self._dataplane.multi_inference, request, context)

    def GetModelMetadata(self, request: Any, context: grpc.ServicerContext) -> Message:  # noqa: N802
        return _serve(self._dataplane.model_metadata, request, context)


class _ModelService(model_service_pb2_grpc.ModelServiceServicer):
    def __init__(self, dataplane: DataPlane) -> None:
        self._dataplane = dataplane

    def GetModelStatus(self, request: Any, context: grpc.ServicerContext) -> Message:  # noqa: N802
        return _serve(self._dataplane.model_status, request, context)

    def HandleReloadConfigRequest(self, request: Any, context: grpc.ServicerContext) -> Message:  # noqa: N802
        return _serve(self._reload, request, context)

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

    Args:
      flags: the server's flags.
      dataplane: answers the calls.

    Raises:
      UsageError: the port cannot be taken.
      ConfigError: the TLS configuration cannot be read.
    """

    def __init__(self, flags: Flags, dataplane: DataPlane) -> None:
        self._server = grpc.server(
            ThreadPoolExecutor(max(flags.grpc_max_threads, 1), "grpc"),
            options=[
                ("grpc.max_receive_message_length", -1),
                ("grpc.max_send_message_length", -1),
                ("grpc.so_reuseport", 0),
                *_channel_arguments(flags.grpc_channel_arguments),
            ],
        )
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(_PredictionService(dataplane), self._server)
        model_service_pb2_grpc.add_ModelServiceServicer_to_server(_ModelService(dataplane), self._server)
        self._health = health.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        names = [f"{_PACKAGE}.{service}" for service in _SERVICES]
        reflection.enable_server_reflection([*names, health.SERVICE_NAME, reflection.SERVICE_NAME], self._server, _pool())
        self._credentials, self._flags = _credentials(flags), flags
        self._reserved = reserve(flags.host, flags.port, "--port") if flags.port else None

    def start(self) -> None:
        """Begins to answer.

        Raises:
          UsageError: the socket cannot be listened on.
        """
        if self._reserved is not None:
            self._reserved.close()
            self._listen(f"{self._flags.host}:{self._flags.port}")
        if self._flags.grpc_socket_path:
            self._listen(f"unix:{self._flags.grpc_socket_path}")
        self._server.start()
        self._set_health(health_pb2.HealthCheckResponse.SERVING)

    def stop(self, grace_seconds: float) -> None:
        """Takes no more calls, and waits for those that are under way.

        Args:
          grace_seconds: the time after which they are cut off.
        """
        self._set_health(health_pb2.HealthCheckResponse.NOT_SERVING)
        self._server.stop(grace_seconds).wait()
        if self._reserved is not None:
            self._reserved.close()

    def _listen(self, address: str) -> None:
        try:
            if self._credentials is None:
                self._server.add_insecure_port(address)
            else:
                self._server.add_secure_port(address, self._credentials)
        except RuntimeError as error:
            raise UsageError("The gRPC interface cannot be opened.", where=address, seen=str(error)) from error

    def _set_health(self, status: health_pb2.HealthCheckResponse.ServingStatus) -> None:
        for name in (*_HEALTH_NAMES, *(f"{_PACKAGE}.{service}" for service in _SERVICES)):
            self._health.set(name, status)


def _serve(call: Callable[[Any, float | None], Message], request: Any, context: grpc.ServicerContext, api: str = "") -> Message:
    """Answers a call; only those with an `api` count in the metrics, as in TensorFlow Serving."""
    remaining = context.time_remaining()
    deadline = None if remaining is None else time.monotonic() + remaining
    try:
        if not api:
            return call(request, deadline)
        with counted(request.model_spec.name, api, "GRPC"):
            return call(request, deadline)
    except Exception as error:
        failure = from_exception(error)
        if not isinstance(error, StatusError):
            _LOG.exception("A call failed.")
        context.abort(failure.grpc_code, failure.message)
        raise


def _credentials(flags: Flags) -> grpc.ServerCredentials | None:
    if not flags.ssl_config_file:
        return None
    config: Any = read_text_proto(flags.ssl_config_file, SSLConfig)
    return grpc.ssl_server_credentials(
        [(config.server_key.encode(), config.server_cert.encode())],
        config.custom_ca.encode() or None,
        config.client_verify,
    )


def _channel_arguments(text: str) -> list[tuple[str, int | str]]:
    arguments: list[tuple[str, int | str]] = []
    for argument in filter(None, text.split(",")):
        name, separator, value = argument.partition("=")
        if not separator:
            raise ConfigError(
                "An argument of the gRPC server has no value.",
                where="--grpc_channel_arguments",
                expected="name=value, comma-separated",
                seen=argument,
            )
        arguments.append((name, int(value) if value.lstrip("-").isdecimal() else value))
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
