"""How members stand to each other on the rows that judge them, and what their weighted sum puts out for these."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pipeline.config import Split, Task
from pipeline.training.division import arranged, divide
from pipeline.training.labels import LabelEncoding
from pipeline.training.members.learning import Member
from pipeline.training.members.whole import Standing, weigh, whole_outputs

RANDOM = np.random.default_rng(0)
TRUTH = RANDOM.normal(size=4000)
LABELS = (RANDOM.random(4000) < 1 / (1 + np.exp(2 - 2 * TRUTH))).astype(np.float32)
ENCODING = LabelEncoding(Task.BINARY, (0, 1))


def _member(kind: str, outputs: list[float]) -> Member:
    return Member(kind, np.array(outputs)[:, np.newaxis], lambda inputs: None, 0.0, "")


def _standing(kind: str, weight: float) -> Standing:
    return Standing(kind, weight, {}, 0.0, "")


@pytest.mark.parametrize(
    ("judged", "trees"),
    [([0, 1, 2, 3, 4], [9.0, 1.0, 9.0, 2.0, 9.0]), ([1, 3], [1.0, 2.0])],
    ids=["in folds", "by the validation rows"],
)
def test_beside_a_network_the_validation_rows_count(judged: list[int], trees: list[float]) -> None:
    division: Any = SimpleNamespace(judged=np.array(judged), validation=np.array([1, 3]))
    rows, outputs = whole_outputs(
        [_member("network", [10.0, 20.0]), _member("trees", trees)],
        [_standing("network", 0.5), _standing("trees", 2.0), _standing("whole", 1.0)],
        division,
    )
    assert rows.tolist() == [1, 3]
    assert outputs.tolist() == [[7.0], [14.0]]


def test_without_a_network_all_rows_that_judge_count() -> None:
    division: Any = SimpleNamespace(judged=np.arange(3), validation=np.array([1]))
    rows, outputs = whole_outputs([_member("trees", [1.0, 2.0, 3.0])], [_standing("trees", 1.0)], division)
    assert rows.tolist() == [0, 1, 2]
    assert outputs.tolist() == [[1.0], [2.0], [3.0]]


def stand(method: str, has_baseline: bool = False) -> dict[str, Standing]:
    """A network that tells the newer half of the rows well apart, all of them too high, beside trees that know little."""
    split = Split(method="time", by="when") if method == "time" else Split()
    division = divide(arranged(split, 4000, {"when": np.arange(4000)}, (), None), 0.5, 0, num_outputs=1)
    rows = division.validation
    network = Member("network", 2 * TRUTH[rows, np.newaxis], lambda inputs: inputs, 0.0, "")
    trees = Member("trees", -1.4 + 0.1 * TRUTH[rows, np.newaxis], lambda inputs: inputs, 0.0, "")
    baseline = Member("linear", network.outputs, lambda inputs: inputs, 0.0, "") if has_baseline else None
    standings = weigh([network, trees], division, LABELS, ENCODING, baseline=baseline)
    return {standing.kind: standing for standing in standings}


def test_a_level_of_its_own_is_held_against_a_member() -> None:
    assert stand("hash")["network"].weight < 0.7


def test_unless_the_rows_that_judge_are_newer_than_those_learnt_from() -> None:
    standings = stand("time")
    assert standings["network"].weight > 0.85
    assert standings["whole"].metrics["loss"] == pytest.approx(standings["network"].metrics["loss"], rel=0.05)


@pytest.mark.parametrize("method", ["hash", "time"])
def test_a_baseline_stands_beside_the_whole_and_has_no_part_in_it(method: str) -> None:
    alone, compared = stand(method), stand(method, has_baseline=True)
    assert list(compared) == ["network", "trees", "linear", "whole"]
    assert compared["linear"].weight == 0
    assert compared["linear"].metrics["auc"] == pytest.approx(compared["network"].metrics["auc"])
    assert {kind: compared[kind] for kind in alone} == alone


@pytest.mark.parametrize("method", ["hash", "time"])
def test_a_baseline_is_judged_by_the_rows_that_judge_the_network(method: str) -> None:
    division: Any = SimpleNamespace(judged=np.arange(400), validation=np.arange(0, 400, 10), is_ordered=method == "time")
    values = TRUTH[:400, np.newaxis]
    network, trees, baseline = (
        Member(kind, outputs, lambda inputs: inputs, 0.0, "")
        for kind, outputs in (("network", values[::10]), ("trees", values), ("linear", values[::10]))
    )
    standings = {each.kind: each for each in weigh([network, trees], division, LABELS, ENCODING, baseline=baseline)}
    assert standings["linear"].metrics == standings["network"].metrics


@pytest.mark.parametrize("is_few", [True, False], ids=["few rows", "many rows"])
def test_what_many_rows_say_of_trees_and_a_linear_model_few_beside_a_network_hardly_change(is_few: bool) -> None:
    """Trees know all and a linear model nothing; of the rows that judge the network too, the linear model knows all."""
    division: Any = SimpleNamespace(judged=np.arange(4000), validation=np.arange(4 if is_few else 2000), is_ordered=False)
    noise = RANDOM.normal(size=4000)
    is_judged = np.arange(4000) < len(division.validation)
    trees, linear = np.where(is_judged, noise, 2 * TRUTH), np.where(is_judged, 2 * TRUTH, noise)
    members = [_member("network", [0.0] * len(division.validation)), _member("trees", [*trees]), _member("linear", [*linear])]
    network, trees_weight, linear_weight, _ = (each.weight for each in weigh(members, division, LABELS, ENCODING))
    assert network + trees_weight + linear_weight == pytest.approx(1)
    if is_few:
        assert network == pytest.approx(1 / 3, abs=0.15)
        assert trees_weight > 3 * linear_weight
    else:
        assert linear_weight > 3 * trees_weight
