"""Load by ghz (gRPC) and wrk (HTTP): so many clients, each of which asks again as soon as it is answered."""

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
# What wrk calls at the end; its own summary rounds, and has no count of errors where there are none.
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
    """What is asked.

    Attributes:
      server: its name, for the table.
      protocol: `gRPC`, or what it is asked over HTTP.
      address: host:port for gRPC, otherwise a URL.
      body: of the request: a PredictRequest, or JSON.
    """

    server: str
    protocol: str
    address: str
    body: bytes


@dataclass(frozen=True)
class Measurement:
    """What came of a load.

    Attributes:
      requests: all of them.
      failures: those that were not answered, or with an error.
      per_second: requests in a second.
      p50_ms: the median of the times until the answer.
      p99_ms: what 99 of 100 of them are below.
    """

    requests: int
    failures: int
    per_second: float
    p50_ms: float
    p99_ms: float


def require_generators() -> None:
    """Makes sure that both programs are there.

    Raises:
      UsageError: one is not.
    """
    for program, command in _GET.items():
        if shutil.which(program) is None:
            raise UsageError(f"{program} is not on the path.", expected=f"the load generator {program}", fix=command)


def grpc_load(endpoint: Endpoint, clients: int, seconds: int) -> Measurement:
    """Asks a model server's Predict, each client on a connection of its own.

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
    """Posts JSON, each client on a connection of its own.

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
    """Predict's description, which TensorFlow Serving does not give by reflection."""
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
