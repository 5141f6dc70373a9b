"""`python -m serving.modelserver`: how it starts, how it ends, and what it withstands."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

from tests.fakes.ports import free_port, free_ports
from tests.fakes.waiting import PATIENCE, wait_until
from tests.integration.serving.modelserver.running import Running, program

SERVER = [sys.executable, "-m", "serving.modelserver"]
CONNECTIONS = 1000


def run(*flags: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*SERVER, *flags], capture_output=True, text=True, timeout=PATIENCE)


def begin(server: Running, threads: ThreadPoolExecutor, count: int) -> tuple[list[Future[Any]], list[Future[Any]]]:
    """Requests over gRPC and over REST to the slow model, which have arrived: they come within a second, and take three."""
    assert server.states() == {1: "AVAILABLE"}
    assert server.get("half").status_code == 200
    over_grpc = [threads.submit(server.half_plus, 0.0) for _ in range(count)]
    over_rest = [threads.submit(server.post, "half:predict", {"instances": [0.0]}) for _ in range(count)]
    time.sleep(1.0)
    return over_grpc, over_rest


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_requests_under_way_finish_when_it_is_told_to_stop(slow: Path, tmp_path: Path, number: signal.Signals) -> None:
    flags = ("--model_name=half", f"--model_base_path={slow}")
    with program(*flags, log=tmp_path / "log") as (server, process), ThreadPoolExecutor() as threads:
        over_grpc, over_rest = begin(server, threads, 3)

        process.send_signal(number)

        assert [answer.result() for answer in over_grpc] == [(2.0, 1)] * 3
        assert [answer.result().json() for answer in over_rest] == [{"predictions": [2.0]}] * 3
        assert process.wait(PATIENCE) == 0
        with pytest.raises(httpx.TransportError):
            server.get("half")
        assert "Traceback" not in (tmp_path / "log").read_text()


def test_a_second_signal_ends_it_at_once(slow: Path, tmp_path: Path) -> None:
    flags = ("--model_name=half", f"--model_base_path={slow}")
    with program(*flags, log=tmp_path / "log") as (server, process), ThreadPoolExecutor() as threads:
        _, (answer,) = begin(server, threads, 1)
        process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        process.send_signal(signal.SIGTERM)

        assert process.wait(PATIENCE) == -signal.SIGTERM
        assert isinstance(answer.exception(), httpx.TransportError)


def test_a_server_that_is_killed_leaves_an_error_that_says_so(slow: Path, tmp_path: Path) -> None:
    flags = ("--model_name=half", f"--model_base_path={slow}")
    with program(*flags, log=tmp_path / "log") as (server, process), ThreadPoolExecutor() as threads:
        (over_grpc,), (over_rest,) = begin(server, threads, 1)

        process.kill()

        error = over_grpc.exception()
        assert isinstance(error, grpc.RpcError)
        assert error.code() is grpc.StatusCode.UNAVAILABLE
        assert isinstance(over_rest.exception(), httpx.TransportError)


def test_a_thousand_connections_at_once(folder: Path, tmp_path: Path) -> None:
    async def ask(x: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        body = b'{"instances": [%d]}' % x
        writer.write(b"POST /v1/models/half:predict HTTP/1.1\r\nHost: x\r\nConnection: close\r\n")
        writer.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        answer = await reader.read()
        writer.close()
        return answer

    async def ask_all(port: int) -> list[bytes]:
        connections = await asyncio.gather(*(asyncio.open_connection("127.0.0.1", port) for _ in range(CONNECTIONS)))
        return await asyncio.gather(*(ask(x, *connection) for x, connection in enumerate(connections)))

    with program("--model_name=half", f"--model_base_path={folder / 'half'}", log=tmp_path / "log") as (server, process):
        answers = asyncio.run(ask_all(server.rest_port))
        threads = int(re.search(r"Threads:\t(\d+)", Path(f"/proc/{process.pid}/status").read_text())[1])

    for x, answer in enumerate(answers):
        assert answer.startswith(b"HTTP/1.1 200 OK")
        assert json.loads(answer.partition(b"\r\n\r\n")[2]) == {"predictions": [x / 2 + 3]}
    assert threads < 100


def test_it_waits_for_the_first_version(tmp_path: Path, folder: Path) -> None:
    base = tmp_path / "half"
    base.mkdir()
    port, rest_port = free_ports(2)
    flags = [f"--port={port}", f"--rest_api_port={rest_port}", "--model_name=half", f"--model_base_path={base}"]
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = subprocess.Popen([*SERVER, *flags], stdout=output, stderr=subprocess.STDOUT)
    try:
        wait_until(lambda: "No versions of servable half found under base path" in log.read_text())
        (base / "1").symlink_to(folder / "half" / "1")
        server = Running(port, rest_port)
        wait_until(lambda: _answers(server))
        process.terminate()
        assert process.wait(PATIENCE) == 0
    finally:
        process.kill()
        process.wait()


def _answers(server: Running) -> bool:
    try:
        return server.get("half").is_success
    except httpx.TransportError:
        return False


def test_it_can_be_stopped_while_it_waits(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*SERVER, f"--port={free_port()}", f"--model_base_path={tmp_path}"], stdout=output, stderr=subprocess.STDOUT
        )
    try:
        wait_until(lambda: "No versions of servable" in log.read_text())
        process.terminate()
        assert process.wait(PATIENCE) == 0
    finally:
        process.kill()
        process.wait()


def test_a_port_that_is_used_is_told(folder: Path) -> None:
    with socket.socket() as used:
        used.bind(("127.0.0.1", 0))
        used.listen()
        taken, free = used.getsockname()[1], free_port()
        for flags in ((f"--port={taken}",), (f"--port={free}", f"--rest_api_port={taken}")):
            ended = run(*flags, "--host=127.0.0.1", f"--model_base_path={folder / 'half'}")

            assert ended.returncode == 2
            assert f"Port {taken} cannot be opened." in ended.stderr
            assert "Traceback" not in ended.stderr


def test_what_cannot_be_served_is_told(tmp_path: Path) -> None:
    ended = run(f"--port={free_port()}", f"--model_config_file={tmp_path}/models.config")
    assert ended.returncode == 2
    assert f"{tmp_path}/models.config" in ended.stderr

    ended = run(f"--port={free_port()}", "--model_base_path=relative")
    assert ended.returncode == 1
    assert "Failed to start server. Error: INVALID_ARGUMENT: Expected model default to have an absolute path" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_flags_without_a_meaning_here_are_told_of(folder: Path, tmp_path: Path) -> None:
    flags = (f"--model_base_path={folder / 'keras'}", "--flush_filesystem_caches=false", "--prefer_tflite_model")

    with program(*flags, log=tmp_path / "log"):
        text = (tmp_path / "log").read_text()

    assert "--flush_filesystem_caches has no meaning here and is ignored." in text
    assert "--prefer_tflite_model has no meaning here and is ignored." in text


def test_a_socket_besides_the_port(folder: Path, tmp_path: Path) -> None:
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    flags = (f"--model_base_path={folder / 'keras'}", f"--grpc_socket_path={tmp_path}/socket")
    with program(*flags, log=tmp_path / "log"), grpc.insecure_channel(f"unix:{tmp_path}/socket") as channel:
        answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=20)

    assert answer.status == health_pb2.HealthCheckResponse.SERVING
