"""`conveyor loop` and `conveyor approve` as commands; what is decided is tested in tests/unit/loop."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.cli.main import main
from pipeline.errors import NodeError
from pipeline.loop import workspace
from pipeline.loop.decision import Decision
from pipeline.loop.journal import Action, Entry, Journal, State
from pipeline.loop.turn import one_loop
from pipeline.util import checkout
from tests.fakes.event_receiver import event_receiver
from tests.fakes.serving_cluster import FakeCluster

CONFIG = "name: tiny\ntask: regression\nlabel: y\ndata: {input: 'span-{SPAN}.csv'}\n"


class Turns:
    """A loop whose turns are given."""

    def __init__(self, folder: Path, *turns: Decision | BaseException) -> None:
        self.journal = Journal(folder)
        self.turns = list(turns)

    def turn(self) -> Decision:
        turn = self.turns.pop(0)
        if isinstance(turn, BaseException):
            raise turn
        self.journal.add(
            Entry(number=1, at=0.0, action=turn.action, key=turn.key, reason=turn.reason, state=State.ENDED, result="done")
        )
        return turn


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pipeline.yaml").write_text(CONFIG)
    return tmp_path / ".conveyor" / "loop" / "tiny"


@pytest.fixture
def conveyor(folder: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Runs a command; returns its exit code, output and errors."""

    def run(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return run


def given(monkeypatch: pytest.MonkeyPatch, folder: Path, *turns: Decision | BaseException) -> None:
    monkeypatch.setattr(workspace, "open_loop", lambda *_: Turns(folder, *turns))


def test_once_tells_what_was_done(conveyor: Callable[..., Any], folder: Path, monkeypatch: pytest.MonkeyPatch):
    given(monkeypatch, folder, Decision(Action.RUN, "span 2", "span 2 has come"))
    code, out, err = conveyor("loop", "--once")
    assert (code, err) == (0, "")
    assert out.endswith("  run: span 2 has come: done\n")
    code, out, _ = conveyor("loop", "--list")
    assert "span 2 has come" in out
    code, out, _ = conveyor("loop", "--list", "--json")
    assert json.loads(out)["decisions"][0]["key"] == "span 2"


def test_once_ends_with_the_error_of_what_failed(conveyor: Callable[..., Any], folder: Path, monkeypatch: pytest.MonkeyPatch):
    given(monkeypatch, folder, NodeError("The Trainer failed."))
    code, _, err = conveyor("loop", "--once")
    assert code == 1
    assert "The Trainer failed" in err


@pytest.mark.parametrize("error", [NodeError("The Trainer failed."), OSError(5, "The Trainer failed.")])
def test_an_error_does_not_end_a_loop(
    conveyor: Callable[..., Any], folder: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
):
    given(monkeypatch, folder, error, Decision(Action.WAIT, "", "all is well"), KeyboardInterrupt())
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    code, out, err = conveyor("loop")
    assert code == 130
    assert "The Trainer failed" in err
    assert ("Traceback" in err) is isinstance(error, OSError)
    assert "all is well" in out


def test_other_programs_are_told_of_a_failure_once(conveyor: Callable[..., Any], folder: Path, monkeypatch: pytest.MonkeyPatch):
    failure, other = NodeError("The Trainer failed.", where="Trainer"), OSError(28, "No space left on device")
    given(monkeypatch, folder, failure, failure, other, Decision(Action.WAIT, "", "well"), failure, KeyboardInterrupt())
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    with event_receiver() as receiver:
        conveyor("loop", "--set", f"events.url={receiver.url}")
        events = receiver.wait_for(3)
    assert {(each["type"], each["source"]) for each in events} == {("conveyor.loop.failed", "/conveyor/pipelines/tiny")}
    assert [each["data"]["what"] for each in events] == ["The Trainer failed.", repr(other), "The Trainer failed."]
    assert events[0]["data"]["where"] == "Trainer"


def test_prometheus_is_told_of_each_turn(
    conveyor: Callable[..., Any], folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    given(monkeypatch, folder, Decision(Action.RUN, "span 2", "span 2 has come"))
    assert conveyor("loop", "--once", "--textfile", str(tmp_path / "loop.prom"))[0] == 0
    assert 'conveyor_loop_ended_seconds{action="run",model="tiny"}' in (tmp_path / "loop.prom").read_text()
    # The loop goes on without it.
    given(monkeypatch, folder, Decision(Action.WAIT, "", "well"))
    (tmp_path / "taken").write_text("")
    code, out, err = conveyor("loop", "--once", "--textfile", str(tmp_path / "taken" / "loop.prom"))
    assert (code, "well" in out) == (0, True)
    assert "loop.prom cannot be written: File exists" in err


def test_a_second_loop_says_that_there_is_one(conveyor: Callable[..., Any], folder: Path):
    from pipeline.cli.options import read_config

    with one_loop(read_config(None)):
        code, _, err = conveyor("loop", "--once")
    assert code == 1
    assert "Another loop of tiny is at work" in err


def test_it_is_paused_and_resumed(conveyor: Callable[..., Any]):
    assert conveyor("loop", "--pause", "--reason", "holidays")[0] == 0
    assert "paused: holidays" in conveyor("loop", "--once")[1]
    assert "Paused: holidays" in conveyor("loop", "--list")[1]
    assert "Loops go on." in conveyor("loop", "--resume")[1]
    assert "They were not paused." in conveyor("loop", "--resume")[1]


def test_nothing_is_approved_that_does_not_wait(conveyor: Callable[..., Any]):
    code, _, err = conveyor("approve")
    assert code == 2
    assert "nothing to approve" in err


def test_both_pause_and_resume_are_refused(conveyor: Callable[..., Any]):
    assert conveyor("loop", "--pause", "--resume")[0] == 2


def _nameless() -> str:
    raise KeyError("getpwuid(): uid not found: 1000")


def test_a_package_is_for_the_cluster_alone(conveyor: Callable[..., Any], folder: Path):
    code, _, err = conveyor("loop", "--once", "--package", "package.yaml")
    assert code == 2
    assert "not from a package" in err
    assert not folder.exists()


class TestInTheCluster:
    @pytest.fixture
    def cluster(self, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeCluster:
        made = FakeCluster(tmp_path / "cluster", tmp_path / "models", monkeypatch)
        (tmp_path / "pipeline.yaml").write_text(
            "name: tiny\ntask: regression\nlabel: y\ndata: {input: '{workspace}/data/span-{SPAN}.csv'}\n"
            f"kubeflow: {{mount_path: {tmp_path / 'volume'}}}\n"
        )
        return made

    def test_it_takes_no_turn_on_a_laptop(self, conveyor: Callable[..., Any], cluster: FakeCluster):
        code, _, err = conveyor("loop", "--once", "--target", "cluster")
        assert code == 2
        assert "takes its turns in the cluster" in err
        assert "conveyor compile --loop loop.yaml, then: kubectl apply --server-side -f loop.yaml" in err

    @pytest.mark.parametrize("content", [None, b"\xff"])
    def test_a_package_that_cannot_be_read_is_told(
        self, conveyor: Callable[..., Any], cluster: FakeCluster, tmp_path: Path, content: bytes | None
    ):
        (tmp_path / "volume").mkdir()
        if content is not None:
            (tmp_path / "package.yaml").write_bytes(content)
        workspace = ("--set", f"workspace={tmp_path / 'volume'}")
        code, _, err = conveyor("loop", "--once", "--target", "cluster", "--package", "package.yaml", *workspace)
        assert code == 2
        assert "The package cannot be read." in err

    def test_what_is_on_the_volume_is_asked_of_the_pod_that_has_it(
        self, conveyor: Callable[..., Any], cluster: FakeCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setenv("PYTHONPATH", str(checkout.ROOT))
        monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
        (tmp_path / "volume").mkdir()
        (tmp_path / "of-the-pod").mkdir()
        monkeypatch.setenv("TMPDIR", str(tmp_path / "of-the-pod"))
        monkeypatch.setattr("getpass.getuser", _nameless)
        assert conveyor("loop", "--pause", "--reason", "month's end", "--target", "cluster") == (
            0,
            "Loops wait until: conveyor loop --resume\n",
            "",
        )
        assert (tmp_path / "volume" / "loop" / "tiny" / "paused").read_text() == "month's end"
        code, out, _ = conveyor("loop", "--list", "--json", "--target", "cluster")
        assert (code, json.loads(out)) == (0, {"paused": "month's end", "decisions": []})
        code, _, err = conveyor("approve", "--target", "cluster")
        assert code == 1
        assert "There is nothing to approve." in err
        assert any(call.startswith("--context kind-conveyor --namespace kubeflow exec --stdin") for call in cluster.calls)
        assert list((tmp_path / "of-the-pod").iterdir()) == []
