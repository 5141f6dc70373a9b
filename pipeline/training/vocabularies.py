"""The values of categorical columns that have an index of their own: a transform graph has those of many columns in a file."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from pipeline.errors import UsageError
from pipeline.training.features import Categorical

PREFIX = "vocabularies_"
"""How the names of the files begin. A line is a column's key, a space and a value; frequent values come first."""


def key_of(line: bytes) -> bytes:
    """The key of the column that a line is of."""
    return line.partition(b" ")[0]


def read_vocabularies(saved_model: Path) -> dict[str, list[bytes]]:
    """The values of each column that has any, by the column's key.

    Args:
      saved_model: the folder of the SavedModel within a transform graph.
    """
    found = defaultdict(list)
    for path in sorted((saved_model / "assets").glob(f"{PREFIX}*")):
        with path.open("rb") as file:
            for line in file:
                key, space, value = line.removesuffix(b"\n").partition(b" ")
                # What tf.Transform writes where no column has a value has no space.
                if space:
                    found[key.decode()].append(value)
    return dict(found)


def vocabularies_of(columns: Sequence[Categorical], saved_model: str) -> list[Sequence[bytes]]:
    """The values of some columns.

    Args:
      columns: the columns.
      saved_model: the folder of the SavedModel within a transform graph.

    Raises:
      UsageError: the transform graph has none: an earlier version of Conveyor has written it.
    """
    if not columns:
        return []
    found = _read(saved_model)
    return [found.get(column.key, ()) for column in columns]


# The Trainer needs them for what a model is made of, to read rows, and to export the model.
@lru_cache(maxsize=1)
def _read(saved_model: str) -> Mapping[str, Sequence[bytes]]:
    if not any(Path(saved_model, "assets").glob(f"{PREFIX}*")):
        raise UsageError(
            "The transform graph has no vocabularies that this version of Conveyor can read.",
            where=saved_model,
            expected=f"files whose names begin with {PREFIX}",
            seen="none: an earlier version has written it",
            fix="Make it anew: conveyor run --from Transform",
        )
    return read_vocabularies(Path(saved_model))
