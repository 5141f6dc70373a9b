"""A model server that runs in this process, or as a program, and how it is asked."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import httpx
from tensorflow_serving.apis import (
    get_model_status_pb2,
    model_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from serving.modelserver.flags import Flags
from serving.modelserver.server import ModelServer
from tests.fakes.ports import free_ports
from tests.fakes.waiting import PATIENCE, wait_until

TIMEOUT = PATIENCE
FAST = {"file_system_poll_wait_seconds": 1, "max_num_load_retries": 0}
"""Flags that make tests wait for less."""


class Running:
    """A model server that answers on two ports of this machine."""

    def __init__(self, port: int, rest_port: int) -> None:
        self.port, self.rest_port = port, rest_port
        self.channel = grpc.insecure_channel(f"localhost:{port}", [("grpc.max_receive_message_length", -1)])
        self.predictions = prediction_service_pb2_grpc.PredictionServiceStub(self.channel)
        self.models = model_service_pb2_grpc.ModelServiceStub(self.channel)
        self.http = httpx.Client(base_url=f"http://localhost:{rest_port}", timeout=TIMEOUT)

    def post(self, path: str, body: Any) -> httpx.Response:
        """Sends JSON (or bytes as they are) to a path behind /v1/models/."""
        if isinstance(body, bytes):
            return self.http.post(f"/v1/models/{path}", content=body)
        return self.http.post(f"/v1/models/{path}", json=body)

    def get(self, path: str) -> httpx.Response:
        """Asks for a path behind /v1/models/."""
        return self.http.get(f"/v1/models/{path}")

    def half_plus(self, x: float, model: str = "half", **choice: Any) -> tuple[float, int]:
        """What write_half_plus' model answers over gRPC, and by which version."""
        spec = model_spec(model, **choice)
        request = predict_pb2.PredictRequest(model_spec=spec)
        request.inputs["x"].dtype = 1
        request.inputs["x"].tensor_shape.dim.add(size=1)
        request.inputs["x"].float_val.append(x)
        response = self.predictions.Predict(request, timeout=TIMEOUT)
        return response.outputs["y"].float_val[0], response.model_spec.version.value

    def states(self, model: str = "half") -> dict[int, str]:
        """The state of each version that the server knows of."""
        request = get_model_status_pb2.GetModelStatusRequest(model_spec=model_pb2.ModelSpec(name=model))
        answer = self.models.GetModelStatus(request, timeout=TIMEOUT)
        names = get_model_status_pb2.ModelVersionStatus.State
        return {each.version: names.Name(each.state) for each in answer.model_version_status}

    def close(self) -> None:
        """Ends the connections."""
        self.channel.close()
        self.http.close()


def model_spec(name: str, version: int | None = None, label: str | None = None, signature: str = "") -> model_pb2.ModelSpec:
    """What a request asks for."""
    spec = model_pb2.ModelSpec(name=name, signature_name=signature)
    if version is not None:
        spec.version.value = version
    if label is not None:
        spec.version_label = label
    return spec


@contextmanager
def serving(**flags: Any) -> Iterator[Running]:
    """A model server in this process; it takes the flags of the program."""
    port, rest_port = free_ports(2)
    server = ModelServer(replace(Flags(port=port, rest_api_port=rest_port, host="127.0.0.1"), **{**FAST, **flags}))
    try:
        server.start()
        running = Running(port, rest_port)
        yield running
        running.close()
    finally:
        server.stop()


@contextmanager
def program(*flags: str, log: Path) -> Iterator[tuple[Running, subprocess.Popen[bytes]]]:
    """`python -m serving.modelserver`, which answers already."""
    port, rest_port = free_ports(2)
    line = [sys.executable, "-m", "serving.modelserver", f"--port={port}", f"--rest_api_port={rest_port}", *flags]
    with log.open("wb") as output:
        process = subprocess.Popen(line, stdout=output, stderr=subprocess.STDOUT)
    running = Running(port, rest_port)
    try:
        wait_until(lambda: process.poll() is not None or is_open(rest_port))
        assert process.poll() is None, log.read_text()
        yield running, process
    finally:
        running.close()
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()


def is_open(port: int) -> bool:
    """Whether something listens on a port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
