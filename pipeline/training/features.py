"""The columns that the model sees, and how each of them is prepared."""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pipeline.config import Feature, Preprocessing
from pipeline.contracts.model import ColumnType
from pipeline.errors import ConfigError
from pipeline.training.settings import TransformSettings, check_names, named_columns

DEFAULT_HASH_BUCKETS = 4096
"""The hash buckets of a text where none are given: enough for the frequent words of a table of reviews to rarely meet."""

DEFAULT_PARTS = ("hour_of_day", "day_of_week")
"""The parts of a time where none are given. Parts of the year are left out: a window of spans rarely covers a whole one."""

ELAPSED = "elapsed"
"""The part of a time that is no cycle: the time itself."""

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
    def key(self) -> str:
        """What the vocabulary of the column has before each of its values within the transform graph."""
        return vocabulary_key(self.name)


@dataclass(frozen=True)
class Text:
    """A text as the hashes of its words and pairs of words, from 1."""

    name: str
    hash_buckets: int
    embedding: int | None

    @property
    def size(self) -> int:
        """How many indices there are."""
        return self.hash_buckets + 1


@dataclass(frozen=True)
class Vector:
    """A list of as many numbers in each row."""

    name: str
    size: int


@dataclass(frozen=True)
class Time:
    """Seconds since 1970 as cyclic parts; of a list, the mean of each over the row's values.

    The time itself, where the model sees it too, is a number of the same name.
    """

    name: str
    parts: tuple[str, ...]
    is_list: bool = False


Bag = Bucketised | Categorical | Text
"""A column with any number of indices in a row: a list whose values are prepared so one by one, or a text."""

_Prepared = str | Bag | Time | Vector

POOLED_NUMBERS = 4
"""How many numbers become of a list of numbers: mean, least, greatest, and how many there are."""


@dataclass(frozen=True)
class FeaturePlan:
    """How each column that the model sees is prepared, each group sorted by name.

    The transformed features follow from it, one row each:
      numeric: float32: standardised values (of `numeric`, then mean, least, greatest and number of each of `pooled`), then
        their missing indicators, then sines and cosines for each part of each time, then for each vector its standardised
        values and the share of them that is missing.
      categorical: int64 [len(categorical) + len(bucketised)]: an index for each, in this order.
      bag_0, bag_1 and so on: int64, any number of indices, for each of `bags`.
    """

    numeric: tuple[str, ...] = ()
    pooled: tuple[str, ...] = ()
    vectors: tuple[Vector, ...] = ()
    bucketised: tuple[Bucketised, ...] = ()
    categorical: tuple[Categorical, ...] = ()
    time: tuple[Time, ...] = ()
    bags: tuple[Bag, ...] = ()

    @classmethod
    def of(cls, settings: TransformSettings, dtypes: Mapping[str, ColumnType], lists: Mapping[str, int | None]) -> FeaturePlan:
        """Derives the plan: settings of single columns first, then what the type of a column suggests.

        Args:
          settings: the settings of Transform or of the Trainer.
          dtypes: the type of each column in the data; the label may be among them.
          lists: the columns with several values in a row, with their number, None where rows differ.

        Raises:
          ConfigError: a setting names a column that is not in the data, or does not suit the type of its column, or no
            column is left for the model, or the label is a list.
        """
        check_names(named_columns(settings.features), dtypes)
        _check_label(settings.label, lists)
        chosen = {name: settings.features.get(name, Feature()) for name in sorted(set(dtypes) - {settings.label})}
        columns: dict[str, list[_Prepared]] = defaultdict(list)
        for name, feature in chosen.items():
            for group, column in _prepare(name, feature, settings.preprocessing, dtypes[name], lists.get(name, 1)):
                columns[group].append(column)
        ignored = sorted(name for name, feature in settings.features.items() if feature.kind == "ignore")
        plan = cls(**{group: tuple(members) for group, members in columns.items()})  # type: ignore[arg-type]
        if not plan.names:
            raise ConfigError(
                "No column is left for the model.",
                where="features",
                expected=f"at least one column besides the label {settings.label!r} that is not ignored",
                seen=f"ignored: {', '.join(ignored) or 'none'}",
            )
        return plan

    @property
    def names(self) -> tuple[str, ...]:
        """The columns that the model sees, sorted."""
        others: tuple[Bag | Time | Vector, ...] = (*self.vectors, *self.bucketised, *self.categorical, *self.time, *self.bags)
        return tuple(sorted({*self.numeric, *self.pooled, *(column.name for column in others)}))

    @property
    def num_standardised(self) -> int:
        """How many numbers are standardised with a missing indicator of their own: those at the start of `numeric`."""
        return len(self.numeric) + POOLED_NUMBERS * len(self.pooled)


def label_feature(label: str) -> str:
    """The label's name among the transformed features: its own, unless it is one that the features have there."""
    return f"{label}_label" if _GROUP.fullmatch(label) else label


def vocabulary_key(column: str) -> str:
    """What stands for a column before its values in the vocabularies of a transform graph: a word without a space."""
    if _PLAIN_NAME.fullmatch(column):
        return column
    # A plain name has no hyphen, so that no two columns have the same key.
    readable = re.sub(r"[^a-z0-9]+", "_", column.lower())[:_READABLE_CHARACTERS].strip("_")
    return f"{readable}-{hashlib.sha256(column.encode()).hexdigest()[:16]}"


def _check_label(label: str, lists: Mapping[str, int | None]) -> None:
    if label in lists:
        raise ConfigError(
            f"The label {label!r} has several values in a row.",
            where=f"column {label}",
            expected="one value in each row",
            seen="lists" if lists[label] is None else f"lists of {lists[label]}",
            fix="Choose another label, or make one value of the list before the pipeline reads the data.",
        )


def _prepare(
    name: str, feature: Feature, defaults: Preprocessing, dtype: ColumnType, num_values: int | None
) -> list[tuple[str, _Prepared]]:
    """The groups of the plan that a column belongs to, each with the column there; none for one that is ignored."""
    kind = kind_of_feature(name, feature, dtype)
    is_list = num_values != 1
    if kind == "time":
        parts = feature.parts or DEFAULT_PARTS
        cycles = tuple(part for part in parts if part != ELAPSED)
        numbers = [_number(name, defaults.numeric_buckets, num_values)] if ELAPSED in parts else []
        return [*numbers, *([("time", Time(name, cycles, is_list))] if cycles else [])]
    if kind == "text":
        return [("bags", Text(name, feature.hash_buckets or DEFAULT_HASH_BUCKETS, feature.embedding))]
    if kind == "categorical":
        categorical = Categorical(
            name,
            feature.vocabulary or defaults.vocabulary,
            feature.oov_buckets or defaults.oov_buckets,
            feature.embedding,
        )
        return [("bags" if is_list else "categorical", categorical)]
    if kind == "numeric":
        return [_number(name, feature.buckets or defaults.numeric_buckets, num_values)]
    return []


def _number(name: str, buckets: int | None, num_values: int | None) -> tuple[str, _Prepared]:
    """The group of the plan that a column of numbers belongs to, and the column there."""
    if buckets:
        return "bucketised" if num_values == 1 else "bags", Bucketised(name, buckets)
    if num_values is None:
        return "pooled", name
    return ("numeric", name) if num_values == 1 else ("vectors", Vector(name, num_values))


def kind_of_feature(name: str, feature: Feature, dtype: ColumnType) -> str:
    """The kind of a feature: its own, that of its options, or the one that the type of its column suggests.

    Args:
      name: the column.
      feature: its settings.
      dtype: the type of its values.

    Raises:
      ConfigError: the kind does not suit the type.
    """
    kind = feature.kind or _kind_of_options(feature) or ("categorical" if dtype == "string" else "numeric")
    suits: dict[str, Callable[[ColumnType], bool]] = {
        "numeric": lambda dtype: dtype != "string",
        "categorical": lambda dtype: dtype != "float",
        "time": lambda dtype: dtype == "int",
        "text": lambda dtype: dtype == "string",
        "ignore": lambda dtype: True,
    }
    if not suits[kind](dtype):
        expected = {
            "numeric": "numbers",
            "categorical": "strings or integers",
            "time": "a date, a timestamp or seconds since 1970",
            "text": "strings",
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
    if feature.hash_buckets:
        return "text"
    if feature.vocabulary or feature.oov_buckets or feature.embedding:
        return "categorical"
    return None
