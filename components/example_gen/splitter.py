"""Splitters, which divide rows between splits."""

from __future__ import annotations

import hashlib
from typing import Protocol

import numpy as np
import pyarrow as pa

_HASH_RANGE = 1 << 64


class Splitter(Protocol):
    """Divides rows into parts by the content of each row alone."""

    def split(self, examples: pa.Array) -> dict[str, pa.Array]:
        """Serialized tf.Examples (large_binary) by the name of their part, in their order."""


class Whole:
    """Leaves the rows together, since their span decides on the split."""

    PART = "all"

    def split(self, examples: pa.Array) -> dict[str, pa.Array]:
        """All rows under one name."""
        return {self.PART: examples}


class Hashed:
    """Assigns a row to `train` or `eval` by its content alone: not by its place, its file or the file's format.

    As in TFX's stock ExampleGen the hash is SHA-256 of the serialized example, so equal rows share a split.

    Args:
      eval_fraction: the expected share of distinct rows in `eval`, between 0 and 1.
    """

    def __init__(self, eval_fraction: float) -> None:
        self._threshold = np.uint64(int(eval_fraction * _HASH_RANGE))

    def split(self, examples: pa.Array) -> dict[str, pa.Array]:
        """The rows of `train` and of `eval`."""
        digests = b"".join(hashlib.sha256(example).digest()[:8] for example in examples.to_pylist())
        in_eval = np.frombuffer(digests, "<u8") < self._threshold
        return {"train": examples.filter(pa.array(~in_eval)), "eval": examples.filter(pa.array(in_eval))}
