"""`conveyor gateway`, which starts one unless it is asked for something else."""

from __future__ import annotations

import hashlib

import pytest
from typer.testing import CliRunner

from pipeline.cli.main import app
from pipeline.config import Gateway


@pytest.fixture
def started(monkeypatch) -> list[Gateway]:
    """The settings of the gateways that were started."""
    gateways: list[Gateway] = []

    def serve(gateway, announce):
        gateways.append(gateway)
        announce("http://127.0.0.1:8088")

    monkeypatch.setattr("serving.gateway.server.serve", serve)
    return gateways


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CONVEYOR_CONFIG", raising=False)
    (tmp_path / "pipeline.yaml").write_text("name: houses\nlabel: price\ndata: {input: houses.csv}\n")
    return tmp_path / "pipeline.yaml"


def run(*arguments: str):
    return CliRunner().invoke(app, ["gateway", *map(str, arguments)], catch_exceptions=False)


@pytest.mark.parametrize("arguments", [[], ["start"], ["pipeline.yaml"], ["start", "pipeline.yaml"]])
def test_it_starts(config, started, arguments):
    done = run(*arguments)

    assert done.exit_code == 0
    assert started[0].upstream.stable == "grpc://localhost:8500/houses"
    assert (
        "grpc://localhost:8500/houses; its page is http://127.0.0.1:8088/docs. Anyone who can reach it may use it."
        in done.stderr
    )


def test_settings_on_the_command_line(config, started):
    run("--set", "gateway.port=9000", "--set", f"gateway.access.api_keys.shop.sha256={'ab' * 32}")

    assert started[0].port == 9000
    assert list(started[0].access.api_keys) == ["shop"]


def test_nobody_is_told_that_everybody_may_ask_when_there_are_keys(config, started):
    assert "Everybody" not in run("--set", f"gateway.access.api_keys.shop.sha256={'ab' * 32}").stderr


def test_a_new_key_and_its_hash(started):
    printed = dict(line.split(maxsplit=1) for line in run("key").stdout.splitlines()[:2])

    assert hashlib.sha256(printed["key"].encode()).hexdigest() == printed["sha256"]
    assert not started


def test_help_is_about_both(started):
    assert {"start", "key"} <= set(run("--help").stdout.split())
    assert not started
