"""The columns that the model sees, and how each of them is prepared."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pipeline.config import Feature
from pipeline.contracts.model import ColumnType
from pipeline.errors import ConfigError
from pipeline.training.settings import TransformSettings, check_names

DEFAULT_PARTS = ("hour_of_day", "day_of_week")
"""The parts of a time where none are given. Parts of the year are left out: a window of spans rarely covers a whole one."""

# What TensorFlow takes in the name of an operation, and every file system in that of a file.
_PLAIN_NAME = re.compile(r"[a-z0-9_]{1,64}")
_READABLE_CHARACTERS = 40
# The names of the transformed features, as FeaturePlan describes them.
_GROUP = re.compile("numeric|categorical|bag_[0-9]+")


@dataclass(frozen=True)
class Bucketised:
    """A numeric column as the index of its quantile: 0 for missing, then `buckets` of about the same number of rows."""

    name: str
    buckets: int

    @property
    def size(self) -> int:
        """How many indices there are."""
        return self.buckets + 1


@dataclass(frozen=True)
class Categorical:
    """A string or integer column as an index: 0 for missing, then the vocabulary, then the out-of-vocabulary buckets."""

    name: str
    vocabulary: int
    oov_buckets: int
    embedding: int | None

    def size(self, vocabulary_size: int) -> int:
        """How many indices there are, given how many values the vocabulary really holds."""
        return 1 + vocabulary_size + self.oov_buckets

    @property
    def vocabulary_file(self) -> str:
        """The name of the vocabulary within the transform graph."""
        return vocabulary_file(self.name)


@dataclass(frozen=True)
class Time:
    """Seconds since 1970 as cyclic parts."""

    name: str
    parts: tuple[str, ...]


@dataclass(frozen=True)
class FeaturePlan:
    """How each column that the model sees is prepared, each group sorted by name.

    The transformed features follow from it, one row each:
      numeric: float32: standardised values, then their missing indicators, then sines and cosines for each part of each time.
      categorical: int64 [len(categorical) + len(bucketised)]: an index for each, in this order.
    """

    numeric: tuple[str, ...]
    bucketised: tuple[Bucketised, ...]
    categorical: tuple[Categorical, ...]
    time: tuple[Time, ...]

    @classmethod
    def of(cls, settings: TransformSettings, dtypes: Mapping[str, ColumnType]) -> FeaturePlan:
        """Derives the plan: settings of single columns first, then what the type of a column suggests.

        Args:
          settings: the settings of Transform or of the Trainer.
          dtypes: the type of each column in the data; the label may be among them.

        Raises:
          ConfigError: a setting names a column that is not in the data, or does not suit the type of its column, or no
            column is left for the model.
        """
        check_names(settings.features, dtypes)
        defaults = settings.preprocessing
        chosen = {name: settings.features.get(name, Feature()) for name in sorted(set(dtypes) - {settings.label})}
        columns: dict[str, list[str]] = {"numeric": [], "categorical": [], "time": [], "ignore": []}
        for name, feature in chosen.items():
            columns[_kind(name, feature, dtypes[name])].append(name)
        buckets = {name: chosen[name].buckets or defaults.numeric_buckets for name in columns["numeric"]}
        plan = cls(
            numeric=tuple(name for name, number in buckets.items() if not number),
            bucketised=tuple(Bucketised(name, number) for name, number in buckets.items() if number),
            categorical=tuple(
                Categorical(
                    name,
                    chosen[name].vocabulary or defaults.vocabulary,
                    chosen[name].oov_buckets or defaults.oov_buckets,
                    chosen[name].embedding,
                )
                for name in columns["categorical"]
            ),
            time=tuple(Time(name, chosen[name].parts or DEFAULT_PARTS) for name in columns["time"]),
        )
        if not plan.names:
            raise ConfigError(
                "No column is left for the model.",
                where="features",
                expected=f"at least one column besides the label {settings.label!r} that is not ignored",
                seen=f"ignored: {', '.join(columns['ignore']) or 'none'}",
            )
        return plan

    @property
    def names(self) -> tuple[str, ...]:
        """The columns that the model sees, sorted."""
        others: tuple[Bucketised | Categorical | Time, ...] = (*self.bucketised, *self.categorical, *self.time)
        return tuple(sorted((*self.numeric, *(column.name for column in others))))


def label_feature(label: str) -> str:
    """The label's name among the transformed features: its own, unless it is one that the features have there."""
    return f"{label}_label" if _GROUP.fullmatch(label) else label


def vocabulary_file(column: str) -> str:
    """The name of a column's vocabulary within the transform graph: a file's there, and part of the names of operations."""
    if _PLAIN_NAME.fullmatch(column):
        return f"vocabulary_{column}"
    # A plain name has no hyphen, so that no two columns share a file, not even where a file system ignores case.
    readable = re.sub(r"[^a-z0-9]+", "_", column.lower())[:_READABLE_CHARACTERS].strip("_")
    return f"vocabulary_{readable}-{hashlib.sha256(column.encode()).hexdigest()[:16]}"


def _kind(name: str, feature: Feature, dtype: ColumnType) -> str:
    kind = feature.kind or _kind_of_options(feature) or ("categorical" if dtype == "string" else "numeric")
    suits: dict[str, Callable[[ColumnType], bool]] = {
        "numeric": lambda dtype: dtype != "string",
        "categorical": lambda dtype: dtype != "float",
        "time": lambda dtype: dtype == "int",
        "ignore": lambda dtype: True,
    }
    if not suits[kind](dtype):
        expected = {
            "numeric": "numbers",
            "categorical": "strings or integers",
            "time": "a date, a timestamp or seconds since 1970",
        }
        raise ConfigError(
            f"The column {name!r} cannot be {kind}.",
            where=f"features.{name}",
            expected=expected[kind],
            seen=f"values of type {dtype}",
            fix="Choose another kind, or remove the setting to have it derived.",
        )
    return kind


def _kind_of_options(feature: Feature) -> str | None:
    """The kind that options of a column belong to, where the kind itself is not given."""
    if feature.buckets:
        return "numeric"
    if feature.parts:
        return "time"
    if feature.vocabulary or feature.oov_buckets or feature.embedding:
        return "categorical"
    return None
