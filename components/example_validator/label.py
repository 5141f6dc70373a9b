"""Checks that the data has rows, and a label that a model can learn, by the statistics of each split."""

from __future__ import annotations

from collections.abc import Mapping

from tensorflow_data_validation.constants import NON_UTF8_PLACEHOLDER
from tensorflow_metadata.proto.v0.statistics_pb2 import (
    CommonStatistics,
    DatasetFeatureStatisticsList,
    FeatureNameStatistics,
)

from pipeline.contracts.label import (
    remark_on,
    require_column,
    require_known_classes,
    require_text,
    require_values,
    require_variety,
)
from pipeline.errors import DataError
from pipeline.util.notes import note


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

    Notes classes of the training data that may mean the same, and a label that does not vary elsewhere.

    Args:
      statistics: the statistics of the split.
      split: the split's name.
      label: the column that the model learns to predict.
      must_vary: whether a label with a single value is a problem.

    Raises:
      DataError: the label is missing in some rows or in all, is not text, or has a single value.
    """
    features = {feature.path.step[0]: feature for dataset in statistics.datasets for feature in dataset.features}
    where = f"split {split}"
    require_column(label, sorted(features), where)
    feature = features[label]
    common = common_statistics(feature)
    require_values(label, common.num_missing, common.num_missing + common.num_non_missing, where)
    require_text(label, "bytes that are not UTF-8" if NON_UTF8_PLACEHOLDER in _texts(feature) else None, where)
    if must_vary and (remark := remark_on(label, _texts(feature))):
        note(remark)
    value = _only_value(feature)
    if value is not None and must_vary:
        require_variety(label, [value], where)
    if value is not None:
        note(
            f"The label {label} is {value} in every row of {split}: metrics that tell values apart, such as AUC and R², mean "
            f"nothing there. Check data.split, and how the label is made."
        )


def check_classes(statistics: Mapping[str, DatasetFeatureStatisticsList], train: str, label: str) -> None:
    """Checks that a label of text has no value in another split that the training data lacks. The Trainer checks numbers.

    Args:
      statistics: the statistics of each split, all of which have the label.
      train: the split with the training data.
      label: the column that the model learns to predict.

    Raises:
      DataError: a class cannot be learnt.
    """
    features = {
        split: feature
        for split, of_split in statistics.items()
        for dataset in of_split.datasets
        for feature in dataset.features
        if feature.path.step[0] == label
    }
    known = set(_texts(features[train]))
    # The statistics list no more than 1,000 values.
    if len(known) == features[train].string_stats.unique:
        for split, feature in features.items():
            require_known_classes(label, sorted(set(_texts(feature)) - known), f"split {split}")


def common_statistics(feature: FeatureNameStatistics) -> CommonStatistics:
    """The counts that the statistics have of every column, whatever its type."""
    return (feature.string_stats if feature.HasField("string_stats") else feature.num_stats).common_stats


def _only_value(feature: FeatureNameStatistics) -> str | None:
    if feature.HasField("string_stats"):
        return feature.string_stats.top_values[0].value if feature.string_stats.unique == 1 else None
    numbers = feature.num_stats
    return f"{numbers.min:g}" if numbers.min == numbers.max else None


def _texts(feature: FeatureNameStatistics) -> list[str]:
    """The most frequent values of a column of text."""
    return [bucket.label for bucket in feature.string_stats.rank_histogram.buckets]
