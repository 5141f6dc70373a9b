"""Puts the embedded model server, the gateway and, if Docker has it, TensorFlow Serving under load with one model.

    make run
    .venv/bin/python -m benchmarks.serving

The model is the newest one that was pushed, and the rows are those of the newest span. Needs ghz for gRPC and wrk for HTTP
(docs/decisions/006-load-generator.md). Exits with 1 if a request fails or a target is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pyarrow.parquet as pq

from benchmarks.example import CONFIG, newest_version, span_files
from benchmarks.load import Endpoint, Measurement, grpc_load, http_load, require_generators
from pipeline.config import PipelineConfig
from pipeline.config.loading import load_config
from pipeline.errors import ConveyorError, UsageError
from pipeline.util.programs import check_program
from serving.client import Address, Client
from serving.client.features import encode_rows
from serving.client.grpc import GrpcProtocol
from serving.client.rest import RestProtocol
from serving.launch import has_image

CONVEYOR = Path(sys.executable).with_name("conveyor")
CLIENTS, ROWS = (1, 16), (1, 64)
MOST_ADDED_MS, LEAST_GAIN = 5.0, 2.0
"""The targets: the most the gateway may add at p50, and the least factor by which micro-batching raises throughput."""
_START_SECONDS = 180.0

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Case:
    """One measurement: an endpoint, how many clients it has at a time, and how many rows each request has."""

    endpoint: Endpoint
    clients: int
    rows: int


def main() -> int:
    """Measures, prints the table and the targets, and returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", nargs="?", type=Path, default=CONFIG, help="a configuration (default: the example's)")
    parser.add_argument("--seconds", type=int, default=8, help="how long each measurement takes")
    parser.add_argument("--rounds", type=int, default=3, help="how often each measurement is repeated; the table shows medians")
    arguments = parser.parse_args()
    require_generators()
    config = load_config(arguments.config, ())
    with ExitStack() as stack:
        workspace = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="conveyor-benchmark-")))
        version = copy_model(config, newest_version(config), workspace)
        servers = Servers(arguments.config, config, workspace, stack)
        embedded = servers.serve("embedded")
        tensorflow_serving = servers.serve("docker") if has_tensorflow_serving(config) else None
        rows = read_rows(config, embedded.grpc)
        cases = list(servers.cases(embedded, tensorflow_serving, rows))
        print(
            f"{machine()}; {len(cases)} measurements of {arguments.seconds} s, the median of {arguments.rounds}\n", flush=True
        )
        results = measure(cases, arguments.seconds, arguments.rounds)
        print(table(results), flush=True)
        sound = judge(results)
        for endpoint in (embedded_grpc(results), gateway_http(results)):
            version += 1
            sound &= swap(endpoint, config, workspace, version, embedded.grpc, arguments.seconds)
    return 0 if sound else 1


@dataclass(frozen=True)
class ModelServer:
    """A running model server, with the addresses that clients use."""

    name: str
    grpc: str
    rest: str


class Servers:
    """Starts `conveyor serve` and `conveyor gateway` as a user would, in a separate workspace.

    Args:
      path: the configuration file.
      config: the configuration.
      workspace: the servers' workspace.
      stack: ends the servers when it closes.
    """

    def __init__(self, path: Path, config: PipelineConfig, workspace: Path, stack: ExitStack) -> None:
        self._path, self._config, self._workspace, self._stack = path, config, workspace, stack

    def serve(self, engine: str) -> ModelServer:
        """Starts a model server on free ports."""
        grpc_port, rest_port = free_ports(2)
        name = {"embedded": "embedded server", "docker": "TensorFlow Serving"}[engine]
        server = ModelServer(
            name,
            f"grpc://127.0.0.1:{grpc_port}/{self._config.name}",
            f"http://127.0.0.1:{rest_port}/v1/models/{self._config.name}",
        )
        ports = ["--port", str(grpc_port), "--rest-port", str(rest_port)]
        self._start(f"{server.rest}/metadata", "serve", "--engine", engine, *ports)
        return server

    def gateway(self, server: ModelServer, *settings: str) -> str:
        """Starts a gateway in front of a model server and returns the URL for predictions."""
        (port,) = free_ports(1)
        # With its cache, it would answer the repeated rows of this benchmark without calling the model.
        chosen = [f"gateway.port={port}", f"gateway.upstream.stable={server.grpc}", "gateway.cache.rows=0", *settings]
        self._start(f"http://127.0.0.1:{port}/readyz", "gateway", *(part for each in chosen for part in ("--set", each)))
        return f"http://127.0.0.1:{port}/v1/predict"

    def cases(self, embedded: ModelServer, other: ModelServer | None, rows: Rows) -> Iterator[Case]:
        """All measurements, with those to be compared next to each other."""
        gateway = self.gateway(embedded)
        alone = self.gateway(embedded, "gateway.batching.max_rows=1")
        for clients in CLIENTS:
            for count in ROWS:
                some = rows[:count]
                for server in (embedded, other):
                    if server is not None:
                        yield Case(grpc_endpoint(server, some), clients, count)
                        yield Case(rest_endpoint(server, some), clients, count)
                yield Case(gateway_endpoint("gateway", gateway, some), clients, count)
                if count == 1 and clients > 1:
                    yield Case(gateway_endpoint("gateway without micro-batching", alone, some), clients, count)

    def _start(self, url: str, command: str, *arguments: str) -> None:
        """Starts a command and waits until it answers at a URL."""
        settings = ("--set", f"workspace={self._workspace}", "--set", f"push.destination={self._workspace}/models")
        log = self._workspace / f"{command}-{urlsplit(url).port}.log"
        with log.open("wb") as file:
            process = subprocess.Popen([CONVEYOR, command, self._path, *settings, *arguments], stdout=file, stderr=file)
        self._stack.callback(end, process)
        end_time = time.monotonic() + _START_SECONDS
        while not responds(url):
            if process.poll() is not None or time.monotonic() > end_time:
                tail = "\n".join(log.read_text().splitlines()[-15:])
                raise UsageError(f"conveyor {command} does not answer.", where=url, expected="an answer", seen=tail)
            time.sleep(0.2)


def grpc_endpoint(server: ModelServer, rows: Rows) -> Endpoint:
    """A model server's Predict over gRPC, with these rows."""
    address = Address.parse(server.grpc)
    with Client(address) as client:
        schema = client.schema()
    call = GrpcProtocol(address).predict_call(schema, encode_rows(rows, schema.features))
    return Endpoint(server.name, "gRPC", address.server, call.request.SerializeToString())


def rest_endpoint(server: ModelServer, rows: Rows) -> Endpoint:
    """A model server's :predict over REST, with these rows."""
    address = Address.parse(server.rest)
    with Client(address) as client:
        schema = client.schema()
    call = RestProtocol(address).predict_call(schema, encode_rows(rows, schema.features))
    # The URL leaves out the version, so the newest one answers.
    return Endpoint(server.name, "REST", f"{server.rest}:predict", call.body or b"")


def gateway_endpoint(name: str, url: str, rows: Rows) -> Endpoint:
    """The gateway's /v1/predict, with these rows."""
    return Endpoint(name, "HTTP", url, json.dumps({"rows": rows}, default=lambda moment: moment.isoformat()).encode())


def measure(cases: Sequence[Case], seconds: int, rounds: int) -> dict[Case, Measurement]:
    """Measures all cases in turn, several times, so that other load on the machine affects all of them."""
    found: dict[Case, list[Measurement]] = {case: [] for case in cases}
    for _ in range(rounds):
        for case in cases:
            ask(case, 1)
            found[case].append(ask(case, seconds))
    return {case: median(several) for case, several in found.items()}


def ask(case: Case, seconds: int) -> Measurement:
    """Makes one measurement."""
    load = grpc_load if case.endpoint.protocol == "gRPC" else http_load
    return load(case.endpoint, case.clients, seconds)


def median(several: Sequence[Measurement]) -> Measurement:
    """The median of each figure; requests and failures are added up."""
    return Measurement(
        requests=sum(one.requests for one in several),
        failures=sum(one.failures for one in several),
        per_second=statistics.median(one.per_second for one in several),
        p50_ms=statistics.median(one.p50_ms for one in several),
        p99_ms=statistics.median(one.p99_ms for one in several),
    )


def table(results: dict[Case, Measurement]) -> str:
    """The measurements as a Markdown table."""
    lines = [
        "| server | protocol | clients | rows | requests/s | rows/s | p50 | p99 | requests | errors |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for case in sorted(results, key=lambda case: (case.clients, case.rows)):
        one = results[case]
        lines.append(
            f"| {case.endpoint.server} | {case.endpoint.protocol} | {case.clients} | {case.rows} | {one.per_second:,.0f} "
            f"| {one.per_second * case.rows:,.0f} | {one.p50_ms:.1f} ms | {one.p99_ms:.0f} ms "
            f"| {one.requests:,} | {one.failures} |"
        )
    return "\n".join(lines) + "\n"


def judge(results: dict[Case, Measurement]) -> bool:
    """Prints what the gateway adds and what micro-batching gains, and returns whether the targets are met."""

    def find(server: str, protocol: str, clients: int) -> Measurement:
        wanted = (server, protocol, clients, 1)
        return next(
            one
            for case, one in results.items()
            if (case.endpoint.server, case.endpoint.protocol, case.clients, case.rows) == wanted
        )

    added = find("gateway", "HTTP", 1).p50_ms - find("embedded server", "gRPC", 1).p50_ms
    gain = find("gateway", "HTTP", 16).per_second / find("gateway without micro-batching", "HTTP", 16).per_second
    failures = sum(one.failures for one in results.values())
    print(f"The gateway adds {added:.1f} ms at p50 to a call of one row (target: under {MOST_ADDED_MS:g}).")
    print(f"Micro-batching multiplies the throughput of single rows from 16 clients by {gain:.1f} (target: {LEAST_GAIN:g}).")
    print(f"{failures} of {sum(one.requests for one in results.values()):,} requests failed.", flush=True)
    return added < MOST_ADDED_MS and gain >= LEAST_GAIN and not failures


def embedded_grpc(results: dict[Case, Measurement]) -> Endpoint:
    """The embedded server over gRPC, with single rows."""
    return next(case.endpoint for case in results if case.endpoint.protocol == "gRPC" and case.rows == 1)


def gateway_http(results: dict[Case, Measurement]) -> Endpoint:
    """The gateway, with single rows."""
    return next(case.endpoint for case in results if case.endpoint.server == "gateway" and case.rows == 1)


def swap(endpoint: Endpoint, config: PipelineConfig, workspace: Path, version: int, grpc: str, seconds: int) -> bool:
    """Pushes a new version under load; returns whether no request failed and the new version answers at the end."""
    timer = threading.Timer(seconds / 2, copy_model, (config, newest_version(config), workspace, version))
    timer.start()
    one = ask(Case(endpoint, 16, 1), seconds * 2)
    timer.join()
    with Client(grpc) as client:
        serves = client.schema().version
    print(
        f"New version under load from 16 clients, {endpoint.server} over {endpoint.protocol}: {one.failures} of "
        f"{one.requests:,} requests failed, {one.per_second:,.0f} a second, p99 {one.p99_ms:.0f} ms; "
        f"version {serves} answers now.",
        flush=True,
    )
    return not one.failures and serves == version


def has_tensorflow_serving(config: PipelineConfig) -> bool:
    """Whether Docker answers and has the image."""
    return check_program("docker").ok and has_image(config.infra_validator.image)


def copy_model(config: PipelineConfig, model: Path, workspace: Path, version: int = 1) -> int:
    """Adds a version to the served folder in one step, as a push does, and returns its number."""
    folder = workspace / "models"
    folder.mkdir(exist_ok=True)
    shutil.copytree(model, folder / f".{version}")
    (folder / f".{version}").rename(folder / str(version))
    return version


def read_rows(config: PipelineConfig, grpc: str) -> Rows:
    """Rows of the newest span, with only the model's features.

    Raises:
      UsageError: there are too few rows.
    """
    with Client(grpc) as client:
        features = client.schema().features
    files = span_files(config)
    rows = pq.read_table(files[-1]).slice(0, max(ROWS)).to_pylist() if files else []
    if len(rows) < max(ROWS):
        raise UsageError("There are too few rows.", where=config.data.input, expected=f"{max(ROWS)} rows", seen=str(len(rows)))
    return [{name: row[name] for name in features if row.get(name) is not None} for row in rows]


def machine() -> str:
    """The processor, its cores, and the load average before the measurements."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown processor")
    return f"{len(os.sched_getaffinity(0))} cores of {model}, load average before {os.getloadavg()[0]:.1f}"


def free_ports(count: int) -> list[int]:
    """Ports that are free."""
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports: list[int] = [listener.getsockname()[1] for listener in listeners]
    for listener in listeners:
        listener.close()
    return ports


def responds(url: str) -> bool:
    """Whether a GET request succeeds."""
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except (OSError, urllib.error.HTTPError):
        return False


def end(process: subprocess.Popen[bytes]) -> None:
    """Ends a process as Ctrl-C does."""
    process.send_signal(signal.SIGINT)
    process.wait()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except ConveyorError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
