"""How a model is built and trained: what is configured, and for the rest what suits the number of rows."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from pipeline.config import Model, Training

RECIPE_FILE = "recipe.json"
"""In the `model_run` artifact: an object with the fields of the `Recipe` that a training followed, and `LEARNT_AGAIN`."""

LEARNT_AGAIN = "learnt_again"
"""Whether the model, once it was judged, has learnt again from all rows."""

_SMALLEST_BATCH, _LARGEST_BATCH, _BATCHES = 16, 1024, 32
_STEPS, _LEAST_EPOCHS, _MOST_EPOCHS = 1500, 10, 100
_LEAST_PATIENCE, _PATIENCE = 2, 1 / 5
_LEAST_BINS, _MOST_BINS, _ROWS_A_BIN = 4, 16, 50
_FEW_ROWS = 10_000
_DROPOUT, _DROPOUT_OF_FEW = 0.1, 0.3
_RATE, _RATE_OF_FEW = 1e-3, 2e-3
_VALIDATION, _VALIDATION_OF_FEW = 0.1, 0.2

# Steps between two returns to Python: each costs about as much as a small step.
_STEPS_PER_EXECUTION = 16


@dataclass(frozen=True)
class Recipe:
    """The choices of a training.

    What is not configured follows from the number of rows. The rules were chosen on tables of 110 to 5,000 rows, by the loss on
    rows of neither training nor validation.

    Attributes:
      batch_size: rows a step. By default the power of two next to a 32nd of the rows, between 16 and 1,024.
      epochs: passes over the rows at the most. By default as many as 1,500 steps take, between 10 and 100.
      steps_per_epoch: steps in each of them: as configured, or as many as the rows have batches. Keras rounds them up to a
        multiple of `steps_per_execution`.
      steps_per_execution: steps that TensorFlow executes without a return to Python: up to 16, so that an epoch is rounded up
        by a sixteenth at the most, and not at all where it is one execution.
      learning_rate: that of the first step. By default 0.002 below 10,000 rows, 0.001 from there.
      patience: epochs without a better validation loss before training stops; 0: it does not. By default a fifth of the
        epochs, and at least 2.
      numeric_bins: quantile bins of each standardised column; 0: none. By default one for each 50 rows, between 4 and 16.
      keep_numbers: whether a network sees the numbers beside their bins: below 10,000 rows, where bins alone are slow to
        learn what is straight.
      hidden_units: the width of each hidden layer.
      dropout: the share of units dropped after each hidden layer. By default 0.3 below 10,000 rows, 0.1 from there.
      embedding_dropout: the share of a categorical column's embeddings dropped.
      l2: the weight decay of embeddings and hidden layers.
    """

    batch_size: int
    epochs: int
    steps_per_epoch: int
    steps_per_execution: int
    learning_rate: float
    patience: int
    numeric_bins: int
    keep_numbers: bool
    hidden_units: tuple[int, ...]
    dropout: float
    embedding_dropout: float
    l2: float

    @classmethod
    def of(cls, model: Model, training: Training, num_rows: int) -> Recipe:
        """The choices for a table.

        Args:
          model: the section `model` of the configuration.
          training: the section `training` of the configuration.
          num_rows: the rows to train on, without those held back for validation; at least one.
        """
        batch_size = training.batch_size or _batch_size(num_rows)
        batches = math.ceil(num_rows / batch_size)
        epochs = training.epochs or min(_MOST_EPOCHS, max(_LEAST_EPOCHS, math.ceil(_STEPS / batches)))
        steps = training.steps_per_epoch or batches
        is_small = num_rows < _FEW_ROWS
        patience, bins, dropout = training.patience, model.numeric_bins, model.dropout
        return cls(
            batch_size=batch_size,
            epochs=epochs,
            steps_per_epoch=steps,
            steps_per_execution=math.ceil(steps / math.ceil(steps / _STEPS_PER_EXECUTION)),
            learning_rate=training.learning_rate or (_RATE_OF_FEW if is_small else _RATE),
            patience=max(_LEAST_PATIENCE, round(_PATIENCE * epochs)) if patience is None else patience,
            numeric_bins=min(_MOST_BINS, max(_LEAST_BINS, num_rows // _ROWS_A_BIN)) if bins is None else bins,
            keep_numbers=is_small,
            hidden_units=model.hidden_units,
            dropout=(_DROPOUT_OF_FEW if is_small else _DROPOUT) if dropout is None else dropout,
            embedding_dropout=model.embedding_dropout,
            l2=model.l2,
        )

    @property
    def num_steps(self) -> int:
        """The steps by the end of which the learning rate is zero."""
        return self.epochs * self.steps_per_epoch

    def to_json(self) -> dict[str, Any]:
        """The fields by name."""
        return {**asdict(self), "hidden_units": list(self.hidden_units)}

    def __str__(self) -> str:
        """The choices in a line of the log."""
        return (
            f"at most {self.epochs} epochs of {self.steps_per_epoch:,} batches of {self.batch_size:,} rows, "
            f"patience {self.patience}, learning rate {self.learning_rate:g}, dropout {self.dropout:g}, "
            f"{self.numeric_bins or 'no'} bins a number"
        )


def _batch_size(num_rows: int) -> int:
    power_of_two: int = 1 << round(math.log2(max(1, num_rows / _BATCHES)))
    return min(_LARGEST_BATCH, max(_SMALLEST_BATCH, power_of_two))


def validation_fraction(training: Training, num_rows: int) -> float:
    """The share of the rows of the training split to hold back: a tenth by default, a fifth below 10,000 rows."""
    if training.validation_fraction is not None:
        return training.validation_fraction
    return _VALIDATION_OF_FEW if num_rows < _FEW_ROWS else _VALIDATION
