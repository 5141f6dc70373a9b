"""A training that was interrupted goes on after its last epoch, and ends as if nothing had happened."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from pipeline.config import PipelineConfig
from pipeline.training import checkpoints
from pipeline.training.checkpoints import Checkpoint
from pipeline.training.data import TrainingData
from pipeline.training.examples import Rows
from pipeline.training.network import fit, learn_again, make_deterministic, state_of
from pipeline.training.recipe import Recipe
from pipeline.training.settings import for_trainer
from pipeline.util.notes import take_notes

NUM_ROWS, EPOCHS, SEED = 300, 6, 7


class Killed(BaseException):
    """The end of a process in the middle of its work."""


class Kill(keras.callbacks.Callback):
    """Ends a training in the middle of an epoch; counts those that end."""

    def __init__(self, in_epoch: int | None) -> None:
        super().__init__()
        self._in_epoch = in_epoch
        self.trained: list[int] = []
        self.told: list[int] = []
        self._is_at_work = False

    def on_epoch_begin(self, epoch: int, logs: object = None) -> None:
        self._is_at_work = True

    def on_train_batch_end(self, batch: int, logs: object = None) -> None:
        if self._in_epoch == len(self.told):
            raise Killed

    def on_epoch_end(self, epoch: int, logs: object = None) -> None:
        self.told.append(epoch)
        if self._is_at_work:
            self.trained.append(epoch)
        self._is_at_work = False


class Trained:
    """A training of a small table with dropout and early stopping.

    Where rows are in order, the newest are unlike the others, so that it stops early, and there is a second training.
    """

    def __init__(self, folder: Path, *, in_order: bool, patience: int = 2) -> None:
        random = np.random.default_rng(0)
        values = random.normal(size=(NUM_ROWS, 4)).astype(np.float32)
        labels = (values[:, 0] + random.normal(size=NUM_ROWS) > 0).astype(np.int64)
        if in_order:
            labels[-NUM_ROWS // 5 :] ^= 1
        split = {"method": "time", "by": "when"} if in_order else {}
        training = {"epochs": EPOCHS, "batch_size": 32, "patience": patience, "seed": SEED, "learning_rate": 0.05}
        data = {"input": "a.csv", "split": split}
        config = PipelineConfig.model_validate({"name": "a", "label": "y", "data": data, "training": training})
        settings = for_trainer(config)
        rows = Rows({"x": tf.Variable(values)}, labels, {"when": np.arange(NUM_ROWS)})
        self.data = TrainingData(rows, settings)
        self.recipe = Recipe.of(settings.model, settings.training, len(self.data.train))
        self._folder, self._in_order = folder, in_order

    def run(self, killed_in: int | None = None) -> None:
        """Trains like a new process; the model and the history are attributes then."""
        make_deterministic(SEED)
        inputs = keras.Input((4,), name="x")
        hidden = keras.layers.Dropout(0.5)(keras.layers.Dense(16, activation="relu")(inputs))
        self.model = model = keras.Model({"x": inputs}, keras.layers.Dense(1)(hidden))
        rate = keras.optimizers.schedules.CosineDecay(self.recipe.learning_rate, self.recipe.num_steps)
        loss = keras.losses.BinaryCrossentropy(from_logits=True)
        model.compile(keras.optimizers.Adam(rate), loss, steps_per_execution=self.recipe.steps_per_execution)
        start = state_of(model)
        self.kill = Kill(killed_in)
        self.history = fit(model, self.data, self.recipe, SEED, [self.kill], checkpoint=Checkpoint(self._folder / "network"))
        self.outputs = self.data.outputs(model)
        if self._in_order:
            learn_again(model, start, self.history, self.data, self.recipe, SEED, Checkpoint(self._folder / "again"))

    def result(self) -> tuple[list[np.ndarray], list[dict[str, float]]]:
        """All that a training changes, and its history without the time that it took."""
        metrics = [{name: value for name, value in epoch.items() if name != "seconds"} for epoch in self.history]
        return [self.outputs, *(value for _, value in state_of(self.model))], metrics


@pytest.fixture(autouse=True)
def _each_epoch_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "SECONDS", 0.0)
    monkeypatch.setattr(checkpoints, "PAUSE", 0.0)


def assert_same(one: Trained, other: Trained) -> None:
    (values, history), (others, other_history) = one.result(), other.result()
    assert history == other_history
    for value, expected in zip(values, others, strict=True):
        np.testing.assert_array_equal(value, expected)


@pytest.mark.parametrize(("in_order", "patience"), [(False, 0), (True, 2)])
def test_what_is_left_is_trained_and_the_result_is_that_without_interruption(
    tmp_path: Path, in_order: bool, patience: int
) -> None:
    undisturbed = Trained(tmp_path / "undisturbed", in_order=in_order, patience=patience)
    undisturbed.run()
    disturbed = Trained(tmp_path / "disturbed", in_order=in_order, patience=patience)
    for in_epoch in (1, 2):
        with pytest.raises(Killed):
            disturbed.run(killed_in=in_epoch)
    take_notes()
    disturbed.run()

    assert take_notes()[0] == f"An earlier training was interrupted: this one goes on after its epoch 2 of {EPOCHS}."
    assert disturbed.kill.trained == undisturbed.kill.trained[2:]
    assert disturbed.kill.told == undisturbed.kill.told
    assert_same(disturbed, undisturbed)


def test_a_training_that_had_ended_is_not_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    undisturbed = Trained(tmp_path / "undisturbed", in_order=True)
    undisturbed.run()
    assert len(undisturbed.history) < EPOCHS
    disturbed = Trained(tmp_path / "disturbed", in_order=True)
    monkeypatch.setitem(globals(), "learn_again", _killed)
    with pytest.raises(Killed):
        disturbed.run()
    monkeypatch.undo()
    monkeypatch.setattr(checkpoints, "SECONDS", 0.0)
    monkeypatch.setattr(checkpoints, "PAUSE", 0.0)
    disturbed.run()

    assert disturbed.kill.trained == []
    assert_same(disturbed, undisturbed)


def test_a_state_that_does_not_fit_the_model_is_not_used(tmp_path: Path) -> None:
    training = Trained(tmp_path, in_order=False)
    Checkpoint(tmp_path / "network").keep(lambda: {"values": [np.zeros(3)]})
    training.run()
    assert training.kill.trained[0] == 0


def _killed(*arguments: object) -> None:
    raise Killed
