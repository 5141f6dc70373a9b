"""The anomalies with which a run could not work: those that stop it also where the schema is only inferred.

An inferred schema describes the training split. What is rare there may be missing in another split, and the other way round,
without anything being wrong: models have buckets for unknown categories, and fill in missing values.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from tensorflow_metadata.proto.v0.anomalies_pb2 import Anomalies, AnomalyInfo
from tensorflow_metadata.proto.v0.statistics_pb2 import DatasetFeatureStatisticsList

from components.example_validator.label import common_statistics

ABSENT = frozenset({AnomalyInfo.SCHEMA_MISSING_COLUMN, AnomalyInfo.FEATURE_TYPE_NOT_PRESENT})
"""The reasons of TFDV for a column without any value."""

# A column that is empty by chance less often than this is taken for one that is gone. Small enough for thousands of columns.
_CHANCE = 1e-6


def unworkable(
    anomalies: Mapping[str, Anomalies], statistics: Mapping[str, DatasetFeatureStatisticsList], reference: str
) -> dict[str, Anomalies]:
    """Selects the anomalies with which training or evaluation would fail or mean nothing.

    These are a changed type, and a column that is gone: one without a value in a split, which would happen less than once in a
    million times if the rows of both splits were divided at random.

    Args:
      anomalies: what TFDV found, by split.
      statistics: the statistics of each split.
      reference: the split that the schema was inferred from.
    """
    present = _present_rows(statistics[reference])
    selected = {}
    for split, found in anomalies.items():
        kept = Anomalies()
        for name, info in found.anomaly_info.items():
            reasons, num_present = {reason.type for reason in info.reason}, present.get(name, 0)
            chance = _chance_of_none(num_present, _rows(statistics[reference]), _rows(statistics[split]))
            gone = bool(reasons & ABSENT) and chance < _CHANCE
            # A type without values is a guess.
            if gone or (num_present and AnomalyInfo.UNEXPECTED_DATA_TYPE in reasons):
                kept.anomaly_info[name].CopyFrom(info)
        selected[split] = kept
    return selected


def _chance_of_none(num_present: int, num_reference: int, num_rows: int) -> float:
    """The chance that a random choice of rows has no value, given the rows that have one: a hypergeometric probability.

    Args:
      num_present: the rows with a value, all of which are in the reference.
      num_reference: the rows of the reference.
      num_rows: the rows that are chosen from both splits.
    """
    everything, empty = num_reference + num_rows, num_reference + num_rows - num_present
    return math.exp(_log_choices(empty, num_rows) - _log_choices(everything, num_rows))


def _log_choices(items: int, chosen: int) -> float:
    """The logarithm of the binomial coefficient."""
    return math.lgamma(items + 1) - math.lgamma(chosen + 1) - math.lgamma(items - chosen + 1)


def _rows(statistics: DatasetFeatureStatisticsList) -> int:
    return sum(dataset.num_examples for dataset in statistics.datasets)


def _present_rows(statistics: DatasetFeatureStatisticsList) -> dict[str, int]:
    """The number of rows with a value, by column."""
    return {
        feature.path.step[0]: common_statistics(feature).num_non_missing
        for dataset in statistics.datasets
        for feature in dataset.features
    }
