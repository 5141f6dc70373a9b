"""Checks that the data has rows, and a label that a model can learn, by the statistics of each split."""

from __future__ import annotations

from tensorflow_metadata.proto.v0.statistics_pb2 import DatasetFeatureStatisticsList, FeatureNameStatistics

from pipeline.errors import DataError
from pipeline.util.suggestions import did_you_mean


def check_not_empty(statistics: DatasetFeatureStatisticsList, split: str) -> None:
    """Checks that a split has rows.

    Raises:
      DataError: it has none.
    """
    if sum(dataset.num_examples for dataset in statistics.datasets) == 0:
        raise DataError(
            f"The split {split} is empty.",
            where=f"split {split}",
            expected="at least one row",
            seen="none",
            fix="Check data.input and data.split in the configuration, and the rows of the spans that they select.",
        )


def check_label(statistics: DatasetFeatureStatisticsList, split: str, label: str, *, must_vary: bool) -> None:
    """Checks that every row has a label, and that there is something to learn.

    Args:
      statistics: the statistics of the split.
      split: the split's name.
      label: the column that the model learns to predict.
      must_vary: whether a label with a single value is a problem.

    Raises:
      DataError: the label is missing in some rows or in all, or has a single value.
    """
    features = {feature.path.step[0]: feature for dataset in statistics.datasets for feature in dataset.features}
    if label not in features:
        names = sorted(features)
        raise DataError(
            f"The label {label!r} is not among the columns. {did_you_mean(label, names)}".rstrip(),
            where=f"split {split}",
            expected=f"a column {label}",
            seen=", ".join(names),
            fix="Correct `label` in the configuration, or add the column to the data.",
        )
    feature = features[label]
    stats = feature.string_stats if feature.HasField("string_stats") else feature.num_stats
    missing = stats.common_stats.num_missing
    if missing:
        raise DataError(
            f"The label {label!r} is missing in some rows.",
            where=f"split {split}",
            expected="a value in every row",
            seen=f"{missing:,} of {missing + stats.common_stats.num_non_missing:,} rows without",
            fix="Leave out rows whose label is not known.",
        )
    if must_vary and (value := _only_value(feature)) is not None:
        raise DataError(
            f"The label {label!r} has a single value: there is nothing to learn.",
            where=f"split {split}",
            expected="at least two different values",
            seen=f"{value} in every row",
            fix="Check how the label is made, or train on more spans.",
        )


def _only_value(feature: FeatureNameStatistics) -> str | None:
    if feature.HasField("string_stats"):
        return feature.string_stats.top_values[0].value if feature.string_stats.unique == 1 else None
    numbers = feature.num_stats
    return f"{numbers.min:g}" if numbers.min == numbers.max else None
