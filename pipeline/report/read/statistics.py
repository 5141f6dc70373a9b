"""Statistics of each feature, split beside split."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FILE_NAME = "FeatureStats.pb"
_TOP_VALUES = 8


@dataclass(frozen=True)
class NumericStatistics:
    """Statistics of a numeric feature. `histogram` has the lower and upper bound of each bin, and its rows."""

    mean: float
    std: float
    zeros: float
    min: float
    median: float
    max: float
    histogram: tuple[tuple[float, float, float], ...]


@dataclass(frozen=True)
class CategoricalStatistics:
    """Statistics of a text feature. `top_values` has the most frequent values and their rows, most frequent first."""

    unique: int
    top_values: tuple[tuple[str, float], ...]

    def share_of(self, value: str, rows: float) -> float | None:
        """The share of the rows that have the value, None if it is not among the values that were kept."""
        counts = dict(self.top_values)
        return counts[value] / rows if value in counts and rows else None


@dataclass(frozen=True)
class SplitStatistics:
    """A feature in one split. `count` rows have a value; `missing` (0 to 1) is the share that has none."""

    count: int
    missing: float
    numeric: NumericStatistics | None = None
    categorical: CategoricalStatistics | None = None


@dataclass(frozen=True)
class FeatureStatistics:
    """A feature in all splits, by split."""

    name: str
    type: str
    splits: Mapping[str, SplitStatistics]

    @property
    def is_numeric(self) -> bool:
        """Whether it has a distribution rather than a vocabulary."""
        return any(split.numeric for split in self.splits.values())

    @property
    def missing(self) -> float:
        """The largest share of missing values of the splits, 0 to 1."""
        return max((split.missing for split in self.splits.values()), default=0.0)

    @property
    def top_values(self) -> list[str]:
        """The values most frequent in the first split that has the feature."""
        kept = next((split.categorical.top_values for split in self.splits.values() if split.categorical), ())
        return [value for value, _ in kept[:_TOP_VALUES]]

    @property
    def largest_share(self) -> float:
        """The largest share that one of the top values has in a split, 0 to 1."""
        shares = (
            split.categorical.share_of(value, split.count)
            for split in self.splits.values()
            for value in self.top_values
            if split.categorical
        )
        return max((share for share in shares if share), default=0.0)

    @property
    def shift(self) -> float | None:
        """How much the second split differs from the first.

        For numbers the difference of means in the first split's standard deviations, for text the largest difference of a
        value's share (the L-infinity distance, which TensorFlow Data Validation uses for drift too).
        """
        if len(self.splits) < 2:
            return None
        first, second = list(self.splits.values())[:2]
        if first.numeric and second.numeric:
            difference = abs(second.numeric.mean - first.numeric.mean)
            return difference / first.numeric.std if first.numeric.std else None
        if first.categorical and second.categorical and first.count and second.count:
            shares, others = dict(first.categorical.top_values), dict(second.categorical.top_values)
            pairs = [(shares.get(value, 0) / first.count, others.get(value, 0) / second.count) for value in shares | others]
            return max((abs(share - other) for share, other in pairs), default=None)
        return None


@dataclass(frozen=True)
class Statistics:
    """A table's statistics.

    Attributes:
      rows: the number of rows, by split.
      features: the features, in the order of the table.
      times: features that are seconds since 1970.
    """

    rows: Mapping[str, int]
    features: tuple[FeatureStatistics, ...]
    times: frozenset[str] = frozenset()


def read_statistics(folder: Path) -> Statistics:
    """Reads an `ExampleStatistics` artifact.

    Args:
      folder: the artifact's folder, which has one for each split.

    Raises:
      FileNotFoundError: it has no statistics.
    """
    from tensorflow_metadata.proto.v0 import statistics_pb2

    # `train` before `eval`: what the model learns from is what the rest is compared with.
    files = sorted(folder.glob(f"Split-*/{FILE_NAME}"), key=lambda path: (path.parent.name != "Split-train", path))
    if not files:
        raise FileNotFoundError(folder / "Split-train" / FILE_NAME)
    rows: dict[str, int] = {}
    types: dict[str, str] = {}
    features: dict[str, dict[str, SplitStatistics]] = {}
    for path in files:
        split = path.parent.name.removeprefix("Split-")
        table = statistics_pb2.DatasetFeatureStatisticsList.FromString(path.read_bytes()).datasets[0]
        rows[split] = int(table.num_examples)
        for feature in table.features:
            name = ".".join(feature.path.step) or feature.name
            types[name] = type(feature).Type.Name(feature.type).lower()
            features.setdefault(name, {})[split] = _split(feature, table.num_examples)
    return Statistics(rows, tuple(FeatureStatistics(name, types[name], splits) for name, splits in features.items()))


def _split(feature: Any, rows: int) -> SplitStatistics:
    kind = feature.WhichOneof("stats")
    if kind is None:
        return SplitStatistics(0, 1.0)
    common = getattr(feature, kind).common_stats
    # Rows without the feature are counted only in a feature that some batch has had.
    count = int(common.num_non_missing)
    missing = 1 - count / rows if rows else 0.0
    if kind == "num_stats":
        return SplitStatistics(count, missing, numeric=_numeric(feature.num_stats) if count else None)
    if kind == "string_stats":
        return SplitStatistics(count, missing, categorical=_categorical(feature.string_stats) if count else None)
    return SplitStatistics(count, missing)


def _numeric(numbers: Any) -> NumericStatistics:
    histogram = next((each for each in numbers.histograms if each.type == each.STANDARD), None)
    buckets = histogram.buckets if histogram else ()
    return NumericStatistics(
        mean=numbers.mean,
        std=numbers.std_dev,
        zeros=numbers.num_zeros,
        min=numbers.min,
        median=numbers.median,
        max=numbers.max,
        histogram=tuple((bucket.low_value, bucket.high_value, bucket.sample_count) for bucket in buckets),
    )


def _categorical(text: Any) -> CategoricalStatistics:
    ranked = [(bucket.label, bucket.sample_count) for bucket in text.rank_histogram.buckets]
    top = ranked or [(each.value, each.frequency) for each in text.top_values]
    return CategoricalStatistics(int(text.unique), tuple(top))
