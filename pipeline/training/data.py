"""The rows of the training split as they are learnt from: features, labels, weights, and which of them judge."""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Sequence

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf
import tensorflow_transform as tft

from pipeline.config import Task
from pipeline.contracts.spans import rows_of_spans
from pipeline.training import examples, raw, weights, workers
from pipeline.training.division import Indices, arranged, divide
from pipeline.training.features import label_feature
from pipeline.training.labels import LabelEncoding
from pipeline.training.members.losses import Outputs, level_free_loss
from pipeline.training.recipe import validation_fraction
from pipeline.training.settings import TrainerSettings
from pipeline.training.transformation import transformation

_ROWS_AT_ONCE = 8192


class TrainingData:
    """The rows to train on and to validate on.

    Args:
      rows: those of the training split.
      settings: the Trainer's settings.
      spans: how many rows are of each span, oldest first; empty where that is not known.

    Attributes:
      encoding: how the label is learnt.
      division: which rows are learnt from, and which judge.
      labels: [N] of all rows, class indices or the standardised label.
      counts: how much each of all rows counts whatever its class, [N], with a mean of 1.
      class_weights: how much the rows of each class count in training, [classes]; None where all count the same.
      weights: how much each of all rows counts in training, [N]; None where all count the same.
      sample_as_read: some rows as serialized tf.Examples, [M], spread over all.

    Raises:
      DataError: the label is missing, has one value, or does not suit the task.
    """

    def __init__(self, rows: examples.Rows, settings: TrainerSettings, spans: Sequence[int] = ()) -> None:
        self.encoding = LabelEncoding.fit(settings.task, settings.label, rows.labels, settings.positive_class)
        training = settings.training
        self.labels = self.encoding.encode(rows.labels)
        classes = None if settings.task is Task.REGRESSION else self.labels.astype(np.int64)
        columns = {name: rows.columns[name] for name in settings.split.columns if name in rows.columns}
        self.division = divide(
            arranged(settings.split, len(rows), columns, spans, classes),
            validation_fraction(training, len(rows)),
            training.seed,
            self.encoding.num_outputs,
        )
        self._features = rows.features
        self.sample_as_read = rows.sample
        column = None if training.weight is None else weights.checked(training.weight, rows.columns[training.weight])
        self.counts = np.ones(len(rows)) if column is None else column / column.mean()
        by_class = training.class_weights
        self.class_weights = (
            None if by_class is None else weights.by_class(settings.label, by_class, self.encoding, self.labels)
        )
        self.weights = weights.row_weights(settings.label, training.class_weights, self.encoding, self.labels, column)

    @classmethod
    def read(cls, patterns: Sequence[str], settings: TrainerSettings, transform_output: tft.TFTransformOutput) -> TrainingData:
        """Reads the training split.

        Args:
          patterns: those of its TFRecord files.
          settings: the Trainer's settings.
          transform_output: the transform graph.

        Raises:
          ConfigError: the user's own preprocessing_fn returned features that cannot be batched, or there is no such positive
            class, weighted class or column of weights.
          DataError: the label is missing, has one value, or does not suit the task, or rows cannot be weighed.
        """
        if settings.preprocessing_fn is not None:
            examples.check_dense(transform_output.transformed_feature_spec(), label_feature(settings.label))
        name, specs = settings.training.weight, transform_output.raw_feature_spec()
        if name is not None:
            weights.require_column(name, specs)
        needed = {*settings.split.columns, *filter(None, [name])}
        columns = {name: raw.optional(specs[name]) for name in sorted(needed & specs.keys())}
        rows = examples.read(patterns, transformation(settings, transform_output), settings.label, columns)
        is_in_spans = settings.split.method == "window" and len(patterns) == 1
        return cls(rows, settings, _rows_of_spans(patterns[0]) if is_in_spans else ())

    @property
    def train(self) -> Indices:
        """The rows that the network learns from."""
        return self.division.train

    @property
    def validation(self) -> Indices:
        """The rows held back from it, for early stopping; may be empty."""
        return self.division.validation

    @property
    def num_rows(self) -> int:
        """All rows."""
        return len(self.labels)

    def take(self, rows: npt.NDArray[np.int64]) -> dict[str, tf.Tensor]:
        """The transformed features of some rows by name, [N, values]; of bags padded with 0."""
        return {name: examples.take(feature, rows) for name, feature in self._features.items()}

    def outputs(self, model: keras.Model) -> Outputs:
        """What a model puts out for the validation rows, [N, outputs]."""
        if not len(self.validation):
            return np.zeros((0, self.encoding.num_outputs))
        if workers.are_several(model.distribute_strategy):
            outputs = np.concatenate([model(features, training=False).numpy() for features in self._validation_features])
        else:
            outputs = model.predict(self._validation_features, verbose=0)
        return np.asarray(outputs, np.float64)

    @functools.cached_property
    def _validation_features(self) -> tf.data.Dataset:
        """Kept: a dataset is traced when it is made, and a model is asked after each epoch."""
        rows = examples.batches(self._features, self.labels, self.validation, _ROWS_AT_ONCE, shuffle_seed=None)
        return rows.map(lambda features, labels: features)

    def level_free_loss(self, model: keras.Model) -> float:
        """The loss of a model's levelled outputs for the validation rows."""
        rows = self.validation
        weights = None if self.weights is None else self.weights[rows]
        return level_free_loss(self.encoding.task, self.outputs(model), self.labels[rows], weights)

    def sample(self, most: int) -> dict[str, tf.Tensor]:
        """The transformed features of some rows to train on, by name, [N, values].

        Args:
          most: how many rows at most. They are spread over all rows, which are often in the order of time.
        """
        chosen = self.train[:: math.ceil(len(self.train) / most)]
        return self.take(chosen)

    def batches(self, batch_size: int, seed: int, skipped: int = 0) -> tuple[tf.data.Dataset, tf.data.Dataset | None]:
        """Training rows without end, in a new order each epoch, and validation rows, None where there are none.

        Args:
          batch_size: training rows a batch.
          seed: that of the orders.
          skipped: how many batches of training rows to leave out from the beginning.
        """
        rows = functools.partial(examples.batches, self._features, self.labels, weights=self.weights)
        train = rows(self.train, batch_size, seed, skipped=skipped)
        return train, rows(self.validation, max(batch_size, _ROWS_AT_ONCE), None) if len(self.validation) else None

    def all_batches(self, batch_size: int, seed: int, skipped: int = 0) -> tf.data.Dataset:
        """Rows to train on and validation rows without end, in a new order each epoch. Arguments are those of `batches`."""
        rows = np.arange(self.num_rows)
        return examples.batches(self._features, self.labels, rows, batch_size, seed, self.weights, skipped)


def _rows_of_spans(pattern: str) -> list[int]:
    """How many rows are of each span, of the files of a split as TFX names them: `uri/Split-train/*`."""
    folder = os.path.dirname(pattern)
    return rows_of_spans(os.path.dirname(folder), os.path.basename(folder).removeprefix("Split-"))
