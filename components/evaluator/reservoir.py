"""A random sample of rows that pass by, of which there may be any number."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


class Reservoir:
    """Keeps rows, each equally likely; those with the smallest random numbers (Efraimidis and Spirakis, 2006).

    Args:
      size: how many rows at most.
      seed: the seed of the random numbers.
    """

    def __init__(self, size: int, seed: int) -> None:
        self._size = size
        self._random = np.random.default_rng(seed)
        self._priorities = np.empty(0)
        self._examples = np.empty(0, object)
        self._labels = np.empty(0)
        self._weights = np.empty(0)

    def add(self, examples: npt.NDArray[Any], labels: npt.NDArray[Any], weights: npt.NDArray[Any]) -> None:
        """Adds serialized tf.Examples, [N], with their labels and how much each counts, [N]."""
        priorities = np.concatenate([self._priorities, self._random.random(len(examples))])
        kept = np.sort(np.argsort(priorities, kind="stable")[: self._size])
        self._priorities = priorities[kept]
        self._examples = np.concatenate([self._examples, examples])[kept]
        self._labels = np.concatenate([self._labels, labels])[kept]
        self._weights = np.concatenate([self._weights, weights])[kept]

    @property
    def examples(self) -> npt.NDArray[Any]:
        """The rows that were kept, in their order, [M]."""
        return self._examples

    @property
    def labels(self) -> npt.NDArray[np.float64]:
        """Their labels, [M]."""
        return self._labels

    @property
    def weights(self) -> npt.NDArray[np.float64]:
        """How much each of them counts, [M]."""
        return self._weights
