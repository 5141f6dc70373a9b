"""Which versions are whole, and which may be deleted."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import UsageError
from serving.rollout import RolloutState
from serving.rollout.versions import PushedVersion, files_below, prunable, read_versions

WHOLE = {"saved_model.pb": "graph", "variables/variables.index": "i", "variables/variables.data-00000-of-00001": "d"}


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def problems(folder: Path) -> dict[int, str]:
    return {version.number: version.problem for version in read_versions(files_below(folder))}


def test_whole_versions_and_what_is_wrong_with_others(tmp_path: Path):
    write(tmp_path / "10", WHOLE)
    write(tmp_path / "9", {"saved_model.pb": "graph"})
    write(tmp_path / "1", {"variables/variables.index": "i"})
    write(tmp_path / "2", {**WHOLE, "saved_model.pb": ""})
    write(tmp_path / "3", {name: text for name, text in WHOLE.items() if "index" not in name})
    write(
        tmp_path / "4",
        {"saved_model.pb": "graph", "variables/variables.index": "i", "variables/variables.data-00000-of-00002": ""},
    )
    assert problems(tmp_path) == {
        1: "no saved_model.pb",
        2: "saved_model.pb is empty",
        3: "variables are missing",
        4: "variables are missing",
        9: "",
        10: "",
    }


def test_what_is_no_version_is_left_out(tmp_path: Path):
    write(tmp_path / ".pruned-3", WHOLE)
    write(tmp_path / ".partial-x", WHOLE)
    write(tmp_path / "3x", WHOLE)
    (tmp_path / "7").write_text("a file")
    assert problems(tmp_path) == {}
    assert problems(tmp_path / "nowhere") == {}


def test_size_and_time(tmp_path: Path):
    write(tmp_path / "1", WHOLE)
    (version,) = read_versions(files_below(tmp_path))
    assert version.size == 7
    assert version.pushed == (tmp_path / "1" / "saved_model.pb").stat().st_mtime


def versions(*numbers: int, broken: tuple[int, ...] = ()) -> list[PushedVersion]:
    return [PushedVersion(number, problem="half" if number in broken else "") for number in numbers]


def test_the_newest_stay():
    assert prunable(versions(1, 2, 3, 4, 10), RolloutState(), [], keep=2) == [1, 2, 3]
    assert prunable(versions(1, 2), RolloutState(), [], keep=2) == []
    assert prunable([], RolloutState(), [], keep=5) == []


def test_what_serves_and_what_one_rolls_back_to_stays():
    state = RolloutState(stable=3, canary=1, traffic=5, previous=(4, 2))
    assert prunable(versions(1, 2, 3, 4, 5, 6, 7), state, [], keep=1) == [4, 5, 6]


def test_what_a_server_has_loaded_stays():
    assert prunable(versions(1, 2, 3), RolloutState(), [1], keep=1) == [2]


def test_what_may_be_in_the_middle_of_a_copy_stays_and_does_not_count():
    assert prunable(versions(1, 2, 3, 4, broken=(2, 4)), RolloutState(), [], keep=1) == [1]


def test_one_has_to_stay():
    with pytest.raises(UsageError, match="has to stay"):
        prunable(versions(1, 2), RolloutState(), [], keep=0)
