"""Reads what Transform makes of the columns: the features that the model sees, and the vocabularies."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from math import prod
from pathlib import Path

from pipeline.report.read.schema import read_features
from pipeline.training.features import vocabulary_file

_VALUES_SHOWN = 12


@dataclass(frozen=True)
class TransformedFeature:
    """A tensor of the transformed examples; `width` is how many values a row has in it, None where rows differ."""

    name: str
    type: str
    width: int | None


@dataclass(frozen=True)
class Vocabulary:
    """The values that have an index of their own, of which `values` are the most frequent."""

    column: str
    size: int
    values: tuple[str, ...]


@dataclass(frozen=True)
class Transformation:
    """The inputs and outputs of a transform graph."""

    columns: tuple[str, ...]
    features: tuple[TransformedFeature, ...]
    vocabularies: tuple[Vocabulary, ...]


def read_transformation(folder: Path) -> Transformation:
    """Reads a `TransformGraph` artifact.

    Args:
      folder: the artifact's folder.

    Raises:
      FileNotFoundError: it has no transform graph.
    """
    columns = tuple(feature.name for feature in read_features(folder / "metadata"))
    features = tuple(
        # The label, which comes as it was, has no shape: the schema leaves it open.
        TransformedFeature(feature.name, feature.type, None if feature.shape is None else prod(feature.shape))
        for feature in read_features(folder / "transformed_metadata")
    )
    names = {vocabulary_file(column): column for column in columns}
    # A person's own preprocessing_fn may write vocabularies as compressed records too.
    files = [path for path in sorted((folder / "transform_fn" / "assets").glob("*")) if path.suffix != ".gz"]
    return Transformation(columns, features, tuple(_vocabulary(path, names.get(path.name, path.name)) for path in files))


def _vocabulary(path: Path, column: str) -> Vocabulary:
    with path.open(encoding="utf-8", errors="replace") as file:
        values = tuple(line.rstrip("\n") for line in islice(file, _VALUES_SHOWN))
        return Vocabulary(column, len(values) + sum(1 for _ in file), values)
