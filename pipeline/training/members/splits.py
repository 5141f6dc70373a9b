"""The splits of LightGBM's trees: what a node sends to the left."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

ZERO = np.float32(1e-35)
"""Values as near to 0 are 0: kZeroThreshold of LightGBM."""

# What Common::AvoidInf of LightGBM writes for infinity; its other thresholds lie between floats.
_INFINITE = 1e300

Node = Mapping[str, Any]
"""A node as `lightgbm.Booster.dump_model` returns it."""


def is_split(node: Node) -> bool:
    """Whether a node has others below it, and is no leaf."""
    return "split_feature" in node


def set_of(node: Node) -> tuple[int, ...] | None:
    """The categories that go to the left; None where the node splits by a number."""
    return tuple(map(int, node["threshold"].split("||"))) if node["decision_type"] == "==" else None


def missing_side(node: Node) -> str:
    """Where NaN goes in a node that splits by a number: `left`, `right`, or `as zero`, where 0 goes."""
    return ("left" if node["default_left"] else "right") if node["missing_type"] == "NaN" else "as zero"


def greatest_on_the_left(node: Node) -> np.float32:
    """The greatest float that goes to the left in a node that splits by a number."""
    threshold = node["threshold"]
    if abs(threshold) >= _INFINITE:
        return np.float32(math.copysign(math.inf, threshold))
    if abs(threshold) <= float(ZERO):
        return ZERO if threshold >= 0 else np.nextafter(-ZERO, np.float32(-np.inf))
    rounded = np.float32(threshold)
    # A float beside a Python number would be compared as a float.
    return np.nextafter(rounded, np.float32(-np.inf)) if float(rounded) > threshold else rounded
