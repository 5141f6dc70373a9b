"""The anomalies with which a run could not work: those that stop it also where the schema is only inferred.

An inferred schema describes the training split. What is rare there may be missing in another split, and the other way round,
without anything being wrong: models have buckets for unknown categories, and fill in missing values.
"""

from __future__ import annotations

from collections.abc import Mapping

from tensorflow_metadata.proto.v0.anomalies_pb2 import Anomalies, AnomalyInfo
from tensorflow_metadata.proto.v0.statistics_pb2 import DatasetFeatureStatisticsList

from components.example_validator.label import common_statistics

ABSENT = frozenset({AnomalyInfo.SCHEMA_MISSING_COLUMN, AnomalyInfo.FEATURE_TYPE_NOT_PRESENT})
"""The reasons of TFDV for a column without any value."""

# A column that is empty by chance less often than this is taken for one that is gone.
_CHANCE = 1e-4


def unworkable(
    anomalies: Mapping[str, Anomalies], statistics: Mapping[str, DatasetFeatureStatisticsList], reference: str
) -> dict[str, Anomalies]:
    """Selects the anomalies with which training or evaluation would fail or mean nothing.

    These are a changed type, and a column that is gone: one without a value in a split, which would almost never happen
    (once in 10,000 times) if rows were drawn at random from the reference.

    Args:
      anomalies: what TFDV found, by split.
      statistics: the statistics of each split.
      reference: the split that the schema was inferred from.
    """
    present = _present_fractions(statistics[reference]) if reference in statistics else {}
    selected = {}
    for split, found in anomalies.items():
        rows = sum(dataset.num_examples for dataset in statistics[split].datasets)
        kept = Anomalies()
        for name, info in found.anomaly_info.items():
            reasons, share = {reason.type for reason in info.reason}, present.get(name, 0.0)
            gone = bool(reasons & ABSENT) and (1 - share) ** rows < _CHANCE
            # A type without values is a guess.
            if gone or (share > 0 and AnomalyInfo.UNEXPECTED_DATA_TYPE in reasons):
                kept.anomaly_info[name].CopyFrom(info)
        selected[split] = kept
    return selected


def _present_fractions(statistics: DatasetFeatureStatisticsList) -> dict[str, float]:
    """The share of rows with a value, by column."""
    return {
        feature.path.step[0]: common_statistics(feature).num_non_missing / dataset.num_examples
        for dataset in statistics.datasets
        for feature in dataset.features
    }
