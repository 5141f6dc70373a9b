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


class Growth(Section):
    """How boosted trees are grown. What is not given follows from the number of rows and classes."""

    num_leaves: Annotated[int, Field(ge=2, le=64)] | None = None
    """Leaves of a tree at the most, of 64 that six levels can have; 31 by default."""
    learning_rate: Annotated[float, Field(gt=0, le=1)] | None = None
    """How much of what a tree would correct it does correct; 0.05 by default, 0.1 for several classes."""
    min_rows_in_leaf: Annotated[int, Field(ge=1)] | None = None
    """Rows that a leaf needs; a fiftieth of all by default, from 3 to 20."""
    feature_fraction: Annotated[float, Field(gt=0, le=1)] | None = None
    """Share of the columns that each tree may look at, 0.8 by default."""
    l2: Annotated[float, Field(ge=0)] | None = None
    """Pulls the values of leaves towards zero, those of few rows most; 1 by default."""


class Model(Section):
    """The model."""

    kind: Literal["auto", "network", "trees", "linear"] | Annotated[tuple[MemberKind, ...], Field(min_length=1)] = "auto"
    """What it is made of, one kind or a list: `network` (Keras), boosted `trees` (LightGBM), `linear`. Several are trained on
    the same rows and add up, each with the weight that makes the validation loss smallest; what does not help is left out.
    `auto`: a network and trees, and below 20,000 rows a linear model. Your own build_model is a network. Other fields of
    this section and `training` are about the network, but `trees`, `validation_fraction` and `seed`."""
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
    trees: Growth = Growth()
    """How boosted trees are grown."""


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
    """Share of the training split held back for early stopping and to weigh what a model is made of, so that the evaluation
    split stays unseen; a tenth by default, a fifth where rows are few. 0: none. With the splits `window` and `time` these are
    the newest rows, with `group` whole groups."""
    patience: Annotated[int, Field(ge=0)] | None = None
    """Epochs without a better validation loss before training stops and the best weights are restored, a fifth of all
    by default. 0: never stop."""
    class_weights: Literal["balanced"] | dict[ClassName, Annotated[float, Field(gt=0)]] | None = None
    """How much a row of each class counts in training, by class, 1 where not given; `balanced`: all classes count the same
    in total. A model of two classes leans to the one that counts more; the validation rows bring its probabilities back to
    the shares of the data where that helps by more than chance, and the threshold follows them."""
    weight: Annotated[str, Field(min_length=1)] | None = None
    """The column that says how much each row counts in training. The derived model does not see it. For metrics there is
    evaluation.weight."""
    explainable: bool = True
    """Whether the model carries 32 rows of the training data, with which `explain` compares a row. Whoever can ask the model
    server can read them; the gateway shows them to nobody. Without them the model carries no row, and cannot be explained."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 42
    """The seed of the weights, the shuffling and the dropout: a number of 32 bits, as NumPy has it."""


class Tuner(Section):
    """A search for better settings of the network and the trees, off by default. What it finds is kept for later runs."""

    enabled: bool = False
    """Search in this run. A search that was interrupted goes on where it stopped."""
    trials: Annotated[int, Field(ge=1)] = 10
    """How many settings to try of the network, and as many of the trees; the first are those of `model` and `training`."""
    epochs: Annotated[int, Field(ge=1)] | None = None
    """Passes of the network over the training split in each trial at the most; as many as in training by default."""
    minutes: Annotated[float, Field(gt=0)] | None = None
    """No trial begins when trials have taken so long; the first ones always run. No limit by default."""
    reuse: bool = True
    """While the tuner is off: train with the best hyperparameters of its last search, if there was one."""
