"""`conveyor serve`, as a person sees it."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import httpx
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from pipeline.contracts import signature
from pipeline.util import checkout
from tests.fakes.ports import free_ports
from tests.fakes.waiting import PATIENCE, wait_until
from tests.integration.conftest import CONFIG, CONVEYOR
from tests.integration.serving.modelserver.running import Running
from tests.integration.serving.modelserver.test_versions import corrupt_graph, models_config, push
from tests.integration.serving.saved_models import write_half_plus

IMAGE = "tensorflow/serving:2.20.0"


@dataclass
class Shell:
    """A folder with a pushed model, in which `conveyor serve` is started."""

    folder: Path
    environment: dict[str, str] = field(default_factory=lambda: {**os.environ, "PYTHON": sys.executable})

    @property
    def models(self) -> Path:
        return self.folder / ".conveyor" / "models" / "flights"

    @property
    def printed(self) -> str:
        return (self.folder / "printed").read_text()

    @contextmanager
    def serve(self, *options: str) -> Iterator[tuple[Running, subprocess.Popen[bytes]]]:
        """`conveyor serve` in the background."""
        port, rest_port = free_ports(2)
        line = [str(CONVEYOR), "serve", str(CONFIG), f"--port={port}", f"--rest-port={rest_port}", *options]
        with (self.folder / "printed").open("wb") as output:
            process = subprocess.Popen(line, cwd=self.folder, stdout=output, stderr=subprocess.STDOUT, env=self.environment)
        running = Running(port, rest_port)
        try:
            yield running, process
        finally:
            running.close()
            process.terminate()
            process.wait(PATIENCE)

    def wait_for(self, text: str) -> None:
        """Waits until a text has been printed."""
        wait_until(lambda: text in self.printed)


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """With version 1."""
    shell = Shell(tmp_path)
    write_half_plus(shell.models / "1", 1.0)
    return shell


@pytest.fixture
def docker(shell: Shell) -> Path:
    """A folder with a Docker engine that has no image and can fetch none; it is on the shell's path."""
    folder = shell.folder / "bin"
    folder.mkdir()
    shutil.copy(checkout.ROOT / "tests" / "fakes" / "docker.sh", folder / "docker")
    for name in ("images", "registry", "calls"):
        (folder / name).touch()
    shell.environment["PATH"] = f"{folder}:/usr/bin:/bin"
    return folder


def test_it_serves_tells_where_and_ends_in_good_order(shell: Shell) -> None:
    with shell.serve("--engine=embedded") as (server, process):
        shell.wait_for("  or: curl")

        assert "Serving flights with the embedded model server" in shell.printed
        assert f"grpc://localhost:{server.port}/flights" in shell.printed.partition("version 1 answers")[2]
        assert f"http://localhost:{server.rest_port}/v1/models/flights" in shell.printed
        assert "version 1 answers" in shell.printed
        assert "Next: conveyor predict" in shell.printed
        advice = re.search(r"or: (curl .*)", shell.printed)[1]
        assert subprocess.run(advice.replace("curl", "curl -fsS"), shell=True, capture_output=True).returncode == 0
        assert server.half_plus(0.0, "flights") == (1.0, 1)
        metrics = re.search(r"Metrics +(\S+)", shell.printed)[1]
        assert "request_count" in httpx.get(metrics).text

        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 0
        assert shell.printed.endswith("Stopping: requests under way are finished first.\n")
        with pytest.raises(httpx.TransportError):
            server.get("flights")


def test_a_second_server_is_refused_while_the_ports_are_used(shell: Shell) -> None:
    with shell.serve("--engine=embedded") as (server, _):
        shell.wait_for("answers")
        line = [str(CONVEYOR), "serve", str(CONFIG), f"--port={server.port}", "--engine=embedded"]
        second = subprocess.run(line, cwd=shell.folder, capture_output=True, text=True, timeout=PATIENCE)

    assert second.returncode == 2
    assert f"Port {server.port} cannot be used." in second.stderr


def test_versions_are_shown_as_they_come_and_go(shell: Shell) -> None:
    with shell.serve("--engine=embedded") as (server, _):
        shell.wait_for("version 1 answers")
        push(shell.models, 2)
        shell.wait_for("version 2 answers")
        shell.wait_for("version 1 is unloaded")
        corrupt_graph(write_half_plus(shell.folder / "broken"))
        (shell.folder / "broken").rename(shell.models / "3")
        shell.wait_for("version 3 cannot be loaded: ")

        assert server.half_plus(0.0, "flights") == (2.0, 2)


def test_with_a_key_only_what_it_has_signed_is_loaded(shell: Shell) -> None:
    private, other = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    form = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    (shell.folder / "public.pem").write_bytes(private.public_key().public_bytes(*form))
    signature.sign(shell.models / "1", "flights", private)
    with shell.serve("--engine=auto", f"--set=push.public_key={shell.folder}/public.pem") as (server, _):
        shell.wait_for("version 1 answers")
        assert "the embedded model server: TensorFlow Serving verifies no signatures" in shell.printed

        push(shell.models, 2)
        shell.wait_for(f"version 2 cannot be loaded: The model is not signed. {shell.models}/2/model.sig")

        foreign = write_half_plus(shell.folder / "foreign", 3.0)
        signature.sign(foreign, "flights", other)
        foreign.rename(shell.models / "3")
        shell.wait_for("version 3 cannot be loaded: The model is signed by another key.")

        changed = write_half_plus(shell.folder / "changed", 4.0)
        signature.sign(changed, "flights", private)
        content = (changed / "saved_model.pb").read_bytes()
        (changed / "saved_model.pb").write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        changed.rename(shell.models / "4")
        shell.wait_for("version 4 cannot be loaded: A file of the model is not the one that was signed.")
        assert f"{shell.models}/4/saved_model.pb: expected the SHA-256" in shell.printed
        assert server.half_plus(0.0, "flights") == (1.0, 1)

        (shell.models / "4" / "saved_model.pb").write_bytes(content)
        shell.wait_for("version 4 answers")
        assert server.half_plus(0.0, "flights") == (4.0, 4)


def test_a_rollout_is_followed_also_when_it_begins_later(shell: Shell) -> None:
    file = shell.folder / ".conveyor" / "serving" / "flights" / "models.config"
    with shell.serve("--engine=embedded") as (server, _):
        shell.wait_for("version 1 answers")
        push(shell.models, 2)
        shell.wait_for("version 2 answers")
        text = models_config(shell.models, "specific { versions: 1 versions: 2 }", stable=1, canary=2)
        partial = file.with_suffix(".partial")
        partial.write_text(text.replace('"half"', '"flights"'))
        partial.replace(file)

        wait_until(lambda: _labelled(server, "stable") == 1)
        assert _labelled(server, "canary") == 2


def _labelled(server: Running, label: str) -> int | None:
    try:
        return server.half_plus(0.0, "flights", label=label)[1]
    except grpc.RpcError:
        return None


def test_a_version_that_is_asked_for_is_the_only_one(shell: Shell) -> None:
    push(shell.models, 2)
    with shell.serve("--engine=embedded", "--version=1") as (server, _):
        shell.wait_for("version 1 answers")

        assert server.states("flights") == {1: "AVAILABLE"}


def test_a_server_that_cannot_start_is_told_of(shell: Shell) -> None:
    corrupt_graph(shell.models / "1")

    with shell.serve("--engine=embedded") as (_, process):
        assert process.wait(PATIENCE) == 1

    assert "The model server has ended with status 1." in shell.printed
    assert "Failed to start server." in shell.printed
    assert "server-" in shell.printed


def test_tensorflow_serving_in_docker_where_an_engine_has_the_image(shell: Shell, docker: Path) -> None:
    (docker / "images").write_text(f"{IMAGE}\n")

    with shell.serve() as (server, _):
        shell.wait_for("version 1 answers")
        assert server.half_plus(0.0, "flights") == (1.0, 1)

    assert f"Serving flights with TensorFlow Serving in Docker, {IMAGE}" in shell.printed
    (run,) = (line for line in (docker / "calls").read_text().splitlines() if line.startswith("run "))
    assert f"--publish 127.0.0.1:{server.port}:{server.port}" in run
    assert f"type=bind,source={shell.models},target={shell.models},readonly" in run
    assert f"--entrypoint tensorflow_model_server {IMAGE} --port={server.port}" in run


def test_an_image_that_can_be_fetched_is_fetched(shell: Shell, docker: Path) -> None:
    (docker / "registry").write_text(f"{IMAGE}\n")

    with shell.serve():
        shell.wait_for("Serving flights with TensorFlow Serving in Docker")

    assert f"pull {IMAGE}" in (docker / "calls").read_text()


def test_the_embedded_server_where_the_image_cannot_be_had(shell: Shell, docker: Path) -> None:
    with shell.serve():
        shell.wait_for(f"Serving flights with the embedded model server: Docker cannot fetch {IMAGE}")

    with shell.serve("--engine=docker") as (_, process):
        assert process.wait(PATIENCE) == 2
    assert "The image of TensorFlow Serving is missing and cannot be fetched." in shell.printed
