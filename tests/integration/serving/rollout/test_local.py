"""Rollouts on this machine: commands, the embedded model server and the gateway, under a load that does not fail once."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.loop.journal import Action, Entry, Journal, State
from pipeline.loop.turn import folder_of
from serving.rollout import files
from tests.fakes.waiting import wait_until
from tests.integration.serving.gateway.running import Gateway, gateway
from tests.integration.serving.modelserver.running import Running, program
from tests.integration.serving.rollout.place import CONVEYOR, EVEN, Load, Place


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path, 1, 2)


@pytest.fixture
def server(place: Place, tmp_path: Path) -> Iterator[Running]:
    """The model server, as `conveyor serve` starts it."""
    flags = (
        f"--model_config_file={files.prepare(place.config)}",
        "--model_config_file_poll_wait_seconds=1",
        "--file_system_poll_wait_seconds=1",
        "--allow_version_labels_for_unavailable_models",
        "--max_num_load_retries=0",
    )
    with program(*flags, log=tmp_path / "server.log") as (running, _):
        yield running


@pytest.fixture
def running(place: Place, server: Running, tmp_path: Path) -> Iterator[Gateway]:
    """The gateway before it."""
    address = f"grpc://127.0.0.1:{server.port}/flights"
    rollout = str(files.state_path(place.config))
    log = {"folder": str(tmp_path / "workspace" / "predictions" / "flights"), "flush_seconds": 0.5}
    with gateway(tmp_path, address, rollout=rollout, batching={"max_rows": 1}, log=log) as running:
        place.options = ("--server", f"127.0.0.1:{server.port}")
        wait_until(lambda: running.http.get("/readyz").status_code == 200)
        yield running


def on_gateway(running: Gateway, *command: str) -> tuple[str, ...]:
    return (*command, "--gateway", running.url)


def loaded(server: Running) -> list[int]:
    return [version for version, state in server.states("flights").items() if state == "AVAILABLE"]


def test_from_push_to_rollback_without_a_failed_request(place: Place, server: Running, running: Gateway) -> None:
    with Load(running).running() as load:
        wait_until(lambda: load.versions[2] > 20)
        place.push(3)
        wait_until(lambda: load.versions[3] > 20)

        out = place.conveyor(*on_gateway(running, "rollout", "start", "3", "--traffic", "30", "--reason", "first"))
        assert "flights, local: the newest version → stable 2, canary 3 at 30 %" in out
        wait_until(lambda: running.sample("gateway_canary_traffic_percent") == 30)
        load.versions.clear()
        wait_until(lambda: load.versions[2] + load.versions[3] > 300)
        assert 0.1 < load.versions[3] / load.versions.total() < 0.5
        out = place.conveyor(*on_gateway(running, "rollout", "status"))
        assert "flights, local: stable 2, canary 3 at 30 %" in out
        assert "first" in out
        assert loaded(server) == [2, 3]

        out = place.conveyor(*on_gateway(running, "rollout", "promote", "--reason", "as good"))
        assert "stable 2, canary 3 at 30 % → stable 3" in out
        wait_until(lambda: loaded(server) == [3])
        place.push(4)

        out = place.conveyor("rollback", "--reason", "on second thoughts")
        assert "flights, local: stable 3 → stable 2" in out
        wait_until(lambda: loaded(server) == [2])
        load.versions.clear()
        wait_until(lambda: load.versions.total() > 50)
        # A version that is pushed waits for a rollout.
        assert set(load.versions) == {2}

        place.conveyor(*on_gateway(running, "rollout", "start", "4", "--traffic", "50"))
        assert "stable 2, canary 4 at 50 % → stable 2" in place.conveyor("rollout", "abort", "--reason", "no")
        wait_until(lambda: loaded(server) == [2])
        time.sleep(1)
    assert load.failures == []

    listed = place.json("models")["versions"]
    assert {row["version"]: row["stage"] for row in listed} == {1: "candidate", 2: "stable", 3: "retired", 4: "aborted"}
    assert {row["version"]: len(row["served_by"]) for row in listed} == {1: 0, 2: 1, 3: 0, 4: 0}


def test_a_good_canary_goes_through_its_steps_and_is_promoted_by_watch(place: Place, running: Gateway) -> None:
    place.push(3)
    with Load(running).running() as load:
        place.conveyor(*on_gateway(running, "rollout", "start", "3", "--steps", "40,60", "--bake", "1s"))
        watch = ("rollout", "watch", "--promote", "--every", "1", "--min-rows", "300")
        out = place.conveyor(*on_gateway(running, *watch))
    assert "stable 2, canary 3 at 40 % → stable 2, canary 3 at 60 %" in out
    assert "stable 2, canary 3 at 60 % → stable 3" in out
    state = files.read_state(place.config)
    assert state.stable == 3
    assert [change.action for change in state.changes] == ["start", "step", "promote"]
    assert all(change.reason.startswith("verdict pass: rows") for change in state.changes[1:])
    assert load.failures == []


def pushed_by_the_loop(place: Place, version: int, weight: float = EVEN) -> Journal:
    """A version that a loop has pushed, where another one serves in a rollout; the loop's journal."""
    place.push(version, weight)
    journal = Journal(folder_of(place.config))
    journal.add(Entry(number=1, at=0.0, action=Action.RUN, key="span 3", reason="", state=State.ENDED, version=version))
    return journal


def turn(place: Place, running: Gateway, *settings: str) -> str:
    """What a turn of the loop prints."""
    options = [part for setting in ("bake_minutes=0", *settings) for part in ("--set", f"loop.{setting}")]
    config = str(place.config.workspace_path.parent / "pipeline.yaml")
    return subprocess.check_output(
        [str(CONVEYOR), "loop", config, "--once", *options, *on_gateway(running, *place.options)], text=True
    )


def test_a_loop_tries_what_it_has_pushed_by_steps_and_promotes_it(place: Place, running: Gateway) -> None:
    place.conveyor(*on_gateway(running, "rollout", "start", "1"))
    place.conveyor("rollout", "abort")
    journal = pushed_by_the_loop(place, 3)
    steps = ("replay=false", "steps=[40,60]")
    with Load(running).running() as load:
        assert "start: version 3 was pushed, and 2 serves: stable 2, canary 3 at 40 %" in turn(place, running, *steps)
        for told in ("step: verdict pass", "promote: verdict pass"):
            load.versions.clear()
            wait_until(lambda: min(load.versions[2], load.versions[3]) > 700)
            assert told in turn(place, running, *steps)
    assert files.read_state(place.config).stable == 3
    assert load.failures == []
    begun = [each.action for each in journal.entries() if each.state is State.BEGUN]
    assert begun == [Action.START, Action.STEP, Action.PROMOTE]


def test_a_loop_does_not_try_what_its_replay_finds_worse(place: Place, running: Gateway) -> None:
    place.conveyor(*on_gateway(running, "rollout", "start", "1"))
    place.conveyor("rollout", "abort")
    journal = pushed_by_the_loop(place, 3, weight=EVEN * 3)
    with Load(running).running() as load:
        wait_until(lambda: load.versions[2] > 800)
        assert "replay: version 3 was pushed, and 2 serves" in turn(place, running)
    assert [each.outcome for each in journal.entries() if each.action is Action.REPLAY] == ["", "fail"]
    state = files.read_state(place.config)
    assert (state.stable, state.canary) == (2, None)
    assert (state.changes[-1].action, state.changes[-1].outcome) == ("replay", "fail")
    assert set(load.versions) == {2}
    assert load.failures == []


def test_a_bad_canary_is_refused_and_aborted_at_its_first_step(place: Place, running: Gateway) -> None:
    place.push(3, weight=EVEN * 3)
    with Load(running).running() as load:
        place.conveyor(*on_gateway(running, "rollout", "start", "3", "--steps", "50,90", "--bake", "1s"))
        # Before a rollout the newest version answers: those rows do not count for the canary.
        load.versions.clear()
        wait_until(lambda: min(load.versions[2], load.versions[3]) > 400)
        assert running.http.get("/rollout?min_rows=300").json()["verdict"] == "fail"
        out = place.conveyor(*on_gateway(running, "rollout", "promote", "--min-rows", "300"), code=2)
        assert "Version 3 is worse than version 2" in out
        assert "stability index" in out
        assert files.read_state(place.config).canary == 3
        watch = ("rollout", "watch", "--promote", "--abort", "--every", "1", "--min-rows", "300")
        out = place.conveyor(*on_gateway(running, *watch), code=5)
    assert "stable 2, canary 3 at 50 % → stable 2" in out
    assert [change.action for change in files.read_state(place.config).changes] == ["start", "abort"]
    assert load.failures == []


def test_a_bad_version_is_stopped_by_a_replay_and_as_a_shadow_before_a_caller_gets_an_answer_of_it(
    place: Place, running: Gateway
) -> None:
    with Load(running).running() as load:
        wait_until(lambda: load.versions[2] > 800)
        place.push(3, weight=EVEN * 3)
        # By a model server of its own: that of the callers does not have both versions.
        options, place.options = place.options, ()
        out = place.conveyor("replay", "3", "--min-rows", "300", code=5)
        place.options = options
        assert "Version 3 is worse than version 2 on requests that were really made" in out
        assert "not passed a replay" in place.conveyor(*on_gateway(running, "rollout", "start", "3", "--replayed"), code=2)
        out = place.conveyor(*on_gateway(running, "rollout", "start", "3", "--shadow"))
        assert "stable 2, shadow 3" in out
        load.versions.clear()
        watch = ("rollout", "watch", "--promote", "--abort", "--minutes", "0", "--every", "1", "--min-rows", "300")
        out = place.conveyor(*on_gateway(running, *watch), code=5)
        assert "stable 2, shadow 3 → stable 2" in out
        assert "Version 3 is worse than version 2" in out
        assert running.sample('gateway_shadow_predictions_total{model="flights",outcome="ok",version="3"}') >= 300
    assert set(load.versions) == {2}
    assert load.failures == []


def test_a_command_that_is_killed_halfway_is_repaired(place: Place, server: Running, running: Gateway) -> None:
    place.push(3)
    with Load(running).running() as load:
        place.conveyor(*on_gateway(running, "rollout", "start", "3"))
        place.conveyor(*on_gateway(running, "rollout", "promote"))
        configuration = files.models_config_path(place.config)
        process = place.start("rollback")
        wait_until(lambda: "versions: 2" in configuration.read_text())
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        assert "Not in line with that" in place.conveyor("rollout", "status")
        assert "Repaired first" in place.conveyor("rollout", "repair")
        assert "nothing to repair" in place.conveyor("rollout", "repair")
        wait_until(lambda: loaded(server) == [3])
        assert "stable 3 → stable 2" in place.conveyor("rollback")
    assert load.failures == []


def test_a_version_that_cannot_be_loaded_changes_nothing(place: Place, server: Running, running: Gateway) -> None:
    (place.config.serving_path / "3").mkdir()
    (place.config.serving_path / "3" / "saved_model.pb").write_bytes(b"no graph")
    with Load(running).running() as load:
        out = place.conveyor(*on_gateway(running, "rollout", "start", "3", "--timeout", "30"), code=1)
        assert "The model server cannot load version 3" in out
        wait_until(lambda: load.versions[2] > 50)
    assert load.failures == []
    assert not files.state_path(place.config).exists()
    assert loaded(server) == [2]


def test_without_servers_the_state_is_set_and_said_so(place: Place) -> None:
    place.options = ("--server", "127.0.0.1:9")
    out = place.conveyor("rollout", "start", "2", "--gateway", "http://127.0.0.1:9")
    assert "No model server answers at 127.0.0.1:9: the next one that starts serves this." in out
    assert "No gateway answers" in out
    assert place.json("rollout", "status")["stable"] == 1
    assert "versions: 2" in files.models_config_path(place.config).read_text()
