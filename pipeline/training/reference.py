"""Rows of the training data that a model carries: what a prediction is compared with to explain it."""

from __future__ import annotations

import json
import math
from collections.abc import Container, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from pipeline.contracts.model import PREDICTIONS, PROBABILITIES, REFERENCE_ROWS, SCORE

# Among which the reference rows are chosen: the mean of their predictions is then that of the data within a hundredth or so.
_MOST_CANDIDATES = 2048


def candidates(sample: npt.NDArray[np.object_]) -> tf.Tensor:
    """Serialized tf.Examples to choose among, [M] string, spread over a larger sample."""
    return tf.constant(sample[:: max(1, math.ceil(len(sample) / _MOST_CANDIDATES))], tf.string)


def choose(outputs: Mapping[str, tf.Tensor]) -> npt.NDArray[np.int64]:
    """Which rows stand for all, at most `REFERENCE_ROWS`, in the order of their predictions: the middles of equal shares.

    The mean of their predictions is close to that of all rows, much closer than that of as many rows by chance.

    Args:
      outputs: the model's outputs for the rows, as `pipeline.contracts.model` describes them.
    """
    if PREDICTIONS in outputs or SCORE in outputs:
        order = np.argsort(np.asarray(outputs.get(SCORE, outputs.get(PREDICTIONS)))[:, 0], kind="stable")
    else:
        probabilities = np.asarray(outputs[PROBABILITIES])
        order = np.lexsort((probabilities.max(axis=1), probabilities.argmax(axis=1)))
    count = min(REFERENCE_ROWS, len(order))
    return order[((np.arange(count) + 0.5) * len(order) / count).astype(np.int64)]


def to_json(example: bytes, columns: Sequence[str], lists: Container[str]) -> str:
    """A row as a JSON object of values by column.

    Args:
      example: a serialized tf.Example.
      columns: those that the model takes.
      lists: those that have several values in a row; of others only the first counts.
    """
    features = tf.train.Example.FromString(example).features.feature
    row = {}
    for name in columns:
        values = [_plain(value) for value in _values(features[name])] if name in features else []
        if name in lists and values:
            row[name] = values
        elif values and values[0] is not None:
            row[name] = values[0]
    return json.dumps(row, ensure_ascii=False, separators=(",", ":"))


def _values(feature: tf.train.Feature) -> Sequence[Any]:
    kind = feature.WhichOneof("kind")
    return getattr(feature, kind).value if kind else ()


def _plain(value: Any) -> Any:
    """A value that JSON can hold; None for one that is not finite, which is missing."""
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return value if math.isfinite(value) else None
