"""`conveyor rollout`, `rollback` and `models` where no server runs: what they print, and what they refuse."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.cli import main as command_line

Conveyor = Callable[..., tuple[int, str, str]]
NOBODY = "127.0.0.1:9"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The serving folder, with three versions."""
    (tmp_path / "pipeline.yaml").write_text(f"name: flights\nlabel: late\ndata: {{input: x.csv}}\nworkspace: {tmp_path}/work\n")
    folder = tmp_path / "work" / "models" / "flights"
    for version in (1, 2, 3):
        (folder / str(version)).mkdir(parents=True)
        (folder / str(version) / "saved_model.pb").write_text("graph")
    return folder


@pytest.fixture
def conveyor(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Conveyor:
    """Runs a command in this process; returns its exit code, and what it prints."""

    def run(*command: str) -> tuple[int, str, str]:
        gateway = (
            ("--gateway", f"http://{NOBODY}") if command[1:2] in (("start",), ("status",), ("promote",), ("watch",)) else ()
        )
        with pytest.raises(SystemExit) as ended:
            command_line.main([*command, "--config", str(tmp_path / "pipeline.yaml"), "--server", NOBODY, *gateway])
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out, printed.err

    return run


def test_a_walk(conveyor: Conveyor) -> None:
    code, out, err = conveyor("rollout", "start", "3", "--traffic", "5", "--reason", "first")
    assert code == 0
    assert out.startswith("flights, local: the newest version → stable 2, canary 3 at 5 %\n")
    assert "No model server answers at 127.0.0.1:9" in err
    assert conveyor("rollout", "promote")[1] == "flights, local: stable 2, canary 3 at 5 % → stable 3\n"
    assert conveyor("rollback", "--reason", "wrong")[1] == "flights, local: stable 3 → stable 2\n"
    code, out, _ = conveyor("rollout", "status")
    assert code == 0
    assert out.startswith("flights, local: stable 2\n")
    assert [line.split()[3:5] for line in out.splitlines()[2:]] == [["rollback", "3"], ["promote", "3"], ["start", "3"]]


def test_steps_are_planned_paused_and_resumed(conveyor: Conveyor) -> None:
    code, out, _ = conveyor("rollout", "start", "3", "--shadow", "--steps", "1, 10,50 %", "--bake", "5m")
    assert code == 0
    assert "stable 2, shadow 3" in out
    assert "goes on with steps 1 %, 10 %, 50 %, 5 min each" in out
    assert "paused" in conveyor("rollout", "pause", "--reason", "weekend")[1]
    assert "Planned: steps 1 %, 10 %, 50 %, 5 min each, paused" in conveyor("rollout", "status")[1]
    assert "resumed" in conveyor("rollout", "resume")[1]
    assert "stable 2, shadow 3 → stable 2, canary 3 at 10 %" in conveyor("rollout", "promote", "--traffic", "10")[1]
    status = json.loads(conveyor("rollout", "status", "--json")[1])
    assert [change["action"] for change in status["changes"]] == ["start", "pause", "resume", "step"]
    assert status["plan"] == {"steps": [1, 10, 50], "bake_seconds": 300.0}


def test_status_for_programs(conveyor: Conveyor) -> None:
    conveyor("rollout", "start", "3", "--reason", "first")
    status = json.loads(conveyor("rollout", "status", "--json")[1])
    assert (status["model"], status["stable"], status["canary"], status["traffic"]) == ("flights", 2, 3, 10)
    assert status["verdict"] is None
    assert status["changes"][0]["reason"] == "first"
    assert "@" in status["changes"][0]["who"]


def test_before_the_first_rollout(conveyor: Conveyor) -> None:
    assert conveyor("rollout", "status")[1] == "flights, local: the newest version\nThere has been no rollout.\n"
    assert conveyor("rollout", "repair")[1] == "The serving versions are in line with the rollout: nothing to repair.\n"


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (("rollout", "start", "9"), "There is no version 9 that can be served."),
        (("rollout", "start", "3", "--traffic", "100"), "A canary cannot have this share of the traffic."),
        (
            ("rollout", "start", "3", "--shadow", "--traffic", "5"),
            "It is not clear what share",
        ),
        (("rollout", "start", "3", "--steps", "1,10", "--traffic", "5"), "It is not clear what share"),
        (("rollout", "start", "3", "--steps", "10,1"), "These are no steps of a rollout."),
        (("rollout", "start", "3", "--steps", "ten"), "These are no steps of a rollout."),
        (("rollout", "start", "3", "--bake", "5m"), "There is no step that could last so long."),
        (("rollout", "pause"), "There is no canary to pause."),
        (("rollout", "resume"), "There is no canary to resume."),
        (("rollout", "promote"), "There is no canary to promote."),
        (("rollout", "abort"), "There is no canary to abort."),
        (("rollout", "watch"), "There is no canary to watch."),
        (("models", "prune", "--keep", "0"), "The newest version has to stay."),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(
    conveyor: Conveyor, tmp_path: Path, command: tuple[str, ...], message: str
) -> None:
    code, _, err = conveyor(*command)
    assert code == 2
    assert message in err
    assert not list((tmp_path / "work" / "serving" / "flights").glob("[!.]*"))


def test_before_the_first_rollout_the_newest_version_can_be_rolled_back_from(conveyor: Conveyor) -> None:
    assert conveyor("rollback", "--reason", "wrong")[1] == "flights, local: the newest version → stable 2\n"
    code, _, err = conveyor("rollback")
    assert (code, "There is no version to roll back to." in err) == (2, True)


def test_a_canary_that_nobody_counts_cannot_be_watched(conveyor: Conveyor) -> None:
    conveyor("rollout", "start", "3")
    code, _, err = conveyor("rollout", "watch")
    assert code == 2
    assert "No gateway answers" in err


def test_models(conveyor: Conveyor, folder: Path) -> None:
    (folder / "3" / "saved_model.pb").write_text("")
    conveyor("rollout", "start", "2")
    document = json.loads(conveyor("models", "--json")[1])
    rows = {row["version"]: row for row in document["versions"]}
    assert document["servers"] == []
    assert {number: row["stage"] for number, row in rows.items()} == {1: "stable", 2: "canary", 3: "candidate"}
    assert {number: row["traffic"] for number, row in rows.items()} == {1: 90, 2: 10, 3: 0}
    assert (rows[1]["labels"], rows[2]["labels"], rows[3]["labels"]) == (["stable"], ["canary"], [])
    assert rows[3]["problem"] == "saved_model.pb is empty"
    assert conveyor("models")[1].startswith("flights: stable 1, canary 2 at 10 %; no model server answers\n")


def test_prune(conveyor: Conveyor, folder: Path) -> None:
    assert "version 1, 2 would be deleted; there remains 3" in conveyor("models", "prune", "--keep", "1")[1]
    assert len(list(folder.iterdir())) == 3
    conveyor("rollout", "start", "3")
    assert conveyor("models", "prune", "--keep", "1", "--yes")[1] == "flights, local: version 1 deleted; there remains 2, 3\n"
    assert sorted(path.name for path in folder.iterdir()) == ["2", "3"]
    assert "no version deleted" in conveyor("models", "prune", "--keep", "1", "--yes")[1]
