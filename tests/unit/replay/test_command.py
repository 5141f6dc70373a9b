"""`conveyor replay`: what it prints, how it ends, and what it leaves in the rollout's history."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import nullcontext, redirect_stdout
from io import StringIO
from pathlib import Path

import pytest
import yaml

from pipeline.cli import main as command_line
from pipeline.config import PipelineConfig
from pipeline.errors import ConveyorError
from pipeline.replay import apart
from serving.rollout.files import read_state
from tests.fakes.model_server import ModelServer
from tests.fakes.serving_cluster import FakeCluster
from tests.unit.replay.conftest import CANDIDATE, STABLE, Write, play, score

Conveyor = Callable[..., tuple[int, str, str]]


@pytest.fixture
def conveyor(config: PipelineConfig, server: ModelServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Conveyor:
    """Runs a command in this process; returns its exit code, and what it prints."""
    (tmp_path / "pipeline.yaml").write_text(yaml.safe_dump(config.model_dump(mode="json", by_alias=True, exclude_unset=True)))
    for version in (STABLE, CANDIDATE):
        (config.serving_path / str(version)).mkdir(parents=True)
        (config.serving_path / str(version) / "saved_model.pb").write_text("graph")

    def run(*command: str) -> tuple[int, str, str]:
        address = ("--server", f"127.0.0.1:{server.grpc_port}") if "--server" not in command else ()
        with pytest.raises(SystemExit) as ended:
            command_line.main([*command, "--config", str(tmp_path / "pipeline.yaml"), *address])
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out, printed.err

    return run


def test_one_that_is_not_worse(conveyor: Conveyor, config: PipelineConfig, write: Write) -> None:
    write(600)
    code, out, _ = conveyor("replay", str(CANDIDATE), "--min-rows", "200")
    assert code == 0
    assert "version 4 asked what was asked since" in out
    assert "agreement" in out
    assert "carrier UA" in out
    change = read_state(config).changes[-1]
    assert (change.action, change.versions) == ("replay", (CANDIDATE, STABLE))
    assert change.reason.startswith("replay since ")


def test_one_that_is_worse(conveyor: Conveyor, config: PipelineConfig, server: ModelServer, write: Write) -> None:
    write(600)
    play(server, lambda row: 1 - score(row))
    code, out, err = conveyor("replay", str(CANDIDATE), "--min-rows", "200")
    assert code == 5
    assert "→" in out
    assert "Version 4 is worse than version 3 on requests that were really made." in err
    assert read_state(config).changes[-1].outcome == "fail"
    code, _, err = conveyor("rollout", "start", str(CANDIDATE), "--replayed", "--gateway", "http://127.0.0.1:9")
    assert code == 2
    assert "Version 4 has not passed a replay against version 3." in err


def test_for_programs(conveyor: Conveyor, write: Write) -> None:
    write(300)
    document = json.loads(conveyor("replay", str(CANDIDATE), "--min-rows", "200", "--json")[1])
    assert (document["rows"], document["stable"], document["candidate"]) == (300, STABLE, CANDIDATE)
    assert {check["name"] for check in document["verdict"]["checks"]} >= {"rows", "errors", "agreement"}
    assert document["slices"][0]["flips"] == 0


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (("replay", "9"), "There is no version 9 that can be served."),
        (("replay", "4", "--against", "4"), "Version 4 cannot be compared with itself."),
        (("replay", "4", "--since", "long ago"), "This is not a moment."),
    ],
)
def test_what_cannot_be(conveyor: Conveyor, write: Write, command: tuple[str, ...], message: str) -> None:
    write(1)
    code, _, err = conveyor(*command)
    assert code == 2
    assert message in err


def test_the_model_server_away(conveyor: Conveyor, config: PipelineConfig, write: Write) -> None:
    write(10)
    code, _, err = conveyor("replay", "4", "--server", "127.0.0.1:9")
    assert code == 1
    assert "127.0.0.1:9" in err
    assert read_state(config).changes == ()


class TestInTheCluster:
    @pytest.fixture
    def shell(
        self, config: PipelineConfig, server: ModelServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> FakeCluster:
        """A cluster whose volume is the workspace, and whose pod with the volume is this process."""
        for version in (STABLE, CANDIDATE):
            (config.serving_path / str(version)).mkdir(parents=True, exist_ok=True)
            (config.serving_path / str(version) / "saved_model.pb").write_text("graph")
        fields = {
            **config.model_dump(mode="json", by_alias=True, exclude_unset=True),
            "workspace": str(tmp_path / "laptop"),
            "data": {"input": "{workspace}/x.csv"},
            "kubeflow": {"mount_path": str(tmp_path)},
        }
        (tmp_path / "laptop.yaml").write_text(yaml.safe_dump(fields))
        monkeypatch.setattr(apart, "model_server", lambda *_: nullcontext(f"127.0.0.1:{server.grpc_port}"))
        monkeypatch.setattr("os.nice", lambda niceness: None)

        def ask(config: PipelineConfig, *command: str, input: str, seconds: float) -> str:
            # One that nobody waits for any more ends there, too.
            assert command == ("timeout", f"{seconds:g}", "python", "-m", apart.__name__)
            monkeypatch.setattr("sys.stdin", StringIO(input))
            said = StringIO()
            with redirect_stdout(said):
                code = apart.main()
            if code:
                raise ConveyorError("kubectl failed.")
            return said.getvalue()

        monkeypatch.setattr("pipeline.cli.cluster_shell.ask_shell", ask)
        return FakeCluster(tmp_path / "cluster", config.serving_path.parent, monkeypatch)

    def test_the_log_of_the_volume_is_replayed_and_recorded_in_the_cluster(
        self,
        shell: FakeCluster,
        server: ModelServer,
        write: Write,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        write(600)
        play(server, lambda row: 1 - score(row))
        line = ["replay", str(CANDIDATE), "--min-rows", "200", "--target", "cluster", "--json"]
        with pytest.raises(SystemExit) as ended:
            command_line.main([*line, "--config", str(tmp_path / "laptop.yaml")])
        out, err = capsys.readouterr()
        assert ended.value.code == 5
        document = json.loads(out[out.index("{") :])
        assert (document["rows"], document["stable"], document["candidate"]) == (600, STABLE, CANDIDATE)
        assert document["slices"][0]["flips"] > 0
        assert len(document["flips"]) == 5
        assert "Version 4 is worse than version 3" in err
        (change,) = json.loads(shell.data("serving-rollout")["rollout.json"])["changes"]
        assert (change["action"], change["outcome"]) == ("replay", "fail")
        assert not (tmp_path / "laptop").exists()

    def test_a_server_of_the_laptop_does_not_know_the_volume(
        self, shell: FakeCluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        line = ["replay", str(CANDIDATE), "--target", "cluster", "--server", "localhost:8500"]
        with pytest.raises(SystemExit) as ended:
            command_line.main([*line, "--config", str(tmp_path / "laptop.yaml")])
        assert ended.value.code == 2
        assert "A replay in the cluster has a model server of its own." in capsys.readouterr().err

    def test_what_was_never_asked_cannot_be_replayed(
        self, shell: FakeCluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        line = ["replay", str(CANDIDATE), "--target", "cluster"]
        with pytest.raises(SystemExit) as ended:
            command_line.main([*line, "--config", str(tmp_path / "laptop.yaml")])
        assert ended.value.code == 1
        assert "log" in capsys.readouterr().err
        assert shell.data("serving-rollout") == {}
