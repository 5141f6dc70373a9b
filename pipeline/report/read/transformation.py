"""Reads what Transform makes of the columns: the features that the model sees, and the vocabularies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

from pipeline.report.read.schema import read_features
from pipeline.training.features import vocabulary_key
from pipeline.training.vocabularies import PREFIX, read_vocabularies

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
    names = {vocabulary_key(column): column for column in columns}
    saved_model = folder / "transform_fn"
    derived = [_vocabulary(names.get(key, key), values) for key, values in read_vocabularies(saved_model).items()]
    # A person's own preprocessing_fn may write vocabularies as compressed records too.
    own = [path for path in (saved_model / "assets").glob("*") if path.suffix != ".gz" and not path.name.startswith(PREFIX)]
    vocabularies = [*derived, *(_vocabulary(path.name, path.read_bytes().splitlines()) for path in own)]
    return Transformation(columns, features, tuple(sorted(vocabularies, key=lambda each: each.column)))


def _vocabulary(column: str, values: Sequence[bytes]) -> Vocabulary:
    shown = tuple(value.decode(errors="replace") for value in values[:_VALUES_SHOWN])
    return Vocabulary(column, len(values), shown)
