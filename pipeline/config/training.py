"""The task, the model, its training and the search for its hyperparameters."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

from pydantic import Field

from pipeline.config.section import FunctionReference, Section


class Task(str, Enum):
    """The kind of prediction."""

    BINARY = "binary_classification"
    MULTICLASS = "multiclass_classification"
    REGRESSION = "regression"


class Model(Section):
    """The Keras model."""

    build_model: FunctionReference | None = None
    """Your own instead of the derived one: `file.py:function`; docs/your-own-code.md describes its arguments."""
    numeric_bins: Annotated[int, Field(ge=2)] | None = 16
    """Encode each standardised column piecewise linearly over this many quantile bins; null: take the value as it is."""
    hidden_units: tuple[Annotated[int, Field(ge=1)], ...] = (128, 64)
    """Width of each hidden layer."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of units dropped after each hidden layer while training."""
    embedding_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of a categorical column's embeddings dropped while training."""
    l2: Annotated[float, Field(ge=0)] = 0.0
    """Weight decay of embeddings and hidden layers."""


class Training(Section):
    """How the model is trained."""

    epochs: Annotated[int, Field(ge=1)] = 10
    """Passes over the training split at the most."""
    batch_size: Annotated[int, Field(ge=1)] = 1024
    """Rows a step."""
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    """The Adam optimiser's learning rate in the first step; it falls to zero along half a cosine by the last one."""
    steps_per_epoch: Annotated[int, Field(ge=1)] | None = None
    """Steps an epoch; as many as the training split has batches when not given."""
    validation_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of the training split held back for early stopping, so that the evaluation split stays unseen. 0: none."""
    patience: Annotated[int, Field(ge=0)] = 2
    """Epochs without a better validation loss before training stops and the best weights are restored. 0: never stop."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 42
    """The seed of the weights, the shuffling and the dropout: a number of 32 bits, as NumPy has it."""


class Tuner(Section):
    """A search for better hyperparameters, off by default. The best ones found are kept and used by later runs."""

    enabled: bool = False
    """Search in this run."""
    trials: Annotated[int, Field(ge=1)] = 10
    """How many sets of hyperparameters to try."""
    epochs: Annotated[int, Field(ge=1)] = 3
    """Passes over the training split a trial."""
    reuse: bool = True
    """While the tuner is off: train with the best hyperparameters of its last search, if there was one."""
