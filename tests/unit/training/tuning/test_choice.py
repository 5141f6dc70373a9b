"""What is chosen is never worse than the configured settings on the rows that judge."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import numpy.typing as npt
import pytest

from pipeline.config import Task
from pipeline.training.division import Division
from pipeline.training.labels import LabelEncoding
from pipeline.training.members.learning import Member, Table
from pipeline.training.tuning.choice import choose
from pipeline.training.tuning.trials import Trial

NUM_ROWS = 4000
LABELS = (np.arange(NUM_ROWS) % 2).astype(np.float32)
IS_FIRST = np.arange(NUM_ROWS) < NUM_ROWS // 2
TRAIN, VALIDATION = np.arange(NUM_ROWS), np.arange(NUM_ROWS, 2 * NUM_ROWS)
TABLE = Table(
    None,
    {},
    lambda rows: {},
    np.concatenate([LABELS, LABELS]),
    Division(TRAIN, VALIDATION, ((TRAIN, VALIDATION),), 2 * NUM_ROWS, 1, is_ordered=False, words=""),
    LabelEncoding(Task.BINARY),
)
Values = npt.NDArray[np.float64]


def knows(rows: npt.NDArray[np.bool_], strength: float) -> Values:
    """The outputs of a model that knows the labels of some rows."""
    return (np.where(rows, strength, 0.0) * (2 * LABELS - 1))[:, np.newaxis]


def search(kind: str, *outputs: Values | None) -> SimpleNamespace:
    trials = tuple(
        Trial(kind, number, {kind: number} if number else {}, None if each is None else 0.0, "complete", 1.0)
        for number, each in enumerate(outputs)
    )
    return SimpleNamespace(candidates=trials, outputs=lambda trial: outputs[trial.number])


def test_a_better_trial_is_chosen() -> None:
    choice = choose([search("trees", knows(IS_FIRST, 1.0), knows(IS_FIRST, 3.0))], [], TABLE)
    assert choice.values == {"trees": 1}
    assert choice.loss is not None
    assert choice.configured_loss is not None
    assert choice.loss < choice.configured_loss


def test_equal_ones_leave_the_configured_settings() -> None:
    same = knows(IS_FIRST, 1.0)
    choice = choose([search("trees", same, same), search("network", same, same)], [], TABLE)
    assert choice.values == {}
    assert choice.loss == choice.configured_loss


def test_a_member_that_is_better_alone_may_be_of_less_use_to_the_whole() -> None:
    trees, other = search("trees", knows(IS_FIRST, 3.0)), knows(~IS_FIRST, 3.0)
    network = search("network", other, knows(IS_FIRST, 3.5))
    assert choose([trees, network], [], TABLE).values == {}
    assert choose([network], [], TABLE).values == {"network": 1}


def test_members_that_are_not_searched_count() -> None:
    linear = Member("linear", knows(IS_FIRST, 3.0), lambda inputs: None, 0.0, "")
    network = search("network", knows(~IS_FIRST, 3.0), knows(IS_FIRST, 3.5))
    assert choose([network], [linear], TABLE).values == {}


@pytest.mark.parametrize(("outputs", "values"), [((None, knows(IS_FIRST, 1.0)), {"trees": 1}), ((None,), {})])
def test_what_diverged_is_not_chosen(outputs: tuple[Values | None, ...], values: dict[str, int]) -> None:
    choice = choose([search("trees", *outputs)], [], TABLE)
    assert choice.values == values
    assert choice.configured_loss is None
    assert (choice.loss is None) is (not values)


def test_rows_count_by_their_weights() -> None:
    weights = np.tile(np.where(IS_FIRST, 1.0, 0.0), 2).astype(np.float32)
    weighed = Table(None, {}, TABLE.take, TABLE.labels, TABLE.division, TABLE.encoding, weights)
    searched = search("trees", knows(~IS_FIRST, 3.0), knows(IS_FIRST, 1.0))
    assert choose([searched], [], TABLE).values == {}
    assert choose([searched], [], weighed).values == {"trees": 1}
