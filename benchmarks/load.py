"""Load from ghz (gRPC) and wrk (HTTP): clients that each send the next request as soon as the last one is answered."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from google.protobuf import descriptor_pb2
from google.protobuf.descriptor import FileDescriptor

from pipeline.errors import ConveyorError, UsageError
from serving.protocol import PredictRequest, PredictResponse

_GET = {"ghz": "go install github.com/bojand/ghz/cmd/ghz@v0.93.0", "wrk": "sudo apt-get install wrk"}
_GRACE_SECONDS = 60
# wrk calls `done` at the end. Its own summary is rounded, and leaves out the count of errors if there are none.
_SCRIPT = """\
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
local file = io.open("{body}", "rb")
wrk.body = file:read("*a")
file:close()
function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format('\\n{{"requests": %d, "microseconds": %d, "failures": %d, "p50": %f, "p99": %f}}\\n',
    summary.requests, summary.duration,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout,
    latency:percentile(50), latency:percentile(99)))
end
"""


@dataclass(frozen=True)
class Endpoint:
    """The target of a load, and the request that it gets.

    Attributes:
      server: the server's name in the table.
      protocol: `gRPC`, or the name of a protocol over HTTP.
      address: host:port for gRPC, otherwise a URL.
      body: the request's body, a serialized PredictRequest or JSON.
    """

    server: str
    protocol: str
    address: str
    body: bytes


@dataclass(frozen=True)
class Measurement:
    """The result of a load.

    Attributes:
      requests: how many requests were sent.
      failures: how many of them got an error or no answer.
      per_second: requests per second.
      p50_ms: the median latency in milliseconds.
      p99_ms: the 99th percentile of the latency in milliseconds.
    """

    requests: int
    failures: int
    per_second: float
    p50_ms: float
    p99_ms: float


def require_generators() -> None:
    """Checks that both programs are installed.

    Raises:
      UsageError: a program is missing.
    """
    for program, command in _GET.items():
        if shutil.which(program) is None:
            raise UsageError(
                f"{program} is not on the path.", expected=f"the load generator {program}", fix=f"Run '{command}'."
            )


def grpc_load(endpoint: Endpoint, clients: int, seconds: int) -> Measurement:
    """Calls a model server's Predict over gRPC, each client on its own connection.

    Raises:
      ConveyorError: ghz failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        protoset, body = Path(folder, "protoset"), Path(folder, "body")
        protoset.write_bytes(_protoset())
        body.write_bytes(endpoint.body)
        options = [f"--protoset={protoset}", "--call=tensorflow.serving.PredictionService.Predict", f"--binary-file={body}"]
        load = [f"--concurrency={clients}", f"--connections={clients}", f"--duration={seconds}s", "--duration-stop=ignore"]
        text = _run(["ghz", "--insecure", *options, *load, "--format=json", endpoint.address], seconds)
    report = json.loads(text)
    latencies = {one["percentage"]: one["latency"] / 1e6 for one in report["latencyDistribution"] or ()}
    answered = report["statusCodeDistribution"].get("OK", 0)
    return Measurement(
        requests=report["count"],
        failures=report["count"] - answered,
        per_second=report["rps"],
        p50_ms=latencies.get(50, float("nan")),
        p99_ms=latencies.get(99, float("nan")),
    )


def http_load(endpoint: Endpoint, clients: int, seconds: int) -> Measurement:
    """Posts JSON, each client on its own connection.

    Raises:
      ConveyorError: wrk failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        script, body = Path(folder, "script.lua"), Path(folder, "body")
        script.write_text(_SCRIPT.format(body=body))
        body.write_bytes(endpoint.body)
        load = ["--threads=1", f"--connections={clients}", f"--duration={seconds}s", "--timeout=30s"]
        text = _run(["wrk", *load, f"--script={script}", endpoint.address], seconds)
    report = json.loads(text.strip().splitlines()[-1])
    return Measurement(
        requests=report["requests"],
        failures=report["failures"],
        per_second=report["requests"] / report["microseconds"] * 1e6,
        p50_ms=report["p50"] / 1e3,
        p99_ms=report["p99"] / 1e3,
    )


def _run(command: list[str], seconds: int) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + _GRACE_SECONDS)
    if done.returncode != 0:
        raise ConveyorError(f"{command[0]} failed.", where=" ".join(command), seen=done.stderr.strip() or done.stdout.strip())
    return done.stdout


def _protoset() -> bytes:
    """The descriptors of Predict, which TensorFlow Serving does not publish by reflection."""
    described = descriptor_pb2.FileDescriptorSet()
    file = descriptor_pb2.FileDescriptorProto(name="predict_service.proto", package="tensorflow.serving", syntax="proto3")
    request, response = PredictRequest.DESCRIPTOR, PredictResponse.DESCRIPTOR
    for message in (request, response):
        _add(message.file, described)
    file.dependency.extend(sorted({request.file.name, response.file.name}))
    method = file.service.add(name="PredictionService").method.add(name="Predict")
    method.input_type, method.output_type = f".{request.full_name}", f".{response.full_name}"
    described.file.append(file)
    return bytes(described.SerializeToString())


def _add(file: FileDescriptor, described: descriptor_pb2.FileDescriptorSet) -> None:
    if any(known.name == file.name for known in described.file):
        return
    for dependency in file.dependencies:
        _add(dependency, described)
    file.CopyToProto(described.file.add())
