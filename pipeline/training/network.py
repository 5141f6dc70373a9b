"""The network: how it is compiled, trained with early stopping, and where rows are in order trained again on all of them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf
import tensorflow_transform as tft

from pipeline.config import Task
from pipeline.errors import ConfigError, NodeError
from pipeline.training import workers
from pipeline.training.checkpoints import Checkpoint
from pipeline.training.data import TrainingData
from pipeline.training.model import ROWS_FOR_BOUNDARIES, build_model, categories, input_layers, number_encoder
from pipeline.training.recipe import Recipe
from pipeline.training.resuming import Resuming, variables_of
from pipeline.training.settings import TrainerSettings
from pipeline.util.progress import RowProgress, say

# Rows of an epoch: with more, one has steps enough to learn what is new in some of them.
_MOST_ROWS_TO_LEARN_ANEW = 50_000


def make_deterministic(seed: int) -> None:
    """Makes trainings on the same rows in this process give the same weights."""
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()


def compiled_model(
    settings: TrainerSettings, transform_output: tft.TFTransformOutput, data: TrainingData, recipe: Recipe
) -> keras.Model:
    """Builds the derived model or the user's own, and compiles it unless it is compiled already.

    Args:
      settings: the Trainer's settings.
      transform_output: the transform graph.
      data: what the model will be trained on.
      recipe: how it is built and will be trained.

    Raises:
      ConfigError: the user's own build_model does not return a model with the right output.
    """
    encoding = data.encoding
    inputs = input_layers(transform_output, settings.label)
    indices = categories(settings, transform_output)
    own = settings.build_model
    if own is None:
        sample = data.sample(ROWS_FOR_BOUNDARIES)
        encoder = number_encoder(settings, transform_output, sample, recipe)
        model = build_model(inputs, indices, encoding.num_outputs, recipe, encoder)
    else:
        model = own.load()(
            inputs=inputs,
            categories=indices,
            num_outputs=encoding.num_outputs,
            hyperparameters={**settings.hyperparameters(), **recipe.to_json()},
        )
        _check_model(model, encoding.num_outputs, f"{own.file}:{own.function}")
    losses = {
        Task.BINARY: (keras.losses.BinaryCrossentropy(from_logits=True), keras.metrics.AUC(from_logits=True, name="auc")),
        Task.MULTICLASS: (
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            keras.metrics.SparseCategoricalAccuracy(name="accuracy"),
        ),
        Task.REGRESSION: (
            keras.losses.MeanSquaredError(),
            keras.metrics.MeanMetricWrapper(
                lambda labels, outputs: encoding.deviation * keras.losses.mean_absolute_error(labels, outputs), name="mae"
            ),
        ),
    }
    if not model.compiled:
        loss, metric = losses[encoding.task]
        # Keras does not execute several steps together on several devices.
        is_divided = tf.distribute.get_strategy().num_replicas_in_sync > 1
        learning_rate = keras.optimizers.schedules.CosineDecay(recipe.learning_rate, recipe.num_steps)
        model.compile(
            optimizer=keras.optimizers.Adam(learning_rate),
            loss=loss,
            metrics=[metric],
            steps_per_execution=1 if is_divided else recipe.steps_per_execution,
        )
    return model


class _Progress(keras.callbacks.Callback):
    """Prints a line an epoch, which it keeps, and one a second within; stops when the loss is not a number."""

    def __init__(self, within: str = "") -> None:
        super().__init__()
        self._within = within
        self.history: list[dict[str, float]] = []
        self._started = 0.0
        self._steps, self._done = RowProgress(""), 0

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        self._started = time.monotonic()
        self._done = 0
        self._steps = RowProgress(f"{self._within}epoch {epoch + 1}/{self.params['epochs']}", self.params["steps"], "steps")

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        # Called once for several steps that are executed together: a model compiled by the user may go beyond the epoch.
        done = min(batch + 1, self.params["steps"])
        self._steps.add(done - self._done)
        self._done = done

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        metrics = {name: float(value) for name, value in (logs or {}).items()}
        if metrics["loss"] != metrics["loss"]:
            raise NodeError(
                "The training loss is not a number.",
                where=f"Trainer, epoch {epoch + 1}",
                expected="a loss that falls",
                seen="NaN",
                fix="Lower training.learning_rate, or look for extreme values in the data.",
            )
        seconds = time.monotonic() - self._started
        self.history.append({"epoch": epoch + 1, "seconds": seconds, **metrics})
        values = "  ".join(f"{name} {value:.4f}" for name, value in metrics.items())
        say(f"{self._within}epoch {epoch + 1}/{self.params['epochs']}  {seconds:.1f} s  {values}")


class _LevelFree(keras.callbacks.Callback):
    """Puts the loss of levelled outputs in the place of the validation loss."""

    def __init__(self, data: TrainingData) -> None:
        super().__init__()
        self._data = data

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        if logs is not None:
            loss = self._data.level_free_loss(self.model) + sum(float(each) for each in self.model.losses)
            logs["val_loss"] = workers.agreed(self.model.distribute_strategy, loss)


def fit(
    model: keras.Model,
    data: TrainingData,
    recipe: Recipe,
    seed: int,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    within: str = "",
    checkpoint: Checkpoint | None = None,
) -> list[dict[str, float]]:
    """Trains a compiled model.

    Args:
      model: as `compiled_model` makes it.
      data: what it is trained on.
      recipe: how it is trained.
      seed: that of the order of the rows.
      callbacks: what else Keras tells of the training.
      within: what the training is part of, before each line of progress.
      checkpoint: where it is kept how far the training is, to go on from there; None to begin anew each time.

    Returns:
      The history that `HISTORY_FILE` holds.

    Raises:
      NodeError: the loss is not a number.
    """
    progress = _Progress(within)
    called = [progress, *callbacks]
    stopping = None
    if len(data.validation) and data.division.is_ordered:
        called.insert(0, _LevelFree(data))
    if len(data.validation) and recipe.patience:
        stopping = keras.callbacks.EarlyStopping("val_loss", patience=recipe.patience, restore_best_weights=True)
        called.append(stopping)
    resuming = Resuming(checkpoint, model, recipe.epochs, progress.history, stopping, callbacks)
    train, validation = data.batches(recipe.batch_size, seed, resuming.batches)
    _fit(model, train, validation, resuming.first_epoch, recipe.epochs, recipe.steps_per_epoch, [*called, resuming])
    return progress.history


def _fit(
    model: keras.Model,
    train: tf.data.Dataset,
    validation: tf.data.Dataset | None,
    first_epoch: int,
    epochs: int,
    steps_per_epoch: int,
    callbacks: Sequence[keras.callbacks.Callback],
) -> None:
    if workers.are_several(model.distribute_strategy):
        workers.fit(
            model,
            train,
            validation,
            initial_epoch=first_epoch,
            epochs=epochs,
            steps_per_epoch=steps_per_epoch,
            callbacks=callbacks,
        )
        return
    model.fit(
        train,
        validation_data=validation,
        initial_epoch=first_epoch,
        epochs=epochs,
        steps_per_epoch=steps_per_epoch,
        callbacks=list(callbacks),
        shuffle=False,  # the rows are shuffled already
        verbose=0,
    )


State = list[tuple[keras.Variable, npt.NDArray[np.generic]]]
"""All that a training changes, with its values."""


def state_of(model: keras.Model) -> State:
    """The state of a compiled model and of its optimiser."""
    return [(variable, variable.numpy()) for variable in variables_of(model)]


def learn_again(
    model: keras.Model,
    start: State,
    history: Sequence[Mapping[str, float]],
    data: TrainingData,
    recipe: Recipe,
    seed: int,
    checkpoint: Checkpoint | None = None,
) -> None:
    """Trains a model that was trained once more, on all rows.

    Where epochs are short, it learns anew, for as many of them as were best. Otherwise it goes on from what it has learnt, for
    one epoch at the learning rates of the first.

    Args:
      model: as it was trained.
      start: its state before.
      history: that of the training.
      data: what it is trained on.
      recipe: how it was trained.
      seed: that of the order of the rows.
      checkpoint: where it is kept how far this training is; None to begin anew each time.

    Raises:
      NodeError: the loss is not a number.
    """
    say(f"learning again, from all {data.num_rows:,} rows")
    if recipe.steps_per_epoch * recipe.batch_size > _MOST_ROWS_TO_LEARN_ANEW:
        epochs = 1
        model.optimizer.iterations.assign(0)
    else:
        losses = [epoch["val_loss"] for epoch in history]
        epochs = 1 + losses.index(min(losses)) if recipe.patience else recipe.epochs
        for variable, value in start:
            variable.assign(value)
    progress = _Progress()
    resuming = Resuming(checkpoint, model, epochs, progress.history)
    batches = data.all_batches(recipe.batch_size, seed, resuming.batches)
    _fit(model, batches, None, resuming.first_epoch, epochs, recipe.steps_per_epoch, [progress, resuming])


def strategy_of_devices() -> tf.distribute.Strategy:
    """All the GPUs of this machine where there are several; the one, or the CPU, otherwise."""
    if len(tf.config.list_physical_devices("GPU")) > 1:
        return tf.distribute.MirroredStrategy()
    return tf.distribute.get_strategy()


def _check_model(model: object, num_outputs: int, where: str) -> None:
    seen = str(model.output_shape) if isinstance(model, keras.Model) else type(model).__name__
    if not isinstance(model, keras.Model) or model.output_shape != (None, num_outputs):
        raise ConfigError(
            "Your own build_model does not return the model that is needed.",
            where=where,
            expected=f"a keras.Model whose output has the shape {(None, num_outputs)}",
            seen=seen,
            fix="Return a model like the one in docs/your-own-code.md.",
        )
