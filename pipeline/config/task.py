"""The kinds of prediction."""

from __future__ import annotations

from enum import Enum


class Task(str, Enum):
    """What the model predicts."""

    BINARY = "binary_classification"
    MULTICLASS = "multiclass_classification"
    REGRESSION = "regression"
