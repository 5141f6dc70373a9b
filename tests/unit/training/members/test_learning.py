"""What members learn from in the end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from pipeline.config import Split, Task
from pipeline.training import checkpoints
from pipeline.training.checkpoints import Checkpoint
from pipeline.training.division import arranged, divide
from pipeline.training.labels import LabelEncoding
from pipeline.training.members import learning
from pipeline.training.members.boosting import Boosted
from pipeline.training.members.learning import Table, learn, learn_baseline

NUM_ROWS = 2_500


def answer(split: Split, kind: str) -> float:
    """The output for a value that only the newest rows have, all of them positive."""
    value = np.arange(NUM_ROWS) >= NUM_ROWS - 300
    labels = np.where(value, 1, np.arange(NUM_ROWS) % 2).astype(np.float32)
    values = value.astype(np.float32)[:, np.newaxis]
    division = divide(arranged(split, NUM_ROWS, {"when": np.arange(NUM_ROWS)}, (), None), 0.2, 0, num_outputs=1)
    table = Table(None, {}, lambda rows: {"x": tf.constant(values[rows])}, labels, division, LabelEncoding(Task.BINARY, (0, 1)))
    return float(learn(kind, table).layer({"x": tf.constant([[1.0]])}).numpy()[0, 0])


@pytest.mark.parametrize("kind", ["trees", "linear"])
def test_members_know_the_newest_rows(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learning, "_MOST_ROWS_TO_LEARN_AGAIN", 0)
    assert answer(Split(method="time", by="when"), kind) > 0.02


@pytest.mark.parametrize("most_rows_to_learn_again", [0, NUM_ROWS])
def test_trees_that_were_finished_are_not_trained_again(
    most_rows_to_learn_again: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(learning, "_MOST_ROWS_TO_LEARN_AGAIN", most_rows_to_learn_again)
    monkeypatch.setattr(checkpoints, "SECONDS", 0.0)
    monkeypatch.setattr(checkpoints, "PAUSE", 0.0)
    values = np.random.default_rng(1).normal(size=(NUM_ROWS, 3)).astype(np.float32)
    labels = (values[:, 0] * values[:, 1] > 0).astype(np.float32)
    division = divide(arranged(Split(), NUM_ROWS, {}, (), labels.astype(np.int64)), 0.2, 0, num_outputs=1)
    table = Table(None, {}, lambda rows: {"x": tf.constant(values[rows])}, labels, division, LabelEncoding(Task.BINARY, (0, 1)))
    trained, boost = 0, learning.boost

    def counted(*arguments: Any, **further: Any) -> Boosted:
        nonlocal trained
        trained += 1
        return boost(*arguments, **further)

    monkeypatch.setattr(learning, "boost", counted)
    undisturbed = learn("trees", table)
    num_trained, trained = trained, 0

    def killed(*arguments: Any, **further: Any) -> Boosted:
        if trained == num_trained - 1:
            raise KeyboardInterrupt
        return counted(*arguments, **further)

    monkeypatch.setattr(learning, "boost", killed)
    with pytest.raises(KeyboardInterrupt):
        learn("trees", table, Checkpoint(tmp_path / "trees"))
    monkeypatch.setattr(learning, "boost", counted)
    trained = 0
    resumed = learn("trees", table, Checkpoint(tmp_path / "trees"))

    assert trained == 1
    inputs = {"x": tf.constant(values)}
    np.testing.assert_array_equal(resumed.outputs, undisturbed.outputs)
    np.testing.assert_array_equal(resumed.layer(inputs), undisturbed.layer(inputs))


@pytest.mark.parametrize("num_rows", [NUM_ROWS, 1_000], ids=["one part", "folds"])
def test_a_baseline_learns_from_a_sample_and_answers_for_the_validation_rows(
    num_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(learning, "_ROWS_OF_BASELINE", 500)
    monkeypatch.setattr(learning, "_ROWS_AT_ONCE", 300)
    values = np.random.default_rng(0).normal(size=(num_rows, 1)).astype(np.float32)
    labels = (values[:, 0] > 0).astype(np.float32)
    division = divide(arranged(Split(), num_rows, {}, (), None), 0.2, 0, num_outputs=1)
    table = Table(None, {}, lambda rows: {"x": tf.constant(values[rows])}, labels, division, LabelEncoding(Task.BINARY, (0, 1)))
    baseline = learn_baseline(table)
    assert baseline.facts == f"of {400 if num_rows == 1_000 else 500} rows, only to compare"
    assert ((baseline.outputs[:, 0] > 0) == labels[division.validation]).mean() > 0.97
