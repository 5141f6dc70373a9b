"""The gateway as a process: start, end, many connections, a full disk."""

from __future__ import annotations

import asyncio
import hashlib
import json
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pyarrow.parquet as pq
import pytest

from tests.fakes.model_server import ModelServer
from tests.fakes.ports import free_port
from tests.fakes.waiting import PATIENCE, wait_until
from tests.integration.serving.gateway.running import ENVIRONMENT, ROW, eventually, gateway
from tests.integration.serving.modelserver.running import is_open

CONVEYOR = Path(sys.executable).with_name("conveyor")
BROKEN_OFF = 'gateway_requests_total{method="POST",route="/v1/predict",status="400"}'
# unshare makes the user root there, who may mount.
NAMESPACE = ("unshare", "--user", "--map-root-user", "--mount")


@pytest.fixture
def slow_server() -> Iterator[ModelServer]:
    """A model server whose answers can be made to take a while."""
    server = ModelServer()
    yield server
    server.stop()


def test_a_request_that_is_under_way_is_answered_and_logged_before_the_end(slow_server: ModelServer, tmp_path: Path) -> None:
    with (
        gateway(tmp_path, slow_server.address("grpc"), log={"folder": "predictions"}) as running,
        ThreadPoolExecutor() as threads,
    ):
        slow_server.seconds = 1.0
        response = threads.submit(running.predict, ROW)
        eventually(lambda: "predict" in slow_server.calls, "the request did not arrive")
        started = time.monotonic()
        running.stop()

        assert response.result().status_code == 200
        assert 0.3 < time.monotonic() - started < PATIENCE
    assert len(pq.read_table(tmp_path / "predictions")) == 1


def test_a_thousand_connections_at_once(slow_server: ModelServer, tmp_path: Path) -> None:
    async def ask(number: int, port: int) -> bytes:
        # By hand: a client that takes long over its thousand connections is taken for one that says nothing.
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        body = json.dumps({"rows": [ROW | {"departure": number}]}).encode()
        writer.write(b"POST /v1/predict HTTP/1.1\r\nHost: x\r\nConnection: close\r\n")
        writer.write(b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        answer = await reader.read()
        writer.close()
        return answer.partition(b"\r\n")[0]

    async def ask_all(port: int) -> Counter[bytes]:
        return Counter(await asyncio.gather(*(ask(number, port) for number in range(1000))))

    with gateway(tmp_path, slow_server.address("grpc"), timeout_seconds=PATIENCE) as running:
        assert asyncio.run(ask_all(httpx.URL(running.url).port or 0)) == {b"HTTP/1.1 200 OK": 1000}
        assert running.sample('gateway_predictions_total{model="flights",outcome="ok",version="3"}') == 1000
        assert running.http.get("/readyz").status_code == 200


def test_a_caller_that_breaks_off_takes_nobody_along(slow_server: ModelServer, tmp_path: Path) -> None:
    with gateway(tmp_path, slow_server.address("grpc")) as running, ThreadPoolExecutor() as threads:
        slow_server.seconds = 0.5
        host, port = running.url.removeprefix("http://").split(":")
        body = json.dumps({"rows": [ROW]}).encode()
        with socket.create_connection((host, int(port))) as broken:
            broken.sendall(b"POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
            responses = [threads.submit(running.predict, ROW) for _ in range(4)]
            eventually(lambda: "predict" in slow_server.calls, "the request did not arrive")
        with socket.create_connection((host, int(port))) as half:
            half.sendall(b"POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")

        assert [response.result().status_code for response in responses] == [200] * 4
        eventually(lambda: running.sample(BROKEN_OFF) == 1, "the end of the connection was not seen")
        assert "Traceback" not in running.log.read_text()


def test_a_full_disk_fails_no_request(slow_server: ModelServer, tmp_path: Path) -> None:
    """The log is on a file system of 64 kB, in a mount namespace of its own."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ("mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder))
    if subprocess.run([*NAMESPACE, *mount], capture_output=True).returncode != 0:
        pytest.skip("this system does not let a user mount a file system in a namespace of its own")
    script = f'{" ".join(mount)} && exec "$@"'
    log = {"folder": str(folder), "flush_seconds": 0.2}
    with gateway(tmp_path, slow_server.address("grpc"), wrap=(*NAMESPACE, "sh", "-c", script, "sh"), log=log) as running:
        rows = [{"carrier": f"carrier number {number}", "distance": number * 1.1} for number in range(1000)]
        sent = 0
        while running.sample("gateway_log_dropped_total") == 0:
            assert running.predict(*rows).status_code == 200
            sent += 1
            assert sent < 200, "the disk does not get full"
            time.sleep(0.1)
        for _ in range(5):
            assert running.predict(*rows).status_code == 200
        running.stop()
        lines = [json.loads(line) for line in running.log.read_text().splitlines()]

    (complaint,) = [line for line in lines if "rows are dropped" in line["event"]]
    assert complaint["level"] == "error"
    assert "No space left on device" in complaint["error"]


def _take_interrupts() -> None:
    """Of what a shell starts in the background, Ctrl-C is ignored, down to its last child."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class TestStart:
    def test_conveyor_gateway_says_where_its_page_is(self, slow_server: ModelServer, tmp_path: Path) -> None:
        (tmp_path / "pipeline.yaml").write_text("name: flights\nlabel: late\ndata: {input: flights.csv}\n")
        port = free_port()
        settings = [f"gateway.port={port}", f"gateway.upstream.stable={slow_server.address('grpc')}"]
        line = [str(CONVEYOR), "gateway", *(part for setting in settings for part in ("--set", setting))]
        with (tmp_path / "output").open("wb") as output:
            process = subprocess.Popen(
                line, cwd=tmp_path, stdout=output, stderr=output, env=ENVIRONMENT, preexec_fn=_take_interrupts
            )
        try:
            wait_until(lambda: is_open(port))
            response = httpx.post(f"http://127.0.0.1:{port}/v1/predict", json={"rows": [ROW]})
            assert response.status_code == 200
            process.send_signal(signal.SIGINT)
            assert process.wait(PATIENCE) == 130
        finally:
            process.kill()
            process.wait()
        text = (tmp_path / "output").read_text()
        assert f"its page is http://127.0.0.1:{port}/docs" in text
        assert "Traceback" not in text
        assert len(pq.read_table(tmp_path / ".conveyor/predictions/flights")) == 1

    def test_a_port_that_is_taken(self, slow_server: ModelServer, tmp_path: Path) -> None:
        (tmp_path / "settings.yaml").write_text(
            f"port: {slow_server.rest_port}\nupstream: {{stable: '{slow_server.address('grpc')}'}}\n"
        )
        line = [sys.executable, "-m", "serving.gateway", "--settings", str(tmp_path / "settings.yaml")]
        done = subprocess.run(line, capture_output=True, text=True, timeout=PATIENCE)

        assert done.returncode == 2
        assert "The gateway cannot listen" in done.stderr
        assert "Address already in use" in done.stderr

    def test_settings_that_are_wrong(self, tmp_path: Path) -> None:
        (tmp_path / "settings.yaml").write_text("prot: 8088\n")
        line = [sys.executable, "-m", "serving.gateway", "--settings", str(tmp_path / "settings.yaml")]
        done = subprocess.run(line, capture_output=True, text=True, timeout=PATIENCE)

        assert done.returncode == 2
        assert "prot: Extra inputs are not permitted" in done.stderr
        assert "Traceback" not in done.stderr

    def test_a_new_key_and_its_hash(self) -> None:
        done = subprocess.run([str(CONVEYOR), "gateway", "key"], capture_output=True, text=True, timeout=PATIENCE, check=True)
        printed = dict(line.split(maxsplit=1) for line in done.stdout.splitlines()[:2])

        assert hashlib.sha256(printed["key"].encode()).hexdigest() == printed["sha256"]
