"""A model server for tests: TF Serving's protocols, gRPC and REST, before a model that is a function of Python."""

from __future__ import annotations

import base64
import contextlib
import json
import re
import socket
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
from google.protobuf import json_format
from tensorflow_serving.apis.model_service_pb2_grpc import add_ModelServiceServicer_to_server
from tensorflow_serving.apis.prediction_service_pb2_grpc import add_PredictionServiceServicer_to_server

from pipeline.contracts.model import COLUMNS_SIGNATURE, DIGEST_SIGNATURE, REFERENCE_SIGNATURE
from serving.client import Address
from serving.client.grpc import read_rows, to_tensor
from serving.protocol import (
    GetModelMetadataResponse,
    GetModelStatusResponse,
    ModelSpec,
    PredictResponse,
    SignatureDefMap,
    types_pb2,
)
from tests.fakes.ports import free_port

FEATURES = {"carrier": "DT_STRING", "departure": "DT_INT64", "distance": "DT_FLOAT"}
OUTPUTS = {"labels": ("DT_INT64", 1), "probabilities": ("DT_FLOAT", 2), "score": ("DT_FLOAT", 1)}
_VERSION = r"(/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?"
_PATH = re.compile(rf"/v1/models/(?P<name>[^/:]+){_VERSION}(?P<rest>/metadata|:predict)?")
_HTTP = {grpc.StatusCode.NOT_FOUND: 404, grpc.StatusCode.INVALID_ARGUMENT: 400, grpc.StatusCode.UNAVAILABLE: 503}
_AVAILABLE = 30

Columns = Mapping[str, Sequence[Any]]


def classify(columns: Columns) -> dict[str, list[Any]]:
    """A probability that every feature has a say in; a missing one as well."""
    scores = []
    for carrier, departure, distance in zip(columns["carrier"], columns["departure"], columns["distance"], strict=True):
        known = 0.0 if distance != distance else abs(distance) % 1000 / 2000
        scores.append(known + abs(departure) % 7 / 20 + len(carrier) % 3 / 20)
    return {
        "labels": [int(score > 0.5) for score in scores],
        "probabilities": [share for score in scores for share in (1 - score, score)],
        "score": scores,
    }


class RefusalError(Exception):
    """An answer that is an error."""

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


class ModelServer:
    """Serves one model, `flights`, until it is stopped; what it does can be changed meanwhile."""

    def __init__(self, grpc_port: int = 0, rest_port: int = 0) -> None:
        """Listens on two ports; free ones for 0."""
        self.versions, self.labels = {3: "AVAILABLE"}, {"stable": 3}
        self.features, self.outputs, self.model = dict(FEATURES), dict(OUTPUTS), classify
        # The features of which a row has a list: how many values it has, -1 for any number.
        self.lists: dict[str, int] = {}
        # What a row is compared with to explain it.
        self.references: list[Mapping[str, Any]] = []
        # The model's digest; empty for one that an earlier release has written.
        self.digest = ""
        self.faults: deque[RefusalError] = deque()
        self.seconds = 0.0
        self.calls: list[str] = []
        self.peers: set[str] = set()
        self.received: list[Columns] = []
        self._awake = threading.Event()
        self._grpc = grpc.server(ThreadPoolExecutor(16))
        add_PredictionServiceServicer_to_server(_Predictions(self), self._grpc)
        add_ModelServiceServicer_to_server(_Models(self), self._grpc)
        self.grpc_port = self._grpc.add_insecure_port(f"127.0.0.1:{grpc_port or free_port()}")
        self._grpc.start()
        self._rest = _HttpServer(("127.0.0.1", rest_port or free_port()), _handler(self))
        self.rest_port = self._rest.server_address[1]
        threading.Thread(target=self._rest.serve_forever, args=(0.01,), daemon=True).start()

    def address(self, protocol: str, suffix: str = "") -> str:
        """Of the model, over `grpc` or `rest`."""
        if protocol == "grpc":
            return f"grpc://127.0.0.1:{self.grpc_port}/flights{suffix}"
        return f"http://127.0.0.1:{self.rest_port}/v1/models/flights{suffix}"

    def stop(self) -> None:
        """Breaks what is under way and frees the ports, as the end of a process does."""
        ended = self._grpc.stop(None)
        self._rest.shutdown()
        self._rest.server_close()
        self._rest.cut_off()
        self._awake.set()
        ended.wait()

    def metadata(self, spec: Any) -> GetModelMetadataResponse:
        """As GetModelMetadata answers."""
        version = self._begin("metadata", spec)
        signatures = SignatureDefMap()
        signature = signatures.signature_def[COLUMNS_SIGNATURE]
        for name, dtype in self.features.items():
            signature.inputs[name].dtype = types_pb2.DataType.Value(dtype)
            signature.inputs[name].tensor_shape.dim.add(size=-1)
            if name in self.lists:
                signature.inputs[name].tensor_shape.dim.add(size=self.lists[name])
        for name, (dtype, _) in self.outputs.items():
            signature.outputs[name].dtype = types_pb2.DataType.Value(dtype)
        if self.references:
            signatures.signature_def[REFERENCE_SIGNATURE].inputs["numbers"].dtype = types_pb2.DT_INT64
        if self.digest:
            signatures.signature_def[f"{DIGEST_SIGNATURE}{self.digest}"].CopyFrom(signature)
        response = GetModelMetadataResponse(model_spec=ModelSpec(name="flights"))
        response.model_spec.version.value = version
        response.metadata["signature_def"].Pack(signatures)
        return response

    def status(self, spec: Any) -> GetModelStatusResponse:
        """As GetModelStatus answers."""
        self.calls.append("status")
        if spec.name != "flights":
            raise RefusalError(grpc.StatusCode.NOT_FOUND, f"Could not find any versions of model {spec.name}")
        response = GetModelStatusResponse()
        for number, state in self.versions.items():
            response.model_version_status.add(version=number, state=_AVAILABLE if state == "AVAILABLE" else 50)
        return response

    def predict(self, spec: Any, columns: Columns) -> tuple[int, dict[str, list[Any]]]:
        """The version that answers, and its answer."""
        is_reference = spec.signature_name == REFERENCE_SIGNATURE
        version = self._begin("reference" if is_reference else "predict", spec)
        if is_reference:
            if not self.references:
                raise RefusalError(grpc.StatusCode.INVALID_ARGUMENT, "Serving signature name not found in signature def")
            rows = [json.dumps(self.references[number % len(self.references)]) for number in columns["numbers"]]
            return version, {"rows": rows}
        if self.seconds:
            self._awake.wait(self.seconds)
        if set(columns) != set(self.features):
            raise RefusalError(grpc.StatusCode.INVALID_ARGUMENT, "input size does not match signature")
        self.received.append(columns)
        return version, self.model(columns)

    def _begin(self, call: str, spec: Any) -> int:
        self.calls.append(call)
        if self.faults:
            raise self.faults.popleft()
        if spec.name != "flights":
            raise RefusalError(grpc.StatusCode.NOT_FOUND, f"Servable not found for request: Latest({spec.name})")
        if spec.version_label and spec.version_label not in self.labels:
            raise RefusalError(grpc.StatusCode.INVALID_ARGUMENT, f"Unrecognized servable version label: {spec.version_label}")
        available = [number for number, state in self.versions.items() if state == "AVAILABLE"]
        version = self.labels.get(spec.version_label) or spec.version.value or max(available, default=0)
        if version not in available:
            raise RefusalError(grpc.StatusCode.NOT_FOUND, f"Servable not found for request: Specific(flights, {version})")
        return int(version)


class _HttpServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, *arguments: Any) -> None:
        self._connections: list[Any] = []
        super().__init__(*arguments)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._connections.append(request)
        super().process_request(request, client_address)

    def cut_off(self) -> None:
        """Ends every connection."""
        for connection in self._connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class _Predictions:
    def __init__(self, server: ModelServer) -> None:
        self._server = server

    def Predict(self, request: Any, context: grpc.ServicerContext) -> PredictResponse:  # noqa: N802 - of the protocol
        self._server.peers.add(context.peer())
        columns = {
            name: [row if name in self._server.lists else row[0] for row in read_rows(tensor)]
            for name, tensor in request.inputs.items()
        }
        version, answer = _or_abort(context, lambda: self._server.predict(request.model_spec, columns))
        response = PredictResponse(model_spec=ModelSpec(name="flights"))
        response.model_spec.version.value = version
        for name, values in answer.items():
            dtype, width = ("DT_STRING", 1) if name == "rows" else self._server.outputs[name]
            tensor = to_tensor(dtype, [value.encode() for value in values] if name == "rows" else values)
            tensor.tensor_shape.dim[0].size = len(values) // width
            tensor.tensor_shape.dim.add(size=width)
            response.outputs[name].CopyFrom(tensor)
        return response

    def GetModelMetadata(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        self._server.peers.add(context.peer())
        return _or_abort(context, lambda: self._server.metadata(request.model_spec))

    Classify = Regress = MultiInference = None


class _Models:
    def __init__(self, server: ModelServer) -> None:
        self._server = server

    def GetModelStatus(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        return _or_abort(context, lambda: self._server.status(request.model_spec))

    HandleReloadConfigRequest = None


def _or_abort(context: grpc.ServicerContext, answer: Callable[[], Any]) -> Any:
    try:
        return answer()
    except RefusalError as refusal:
        context.abort(refusal.code, refusal.message)


def _handler(server: ModelServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer(None)

        def do_POST(self) -> None:
            self._answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

        def _answer(self, body: Any) -> None:
            server.peers.add(str(self.client_address))
            path = _PATH.fullmatch(self.path)
            try:
                status, document = 200, self._document(path, body) if path else None
            except RefusalError as refusal:
                status, document = _HTTP.get(refusal.code, 500), {"error": refusal.message}
            content = json.dumps(document).encode() if path else b"Not found"
            self.send_response(status if path else 404)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def _document(self, path: re.Match[str], body: Any) -> Any:
            spec = ModelSpec(name=path["name"], version_label=path["label"], signature_name=(body or {}).get("signature_name"))
            if path["version"]:
                spec.version.value = int(path["version"])
            if path["rest"] == ":predict":
                columns = {name: [_plain(value) for value in values] for name, values in body["inputs"].items()}
                _, answer = server.predict(spec, columns)
                if "rows" in answer:
                    return {"outputs": answer["rows"]}
                return {"outputs": {name: _nested(answer[name], server.outputs[name][1]) for name in answer}}
            if path["rest"] is None:
                return json_format.MessageToDict(server.status(spec), preserving_proto_field_name=True)
            response = server.metadata(spec)
            signatures = SignatureDefMap()
            response.metadata["signature_def"].Unpack(signatures)
            return {
                "model_spec": {"name": "flights", "version": str(response.model_spec.version.value)},
                "metadata": {"signature_def": json_format.MessageToDict(signatures, preserving_proto_field_name=True)},
            }

        def log_message(self, format: str, *args: Any) -> None:
            """Silence."""

    return Handler


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return base64.b64decode(value["b64"])
    return value.encode() if isinstance(value, str) else value


def _nested(values: Sequence[Any], width: int) -> list[list[Any]]:
    return [list(values[start : start + width]) for start in range(0, len(values), width)]


def free_address(protocol: str) -> str:
    """An address where nothing listens."""
    port = free_port()
    text = f"grpc://127.0.0.1:{port}/flights" if protocol == "grpc" else f"http://127.0.0.1:{port}/v1/models/flights"
    return str(Address.parse(text))
