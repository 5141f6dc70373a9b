"""A network's training that goes on after the last epoch that was kept, as if it had never been interrupted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from pipeline.training.checkpoints import Checkpoint
from pipeline.util.notes import note

_STOPPING = ("best", "best_epoch", "best_weights", "stopped_epoch", "wait")


def variables_of(model: keras.Model) -> list[keras.Variable]:
    """All that a training of a compiled model changes: its variables and those of its optimiser."""
    if not model.optimizer.built:
        with model.distribute_strategy.scope():
            model.optimizer.build(model.trainable_variables)
    return [*model.variables, *model.optimizer.variables]


class Resuming(keras.callbacks.Callback):
    """Puts a model back to where an interrupted training stood, and keeps where this one stands.

    It is the last of the callbacks. The order of rows follows from the batches that were learnt from, and dropout from the
    model's own state, so the weights in the end are those of a training that was not interrupted.

    Args:
      checkpoint: where states are kept; None to keep none.
      model: the compiled model, as the training begins with it; it is put back at once.
      epochs: the epochs of the training at the most.
      history: an object for each epoch, which another callback adds to; it gets those that are not repeated.
      stopping: what stops it early, if anything does.
      told: callbacks to which the epochs before are told again, for their curves.

    Attributes:
      first_epoch: the epoch to go on with, from 0; `epochs` where none is left.
      batches: how many batches were learnt from.
    """

    def __init__(
        self,
        checkpoint: Checkpoint | None,
        model: keras.Model,
        epochs: int,
        history: list[dict[str, float]],
        stopping: keras.callbacks.EarlyStopping | None = None,
        told: Sequence[keras.callbacks.Callback] = (),
    ) -> None:
        super().__init__()
        self._checkpoint, self._history, self._stopping, self._told = checkpoint, history, stopping, told
        self._variables = variables_of(model)
        self.first_epoch = self.batches = 0
        self._stopping_state: Mapping[str, Any] | None = None
        kept = None if checkpoint is None else checkpoint.load()
        if kept is not None and [value.shape for value in kept["values"]] == [tuple(each.shape) for each in self._variables]:
            self._put_back(kept, epochs)

    def _put_back(self, kept: Mapping[str, Any], epochs: int) -> None:
        for variable, value in zip(self._variables, kept["values"], strict=True):
            variable.assign(value)
        self.batches, self._stopping_state = kept["batches"], kept["stopping"]
        self._history += kept["history"]
        done = len(self._history)
        self.first_epoch = epochs if kept["has_stopped"] else done
        note(f"An earlier training was interrupted: this one goes on after its epoch {done} of {epochs}.")

    def on_train_begin(self, logs: Mapping[str, float] | None = None) -> None:
        """Tells the others where the training stands: they have just forgotten what was before."""
        if self._stopping is not None and self._stopping_state is not None:
            for name, value in self._stopping_state.items():
                setattr(self._stopping, name, value)
        iterations = self.model.optimizer.iterations
        stand = iterations.numpy()
        for position, record in enumerate(self._history):
            # Curves have the learning rate of their moment.
            iterations.assign(stand * (position + 1) // len(self._history))
            metrics = {name: value for name, value in record.items() if name not in ("epoch", "seconds")}
            for callback in self._told:
                callback.on_epoch_end(position, metrics)
        iterations.assign(stand)

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Counts from the first batch."""
        self._batches_of_epoch = 0

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        """Counts the batches that were executed together, of which this is the last one."""
        self._batches_of_epoch = batch + 1

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Keeps where the training stands."""
        self.batches += self._batches_of_epoch
        if self._checkpoint is not None:
            self._checkpoint.keep(self._state)

    def _state(self) -> dict[str, Any]:
        stopping = self._stopping
        return {
            "values": [_plain(variable.numpy()) for variable in self._variables],
            "history": self._history,
            "batches": self.batches,
            "has_stopped": self.model.stop_training,
            "stopping": None if stopping is None else {name: _plain(getattr(stopping, name)) for name in _STOPPING},
        }


def _plain(value: Any) -> Any:
    """The same in types that numpy has by itself: bfloat16 as float32, which holds all of its numbers."""
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return value.astype(np.float32) if isinstance(value, np.ndarray) and value.dtype.kind == "V" else value
