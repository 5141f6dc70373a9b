"""Training with some settings: what a trial does."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol

import keras
import tensorflow_transform as tft

from pipeline.errors import NodeError
from pipeline.training.data import TrainingData
from pipeline.training.members.boosting import TreeRows
from pipeline.training.members.learning import Table, boost_parts, tree_rows
from pipeline.training.members.losses import Outputs
from pipeline.training.network import compiled_model, fit, strategy_of_devices
from pipeline.training.recipe import Recipe
from pipeline.training.settings import TrainerSettings
from pipeline.training.tuning.space import configured

# Fewer curves have no median to go by, and all curves look alike at their beginning.
_LEAST_CURVES, _SHARE_OF_EPOCHS = 3, 1 / 8


@dataclass(frozen=True)
class Attempt:
    """What came of a training.

    Attributes:
      loss: that of the rows that judge; None where it is not a number.
      outputs: what the model puts out for these rows.
      curve: the validation loss after each epoch.
      was_stopped: whether it was stopped since others were better by then.
    """

    loss: float | None
    outputs: Outputs | None
    curve: tuple[float, ...] = ()
    was_stopped: bool = False


class Attempts(Protocol):
    """Trains members of a kind.

    Attributes:
      kind: the kind.
      configured: the settings without a search.
    """

    kind: str
    configured: Mapping[str, Any]

    def train(self, values: Mapping[str, Any], curves: Sequence[Sequence[float]], within: str) -> Attempt:
        """Trains one.

        Args:
          values: the settings that replace configured ones.
          curves: those of earlier attempts.
          within: what it is part of, before each line of progress.
        """


class TreesAttempts:
    """Trains trees, in seconds: they stop by themselves, so none is stopped for the sake of others.

    Args:
      settings: the Trainer's settings.
      table: what trees learn from.
    """

    kind: str = "trees"

    def __init__(self, settings: TrainerSettings, table: Table) -> None:
        self._settings, self._table = settings, table
        learnt_from, _ = table.division.parts[0]
        self.configured: Mapping[str, Any] = configured(self.kind, settings, len(learnt_from), table.encoding.num_outputs)

    @cached_property
    def _rows(self) -> TreeRows:
        return tree_rows(self._table)[1]

    def train(self, values: Mapping[str, Any], curves: Sequence[Sequence[float]], within: str) -> Attempt:
        """Trains trees, fold by fold where rows are few."""
        table = replace(self._table, growth=self._settings.tuned(values).model.trees)
        outputs, _ = boost_parts(table, self._rows)
        return Attempt(table.loss(outputs, table.division.judged), outputs)


class NetworkAttempts:
    """Trains networks as the Trainer does, and stops one that is worse than most others were after as many epochs.

    Args:
      settings: the Trainer's settings, with the epochs of a trial.
      transform_output: the transform graph.
      data: the rows.
      table: the same as trees have them.
    """

    kind: str = "network"

    def __init__(
        self, settings: TrainerSettings, transform_output: tft.TFTransformOutput, data: TrainingData, table: Table
    ) -> None:
        self._settings, self._transform_output, self._data, self._table = settings, transform_output, data, table
        self.configured: Mapping[str, Any] = configured(self.kind, settings, len(data.train), data.encoding.num_outputs)

    def train(self, values: Mapping[str, Any], curves: Sequence[Sequence[float]], within: str) -> Attempt:
        """Trains a network."""
        settings = self._settings.tuned(values)
        recipe = Recipe.of(settings.model, settings.training, len(self._data.train))
        # Each trial starts from the same state, whatever the trials before it used up.
        keras.backend.clear_session()
        keras.utils.set_random_seed(settings.training.seed)
        with strategy_of_devices().scope():
            model = compiled_model(settings, self._transform_output, self._data, recipe)
        stop = StopBelowMedian(curves, recipe.epochs)
        try:
            fit(model, self._data, recipe, settings.training.seed, [stop], within)
        except NodeError:
            # These settings are too bold; the search goes on.
            return Attempt(None, None)
        outputs = self._data.outputs(model)
        return Attempt(self._table.loss(outputs, self._data.validation), outputs, tuple(stop.curve), stop.has_stopped)


class StopBelowMedian(keras.callbacks.Callback):
    """Stops a training whose best validation loss is above the median of others after as many epochs.

    The median stopping rule of Google Vizier (Golovin et al., 2017), by the best loss so far, without penalties of weights.

    Args:
      curves: the validation losses of others, by epoch.
      epochs: how many there are at the most: none is stopped in the first eighth of them.

    Attributes:
      curve: the validation loss after each epoch.
      has_stopped: whether it has stopped the training.
    """

    def __init__(self, curves: Iterable[Sequence[float]], epochs: int) -> None:
        super().__init__()
        self._curves = [curve for curve in curves if curve]
        self._first = max(2, round(_SHARE_OF_EPOCHS * epochs))
        self.curve: list[float] = []
        self.has_stopped = False

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Compares."""
        penalties = sum(float(each) for each in self.model.losses)
        self.curve.append((logs or {})["val_loss"] - penalties)
        done = epoch + 1
        if len(self._curves) >= _LEAST_CURVES and done >= self._first and done < self.params["epochs"]:
            self.has_stopped = min(self.curve) > statistics.median(min(curve[:done]) for curve in self._curves)
            self.model.stop_training = self.model.stop_training or self.has_stopped
