"""Several processes that train one network together, each with a share of every batch.

TF_CONFIG names them, as TensorFlow has it: https://www.tensorflow.org/guide/distributed_training#setting_up_the_tf_config_environment_variable.
The first writes the model and all else; the others only learn.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

from pipeline import nodes
from pipeline.errors import NodeError

VARIABLE = "TF_CONFIG"
"""The environment variable that names all workers, and which of them a process is."""


@dataclass(frozen=True)
class Workers:
    """The workers of a training, as one of them sees them.

    Attributes:
      index: which of them this process is, from 0.
      number: how many they are.
      strategy: keeps the weights of all of them the same.
    """

    index: int
    number: int
    strategy: tf.distribute.Strategy

    @classmethod
    def here(cls) -> Workers | None:
        """The workers that TF_CONFIG names; None where this process trains alone.

        It waits for the others, and is called before TensorFlow computes anything in this process.

        Raises:
          NodeError: TF_CONFIG does not name workers.
        """
        described = os.environ.get(VARIABLE)
        if not described:
            return None
        index, number = _place(described)
        return cls(index, number, tf.distribute.MultiWorkerMirroredStrategy()) if number > 1 else None

    @property
    def is_first(self) -> bool:
        """Whether this process writes what comes of the training."""
        return self.index == 0

    def leave_together(self) -> None:
        """Waits until all are done: the others stay while the first one writes the model."""
        # Whoever has ended before is not needed any more.
        with suppress(tf.errors.OpError):
            agreed(self.strategy, 0.0)


def are_several(strategy: tf.distribute.Strategy) -> bool:
    """Whether a strategy is that of several processes."""
    return isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)


def agreed(strategy: tf.distribute.Strategy, value: float) -> float:
    """A number by which all workers decide the same: the mean of what each of them has computed."""
    if not are_several(strategy):
        return value
    return float(strategy.reduce(tf.distribute.ReduceOp.MEAN, tf.constant(value, tf.float64), axis=None))


def fit(
    model: keras.Model,
    train: tf.data.Dataset,
    validation: tf.data.Dataset | None,
    *,
    initial_epoch: int,
    epochs: int,
    steps_per_epoch: int,
    callbacks: Sequence[keras.callbacks.Callback],
) -> None:
    """What `keras.Model.fit` does, with workers: Keras 3's own fails with them, when it takes the mean of a step's losses.

    Args:
      model: a compiled model, made within the strategy's scope.
      train: batches without end, the same for each worker, which learns from its share of each.
      validation: batches of one epoch; None where nothing is held back.
      initial_epoch: the epoch to begin with, from 0.
      epochs: the epoch to end before.
      steps_per_epoch: batches an epoch.
      callbacks: what Keras tells of the training.

    Raises:
      NodeError: a worker has ended.
    """
    strategy = model.distribute_strategy
    called = keras.callbacks.CallbackList(callbacks, model=model, epochs=epochs, steps=steps_per_epoch)

    @tf.function
    def learn(batch: Any) -> None:
        strategy.run(model.train_step, args=(batch,))

    @tf.function
    def judge(batch: Any) -> None:
        strategy.run(model.test_step, args=(batch,))

    with _told_of_lost_workers():
        _build(model, next(iter(train)))
        batches, judged = iter(_shares(strategy, train)), None if validation is None else _shares(strategy, validation)
        model.stop_training = False
        called.on_train_begin()
        logs: dict[str, float] = {}
        for epoch in range(initial_epoch, epochs):
            model.reset_metrics()
            called.on_epoch_begin(epoch)
            for step in range(steps_per_epoch):
                called.on_train_batch_begin(step)
                learn(next(batches))
                called.on_train_batch_end(step)
            logs = _results(model)
            if judged is not None:
                model.reset_metrics()
                for batch in judged:
                    judge(batch)
                logs |= {f"val_{name}": value for name, value in _results(model).items()}
            called.on_epoch_end(epoch, logs)
            if model.stop_training:
                break
        model.optimizer.finalize_variable_values(model.trainable_weights)
        called.on_train_end(logs)


def _place(described: str) -> tuple[int, int]:
    """Which worker this process is, and of how many."""
    try:
        document = json.loads(described)
        task, number = document["task"], len(document["cluster"]["worker"])
        index = int(task["index"])
        is_worker = task["type"] == "worker" and list(document["cluster"]) == ["worker"] and 0 <= index < number
    except (ValueError, KeyError, TypeError):
        is_worker = False
    if not is_worker:
        raise NodeError(
            f"{VARIABLE} does not say who trains together.",
            where=f"the environment variable {VARIABLE}",
            expected='{"cluster": {"worker": ["HOST:PORT", "HOST:PORT"]}, "task": {"type": "worker", "index": 0}}',
            seen=described,
            fix=f"Correct it, or unset {VARIABLE} to train in this process alone.",
        )
    return index, number


def _build(model: keras.Model, batch: Any) -> None:
    """Makes the variables of the loss and the metrics, which may not come into being within a step."""
    features, labels, weights = keras.utils.unpack_x_y_sample_weight(batch)
    with model.distribute_strategy.scope():
        outputs = model(features, training=False)
        model.compute_loss(features, labels, outputs, weights)
        model.compute_metrics(features, labels, outputs, weights)
        model.reset_metrics()


def _shares(strategy: tf.distribute.Strategy, dataset: tf.data.Dataset) -> Any:
    """The batches of a dataset, of each of which a worker gets every so manieth row, and at least one."""

    def of_worker(context: tf.distribute.InputContext) -> tf.data.Dataset:
        first, step = context.input_pipeline_id, context.num_input_pipelines

        def share(*batch: Any) -> Any:
            size = tf.shape(batch[1])[0]
            rows = tf.range(first, tf.maximum(size, first + 1), step) % size
            return tf.nest.map_structure(lambda values: tf.gather(values, rows), batch)

        return dataset.map(share).prefetch(tf.data.AUTOTUNE)

    return strategy.distribute_datasets_from_function(of_worker)


def _results(model: keras.Model) -> dict[str, float]:
    """The metrics over the rows of all workers."""
    return {name: float(value) for name, value in model.get_metrics_result().items()}


@contextmanager
def _told_of_lost_workers() -> Iterator[None]:
    try:
        yield
    except (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError) as error:
        raise NodeError(
            "A worker of the training has ended before it was done.",
            where=nodes.TRAINER.id,
            expected="all workers at work until the last epoch",
            seen=" ".join(error.message.split()),
            fix="The log of the worker that is named says why it ended. Run again: the training goes on after its last epoch.",
        ) from error
