"""The task, the model, its training and the search for its hyperparameters."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from pipeline.config.section import FunctionReference, Section

ClassName = Annotated[str, BeforeValidator(str)]
"""A class as text, which YAML may have read as a number."""


class Task(str, Enum):
    """The kind of prediction."""

    BINARY = "binary_classification"
    MULTICLASS = "multiclass_classification"
    REGRESSION = "regression"


MemberKind = Literal["network", "trees", "linear"]


class Model(Section):
    """The model."""

    kind: Literal["auto", "network", "trees", "linear"] | Annotated[tuple[MemberKind, ...], Field(min_length=1)] = "network"
    """What it is made of, one kind or a list: `network` (Keras), boosted `trees` (LightGBM), `linear`. Several are trained on
    the same rows and add up, each with the weight that makes the validation loss smallest; what does not help is left out.
    `auto`: a network and trees, and below 20,000 rows a linear model. Your own build_model is a network. Other fields of
    this section, `training` and `tuner` are about the network, but `validation_fraction` and `seed`."""
    build_model: FunctionReference | None = None
    """Your own instead of the derived one: `file.py:function`; docs/your-own-code.md describes its arguments."""
    numeric_bins: Annotated[int, Field(ge=0)] | None = None
    """Encode each standardised column piecewise linearly over this many quantile bins; 0: take the value as it is. By
    default as many as the number of rows allows, 16 at the most."""
    hidden_units: tuple[Annotated[int, Field(ge=1)], ...] = (128, 64)
    """Width of each hidden layer."""
    dropout: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Share of units dropped after each hidden layer while training; more by default where rows are few."""
    embedding_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of a categorical column's embeddings dropped while training."""
    l2: Annotated[float, Field(ge=0)] = 0.0
    """Weight decay of embeddings and hidden layers."""


class Training(Section):
    """How the model is trained."""

    epochs: Annotated[int, Field(ge=1)] | None = None
    """Passes over the training split at the most; by default more where rows are few."""
    batch_size: Annotated[int, Field(ge=1)] | None = None
    """Rows a step; by default a power of two that grows with the number of rows to 1,024."""
    learning_rate: Annotated[float, Field(gt=0)] | None = None
    """The Adam optimiser's learning rate in the first step; it falls to zero along half a cosine by the last one. By default
    0.001, and 0.002 where rows are few."""
    steps_per_epoch: Annotated[int, Field(ge=1)] | None = None
    """Steps an epoch; as many as the training split has batches when not given."""
    validation_fraction: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Share of the training split held back for early stopping, so that the evaluation split stays unseen; a tenth by
    default, a fifth where rows are few. 0: none."""
    patience: Annotated[int, Field(ge=0)] | None = None
    """Epochs without a better validation loss before training stops and the best weights are restored, a fifth of all
    by default. 0: never stop."""
    class_weights: Literal["balanced"] | dict[ClassName, Annotated[float, Field(gt=0)]] | None = None
    """How much a row of each class counts in training, by class, 1 where not given; `balanced`: all classes count the same
    in total. Probabilities are then those of rows with these shares, not of the data's."""
    weight: Annotated[str, Field(min_length=1)] | None = None
    """The column that says how much each row counts in training. The derived model does not see it, and the Evaluator's metrics
    count each row once."""
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
