"""`conveyor serve`: what is refused before anything is started."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from pipeline.cli import main as command_line
from pipeline.util import checkout
from serving.rollout import RolloutState
from tests.fakes.ports import free_port

CONFIG = checkout.ROOT / "examples" / "flights" / "pipeline.yaml"


@pytest.fixture
def serve(capsys, monkeypatch, tmp_path):
    """Runs the command in a fresh folder; returns its exit code and what it printed on stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))

    def _serve(*options: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as ended:
            command_line.main(["serve", str(CONFIG), *options])
        return int(ended.value.code or 0), capsys.readouterr().err

    return _serve


@pytest.fixture
def pushed(tmp_path: Path) -> Path:
    """The folder of a version that looks whole."""
    version = tmp_path / ".conveyor" / "models" / "flights" / "3"
    (version / "variables").mkdir(parents=True)
    for name in ("saved_model.pb", "variables/variables.index", "variables/variables.data-00000-of-00001"):
        (version / name).write_bytes(b"x")
    return version


def test_nothing_pushed_yet(serve, tmp_path: Path):
    code, printed = serve()

    assert code == 2
    assert "No version of flights has been pushed yet." in printed
    assert str(tmp_path / ".conveyor" / "models" / "flights") in printed
    assert "conveyor run" in printed


def test_a_push_that_is_not_whole_does_not_count(serve, pushed: Path):
    (pushed / "saved_model.pb").unlink()

    assert "No version of flights has been pushed yet." in serve()[1]


@pytest.mark.usefixtures("pushed")
def test_a_version_that_is_not_there(serve):
    code, printed = serve("--version", "7")

    assert code == 2
    assert "There is no version 7 of flights." in printed
    assert "one of 3" in printed


@pytest.mark.usefixtures("pushed")
def test_a_stable_version_that_is_gone(serve, tmp_path: Path):
    state = tmp_path / ".conveyor" / "serving" / "flights" / "rollout.json"
    state.parent.mkdir(parents=True)
    state.write_text(RolloutState(stable=2).model_dump_json())

    code, printed = serve()

    assert code == 2
    assert "Version 2, which the rollout says is stable, is gone." in printed
    assert "conveyor serve --version 3" in printed


@pytest.mark.usefixtures("pushed")
@pytest.mark.parametrize(("option", "other"), [("--port", "--rest-port"), ("--rest-port", "--port")])
def test_a_port_that_is_used(serve, option: str, other: str):
    with socket.socket() as used:
        used.bind(("127.0.0.1", 0))
        used.listen()
        port = used.getsockname()[1]
        code, printed = serve(option, str(port), other, str(free_port()))

    assert code == 2
    assert f"Port {port} cannot be used." in printed
    assert option in printed


@pytest.mark.usefixtures("pushed")
def test_one_port_for_both(serve):
    assert "gRPC and REST cannot share a port." in serve("--port", "9000", "--rest-port", "9000")[1]


@pytest.mark.usefixtures("pushed")
def test_docker_that_is_not_there(serve):
    code, printed = serve("--engine", "docker", "--port", "18511", "--rest-port", "18512")

    assert code == 2
    assert "Docker cannot be used." in printed
    assert "not on the path" in printed
    assert "--engine embedded" in printed


@pytest.mark.parametrize("option", ["--port=0", "--rest-port=70000", "--version=0", "--engine=podman"])
def test_values_that_options_cannot_have(serve, option: str):
    assert serve(option)[0] == 2


@pytest.mark.usefixtures("pushed")
def test_tensorflow_serving_cannot_verify_signatures(serve, tmp_path: Path):
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    trusted = tmp_path / "public.pem"
    trusted.write_bytes(key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo))

    code, printed = serve("--engine=docker", f"--set=push.public_key={trusted}")

    assert code == 2
    assert "TensorFlow Serving verifies no signatures." in printed
    assert "--set push.public_key=null" in printed


@pytest.mark.usefixtures("pushed")
def test_a_key_that_is_not_there_is_told_before_a_server_starts(serve, tmp_path: Path):
    code, printed = serve("--engine=embedded", f"--set=push.public_key={tmp_path / 'public.pem'}")

    assert code == 2
    assert "The key to verify models with cannot be used." in printed
    assert "-pubout -out public.pem" in printed
    assert not (tmp_path / ".conveyor" / "serving").exists()
