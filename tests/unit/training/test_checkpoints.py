"""States of trainings: kept now and then, found again by what they depend on, and never taken when they are damaged."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.training import checkpoints
from pipeline.training.checkpoints import Checkpoint, Checkpoints
from pipeline.util import states
from pipeline.util.notes import take_notes

LABELS = np.array([0, 1, 1], np.float32)
STATE = {"values": [np.arange(6.0).reshape(2, 3)], "batches": 7}


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    clock = [0.0]
    monkeypatch.setattr(checkpoints.time, "monotonic", lambda: clock[0])
    return clock


def places(folder: Path, depends_on: Any = "settings", labels: np.ndarray = LABELS) -> Checkpoints:
    return Checkpoints(folder, depends_on, labels)


def test_the_same_training_finds_its_state_and_another_one_does_not(tmp_path: Path, now: list[float]) -> None:
    place = places(tmp_path).of("network")
    now[0] = checkpoints.SECONDS
    place.keep(lambda: STATE)

    found = places(tmp_path).of("network").load()
    assert found["batches"] == 7
    np.testing.assert_array_equal(found["values"][0], STATE["values"][0])
    assert places(tmp_path).of("trees").load() is None
    assert places(tmp_path, "others").of("network").load() is None
    assert places(tmp_path, labels=1 - LABELS).of("network").load() is None

    places(tmp_path).remove()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("takes", "pause"), [(0.0, checkpoints.SECONDS), (3.0, 3 * checkpoints.PAUSE)])
def test_a_state_is_kept_when_losing_it_would_cost_more_than_keeping_it(
    tmp_path: Path, now: list[float], takes: float, pause: float
) -> None:
    place = Checkpoint(tmp_path / "network")

    def kept_at(second: float) -> object:
        def state() -> float:
            now[0] += takes
            return second

        now[0] = second
        place.keep(state)
        return place.load()

    assert kept_at(1.0) is None
    first = checkpoints.SECONDS
    assert kept_at(first) == first
    second = first + takes + pause
    assert kept_at(second - 1) == first
    assert kept_at(second) == second


@given(position=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7), end=st.booleans())
def test_a_damaged_state_is_told_and_not_used(
    position: float, bit: int, end: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    content = bytearray(states.dumps(STATE))
    place = int(position * len(content))
    if end:
        del content[place:]
    else:
        content[place] ^= 1 << bit
    path = tmp_path_factory.mktemp("damaged") / "network"
    path.write_bytes(content)

    take_notes()
    assert Checkpoint(path).load() is None
    (told,) = take_notes()
    assert str(path) in told


def test_a_training_goes_on_where_its_state_cannot_be_kept_and_tells_it_once(tmp_path: Path, now: list[float]) -> None:
    (tmp_path / "network").mkdir()
    place = Checkpoint(tmp_path / "network")
    take_notes()
    for times in (1, 2):
        now[0] = times * checkpoints.SECONDS
        place.keep(lambda: STATE)
    (told,) = take_notes()
    assert f"cannot be kept in {tmp_path / 'network'}" in told


def test_what_nobody_came_back_for_in_a_week_is_removed(tmp_path: Path, now: list[float]) -> None:
    now[0] = checkpoints.SECONDS
    for name, days in (("old", 8), ("recent", 6)):
        path = tmp_path / name / "network"
        path.parent.mkdir()
        path.touch()
        moment = time.time() - days * 24 * 3600
        for each in (path, path.parent):
            os.utime(each, (moment, moment))
    (tmp_path / "a link to itself").symlink_to("a link to itself")
    places(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"a link to itself", "recent"}
