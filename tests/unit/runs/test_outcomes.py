"""The outcomes that runs left in their folders: damaged ones, and those of runs whose process is gone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.runs.outcomes import LOCK_NAME, is_at_work, mark_interrupted, read_outcome, read_outcomes
from pipeline.runs.status import FILE_NAME, DamagedRunError, NodeOutcome, NodeState, RunOutcome, RunState
from pipeline.util.sealed import seal, unseal


def save(runs: Path, run_id: str, state: RunState = RunState.COMPLETE) -> Path:
    outcome = RunOutcome(run_id=run_id, pipeline="flights", state=state, started=1.0)
    outcome.nodes = {
        "Trainer": NodeOutcome(state=NodeState.RUNNING, started=2.0),
        "Pusher": NodeOutcome(upstream=["Trainer"]),
    }
    outcome.save(runs / run_id)
    return runs / run_id / FILE_NAME


def empty(path: Path) -> None:
    path.write_bytes(b"")


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def lose_to_the_system(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def rewrite(path: Path, **changes: object) -> None:
    path.write_text(seal(json.dumps({**json.loads(unseal(path.read_bytes())), **changes})))


def make_newer(path: Path) -> None:
    rewrite(path, format=2, nodes=["of another form"])


def make_another_thing(path: Path) -> None:
    path.write_text("[1, 2, 3]")


def make_times_impossible(path: Path) -> None:
    rewrite(path, started=1e300)


def change_a_digit(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b'"started": 2.0', b'"started": 3.0'))


def make_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    ("damage", "seen"),
    [
        (empty, "an empty file"),
        (truncate, "EOF"),
        (lose_to_the_system, "nothing but zeros"),
        (make_newer, "format 2, of a newer release"),
        (make_another_thing, "object"),
        (make_times_impossible, "started"),
        (change_a_digit, "the checksum of the content is"),
        (make_a_folder, "Is a directory"),
    ],
)
def test_a_damaged_outcome_has_a_name_and_stays_as_it_is(tmp_path, damage, seen):
    damaged = save(tmp_path, "first", RunState.RUNNING)
    damage(damaged)
    save(tmp_path, "second")
    before = damaged.read_bytes() if damaged.is_file() else None

    outcomes, errors = read_outcomes(tmp_path)
    (marked,) = mark_interrupted(tmp_path)

    assert list(outcomes) == ["second"]
    assert errors["first"].where == marked.where == str(damaged)
    assert seen in errors["first"].seen
    assert (damaged.read_bytes() if damaged.is_file() else None) == before
    with pytest.raises(DamagedRunError):
        read_outcome(damaged.parent)


def test_an_outcome_is_on_the_disk_before_its_name_is(tmp_path, monkeypatch):
    synced: list[str] = []
    fsync = os.fsync

    def follow(descriptor: int) -> None:
        synced.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")).name)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", follow)
    path = save(tmp_path, "first")
    assert synced[0].startswith(".run.")
    assert synced[1] == "first"
    assert json.loads(path.read_text())["format"] == 1


def test_outcomes_of_releases_without_a_format_are_read(tmp_path):
    path = save(tmp_path, "first")
    content = json.loads(path.read_text())
    del content["format"], content["warnings"], content["checksum"]
    path.write_text(json.dumps(content))
    assert read_outcome(path.parent).state is RunState.COMPLETE


@settings(max_examples=200)
@given(bit=st.integers(min_value=0))
def test_whatever_bit_flips_is_an_error_with_a_name_or_changes_nothing(tmp_path, bit):
    path = save(tmp_path, "first")
    expected = RunOutcome.load(path.parent)
    content = bytearray(path.read_bytes())
    position = bit % (8 * len(content))
    content[position // 8] ^= 1 << (position % 8)
    path.write_bytes(content)
    with suppress(DamagedRunError):
        assert RunOutcome.load(path.parent) == expected


def test_a_run_whose_process_is_gone_is_interrupted_and_ended_when_it_last_wrote(tmp_path):
    path = save(tmp_path, "first", RunState.RUNNING)
    log = path.with_name("Trainer.log")
    log.write_text("epoch 1")
    os.utime(path, (100.0, 100.0))
    os.utime(log, (160.0, 160.0))

    outcome = read_outcome(path.parent)

    assert (outcome.state, outcome.ended) == (RunState.INTERRUPTED, 160.0)
    assert outcome.nodes["Trainer"].state is NodeState.INTERRUPTED
    assert outcome.nodes["Trainer"].seconds == 158.0
    assert outcome.nodes["Pusher"].state is NodeState.BLOCKED
    assert RunOutcome.load(path.parent).state is RunState.RUNNING, "whoever looks changes nothing"
    assert mark_interrupted(tmp_path) == []
    assert RunOutcome.load(path.parent).state is RunState.INTERRUPTED


def test_a_run_is_at_work_as_long_as_its_process_lives(tmp_path):
    path = save(tmp_path, "first", RunState.RUNNING)
    assert not is_at_work(tmp_path)
    holding = (
        "import sys; from filelock import FileLock; lock = FileLock(sys.argv[1]); lock.acquire(); "
        "print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", holding, str(tmp_path / LOCK_NAME)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert read_outcome(path.parent).state is RunState.RUNNING
        process.kill()
        process.wait()
    assert read_outcome(path.parent).state is RunState.INTERRUPTED


def test_looking_does_not_keep_a_run_from_starting(tmp_path):
    with FileLock(tmp_path / LOCK_NAME):
        pass
    assert not is_at_work(tmp_path)
    FileLock(tmp_path / LOCK_NAME).acquire(timeout=0)
