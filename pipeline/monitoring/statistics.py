"""A profile as statistics of TensorFlow Data Validation, which then compares them with a schema."""

from __future__ import annotations

from collections.abc import Iterator

from tensorflow_data_validation.api.validation_api import validate_statistics
from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2

from pipeline.monitoring.columns import Role
from pipeline.monitoring.profile import ColumnProfile, Profile

_KINDS = {
    "int": statistics_pb2.FeatureNameStatistics.INT,
    "float": statistics_pb2.FeatureNameStatistics.FLOAT,
    "string": statistics_pb2.FeatureNameStatistics.STRING,
}
_TYPES = {
    schema_pb2.INT: statistics_pb2.FeatureNameStatistics.INT,
    schema_pb2.FLOAT: statistics_pb2.FeatureNameStatistics.FLOAT,
    schema_pb2.BYTES: statistics_pb2.FeatureNameStatistics.STRING,
}
_RANKED = 1000


def anomalies(profile: Profile, schema: schema_pb2.Schema) -> list[tuple[str, str]]:
    """What breaks the schema, of the columns that are watched.

    Args:
      profile: the rows.
      schema: what they should be like; columns that are not watched, such as the label, are left out of it.

    Returns:
      Pairs of column and what is wrong with it, sorted.
    """
    kept = schema_pb2.Schema()
    kept.CopyFrom(schema)
    del kept.feature[:]
    kept.feature.extend(each for each in schema.feature if each.name in profile.columns and profile.columns[each.name].rows)
    known = {each.name for each in kept.feature}
    for feature in kept.feature:
        # Its distances are compared here, beside what chance makes of them.
        feature.ClearField("drift_comparator")
        feature.ClearField("skew_comparator")
    if not known or not profile.rows:
        return []
    found = validate_statistics(as_statistics(profile, kept), kept).anomaly_info
    reasons = {name: [reason.description or reason.short_description for reason in info.reason] for name, info in found.items()}
    return sorted((name, text) for name, texts in reasons.items() if name in known for text in texts)


def as_statistics(profile: Profile, schema: schema_pb2.Schema) -> statistics_pb2.DatasetFeatureStatisticsList:
    """The statistics of the columns that a schema has."""
    types = {each.name: each.type for each in schema.feature}
    result = statistics_pb2.DatasetFeatureStatisticsList()
    dataset = result.datasets.add(num_examples=profile.rows)
    dataset.features.extend(
        _feature(name, column, types[name]) for name, column in profile.columns.items() if name in types and column.rows
    )
    return result


def _feature(name: str, column: ColumnProfile, wanted: int) -> statistics_pb2.FeatureNameStatistics:
    feature = statistics_pb2.FeatureNameStatistics()
    feature.path.step.append(name)
    as_numbers = column.column.role in (Role.NUMBER, Role.TIME) and column.kind != "string"
    # A log holds numbers in the model's own types, whatever the data had.
    feature.type = _TYPES.get(wanted, 0) if _holds(column, wanted) else _KINDS.get(column.kind, 0)
    stats = feature.num_stats if as_numbers else feature.string_stats
    common = stats.common_stats
    common.num_non_missing, common.num_missing = column.present, column.missing
    common.min_num_values, common.max_num_values = column.fewest, column.most
    common.tot_num_values = column.values
    common.avg_num_values = column.values / column.present if column.present else 0.0
    if as_numbers and column.present:
        numbers = column.numbers
        feature.num_stats.mean, feature.num_stats.std_dev = numbers.mean, numbers.std
        feature.num_stats.min, feature.num_stats.max = numbers.smallest, numbers.largest
        feature.num_stats.median, feature.num_stats.num_zeros = numbers.quantile(0.5), numbers.zeros
    if not as_numbers:
        _add_values(feature.string_stats, column)
    return feature


def _holds(column: ColumnProfile, wanted: int) -> bool:
    """Whether values of the kind that was seen may stand for the type that the schema wants."""
    allowed = {schema_pb2.INT: ("int",), schema_pb2.FLOAT: ("int", "float"), schema_pb2.BYTES: ("string",)}
    return column.kind in ("", *allowed.get(wanted, ()))


def _add_values(stats: statistics_pb2.StringStatistics, column: ColumnProfile) -> None:
    for rank, (value, count) in enumerate(_ranked(column)):
        stats.top_values.add(value=value, frequency=count)
        stats.rank_histogram.buckets.add(low_rank=rank, high_rank=rank, label=value, sample_count=count)
    stats.unique = len(column.categories.counts)


def _ranked(column: ColumnProfile) -> Iterator[tuple[str, int]]:
    yield from column.categories.top(_RANKED)
