"""A search tries the configured settings first, goes on where it stopped, and keeps to its time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.errors import ConfigError
from pipeline.training.tuning.attempts import Attempt
from pipeline.training.tuning.search import MemberSearch
from pipeline.training.tuning.trials import TrialStore
from pipeline.util.notes import take_notes

CONFIGURED = {
    "trees.num_leaves": 31,
    "trees.learning_rate": 0.05,
    "trees.min_rows_in_leaf": 20,
    "trees.feature_fraction": 0.8,
    "trees.l2": 1.0,
}
Loss = float | None


class Trees:
    """Trees whose loss is the distance of their learning rate from 0.1."""

    kind = "trees"
    configured = CONFIGURED

    def __init__(self, interrupted_by: int | None = None, loss_as_configured: Loss = 0.05, diverges: bool = False) -> None:
        self.tried: list[Mapping[str, Any]] = []
        self._interrupted_by, self._configured, self._diverges = interrupted_by, loss_as_configured, diverges

    def train(self, values: Mapping[str, Any], curves: Sequence[Sequence[float]], within: str) -> Attempt:
        if len(self.tried) == self._interrupted_by:
            raise KeyboardInterrupt
        self.tried.append(values)
        loss = abs(values["trees.learning_rate"] - 0.1) if values else self._configured
        return Attempt(None, None) if self._diverges else Attempt(loss, np.full((2, 1), loss))


def search(trees: Trees, folder: Path, num_trials: int = 8, seconds: float | None = None) -> MemberSearch:
    made = MemberSearch(trees, TrialStore(folder / "trials"), num_trials, seconds, 42, str(folder / "keras"))
    made.search(verbose=0)
    return made


def test_the_configured_settings_are_tried_first(tmp_path: Path) -> None:
    trees = Trees()
    found = search(trees, tmp_path)
    assert trees.tried[0] == {}
    assert [trial.number for trial in found.trials] == list(range(8))
    assert all(set(values) == set(CONFIGURED) for values in trees.tried[1:])
    assert found.best.loss == min(trial.loss or 0 for trial in found.trials)
    assert [float(found.outputs(trial)[0, 0]) for trial in found.candidates] == [trial.loss for trial in found.candidates]


def test_ties_go_to_the_configured_settings(tmp_path: Path) -> None:
    found = search(Trees(loss_as_configured=0.0), tmp_path)
    assert found.candidates == (found.trials[0],)


def test_where_the_configured_settings_diverge_others_are_found(tmp_path: Path) -> None:
    found = search(Trees(loss_as_configured=None), tmp_path)
    assert found.trials[0].state == "failed"
    assert found.best.is_complete
    assert found.outputs(found.trials[0]) is None


def test_where_all_diverge_the_configured_settings_remain(tmp_path: Path) -> None:
    found = search(Trees(diverges=True), tmp_path, num_trials=5)
    assert len(found.trials) == 5
    assert found.candidates == (found.trials[0],)


@pytest.mark.parametrize("interrupted_by", [0, 1, 3, 7])
def test_an_interrupted_search_goes_on_where_it_stopped(tmp_path: Path, interrupted_by: int) -> None:
    with pytest.raises(KeyboardInterrupt):
        search(Trees(interrupted_by), tmp_path)
    rest = Trees()
    found = search(rest, tmp_path)
    uninterrupted = search(Trees(), tmp_path / "other")
    assert len(rest.tried) == 8 - interrupted_by
    assert [trial.values for trial in found.trials] == [trial.values for trial in uninterrupted.trials]
    assert found.outputs(found.best) is not None


def test_more_trials_go_on_from_those_that_there_are(tmp_path: Path) -> None:
    search(Trees(), tmp_path, num_trials=3)
    further = Trees()
    assert len(search(further, tmp_path, num_trials=5).trials) == 5
    assert len(further.tried) == 2


@pytest.mark.parametrize("damage", [lambda kept: b"", lambda kept: kept[:-1], lambda kept: kept[:40] + b"~" + kept[41:]])
def test_a_trial_that_was_damaged_is_told_and_repeated(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    search(Trees(), tmp_path, num_trials=1)
    take_notes()
    (kept,) = (tmp_path / "trials").iterdir()
    kept.write_bytes(damage(kept.read_bytes()))
    again = Trees()
    found = search(again, tmp_path, num_trials=1)
    assert again.tried == [{}]
    assert found.outputs(found.best) is not None
    (told,) = take_notes()
    assert str(kept) in told

    search(last := Trees(), tmp_path, num_trials=1)
    assert last.tried == []


def test_no_trial_begins_when_the_time_is_used_up(tmp_path: Path) -> None:
    assert len(search(Trees(), tmp_path, seconds=0.0).trials) == 1


def test_an_error_ends_the_search(tmp_path: Path) -> None:
    class Wrong(Trees):
        def train(self, values: Mapping[str, Any], curves: Sequence[Sequence[float]], within: str) -> Attempt:
            raise ConfigError("wrong", where="here", expected="this", seen="that", fix="Mend it.")

    with pytest.raises(Exception, match="wrong") as error:
        search(Wrong(), tmp_path)
    assert isinstance(error.value.__cause__, ConfigError)


def test_each_trial_says_what_came_of_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    search(Trees(), tmp_path, num_trials=2)
    lines = [line for line in capsys.readouterr().out.splitlines() if "loss" in line]
    assert lines[0].startswith("progress: trial 1/2 trees: as configured  0.0 s  loss 0.0500, best 0.0500")
    assert lines[1].startswith("progress: trial 2/2 trees: num_leaves ")
