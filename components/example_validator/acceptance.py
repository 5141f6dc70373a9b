"""A schema that accepts data which breaks another one, changed no more than that takes."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

from google.protobuf import text_format
from google.protobuf.message import Message
from tensorflow_data_validation.api.validation_api import update_schema, validate_statistics
from tensorflow_metadata.proto.v0.anomalies_pb2 import Anomalies, AnomalyInfo, DriftSkewInfo
from tensorflow_metadata.proto.v0.schema_pb2 import BYTES, DEPRECATED, FLOAT, INT, Feature, FeatureType, Schema, StringDomain
from tensorflow_metadata.proto.v0.statistics_pb2 import DatasetFeatureStatisticsList, FeatureNameStatistics

_TYPES: dict[int, FeatureType] = {
    FeatureNameStatistics.INT: INT,
    FeatureNameStatistics.FLOAT: FLOAT,
    FeatureNameStatistics.STRING: BYTES,
}
_COMPARATORS = {
    DriftSkewInfo.Measurement.L_INFTY: "infinity_norm",
    DriftSkewInfo.Measurement.JENSEN_SHANNON_DIVERGENCE: "jensen_shannon_divergence",
    DriftSkewInfo.Measurement.NORMALIZED_ABSOLUTE_DIFFERENCE: "normalized_abs_difference",
}
_INCOMPARABLE = {AnomalyInfo.COMPARATOR_CONTROL_DATA_MISSING, AnomalyInfo.COMPARATOR_TREATMENT_DATA_MISSING}
_DECIMALS = 4
_ROUNDS = 3

Statistics = Mapping[str, DatasetFeatureStatisticsList]


def validate(schema: Schema, statistics: Statistics, reference: str) -> dict[str, Anomalies]:
    """Compares every split with the schema and, where the schema has drift comparators, with the reference.

    Args:
      schema: what the data should be like.
      statistics: the statistics of each split.
      reference: the split that the others are compared with. It never drifts from itself.

    Returns:
      The anomalies by split.
    """
    return {
        split: validate_statistics(of_split, schema, previous_statistics=statistics.get(reference))
        for split, of_split in statistics.items()
    }


def accepting(schema: Schema, statistics: Statistics, reference: str, columns: Collection[str] | None = None) -> Schema:
    """Relaxes a schema until the data keeps it, where that is possible.

    Values join their lists, bounds widen, shares of rows with a value go down, types become those that were seen, new columns
    are appended, thresholds of drift go up; a column that is in no split any more becomes deprecated.

    Args:
      schema: what the data breaks.
      statistics: the statistics of each split.
      reference: the split that drift is measured from.
      columns: those for which to relax it; all of them when None.

    Returns:
      The schema, its features in their order and new ones behind them.
    """
    accepted = schema
    # A column that may be missing now may have to be relaxed further.
    for _ in range(_ROUNDS):
        before, accepted = accepted, _relaxed(accepted, statistics, reference, columns)
        if accepted == before:
            break
    return accepted


def changes(before: Schema, after: Schema) -> list[str]:
    """What differs in a schema that accepts more, one line for each field: `feature temp: type: INT`."""
    features = {feature.name: feature for feature in before.feature}
    lines = []
    for feature in after.feature:
        if feature.name not in features:
            lines.append(one_line(Schema(feature=[feature])))
        else:
            lines += [f"feature {feature.name}: {change}" for change in _changed_fields(features[feature.name], feature)]
    domains = {domain.name: set(domain.value) for domain in before.string_domain}
    for domain in after.string_domain:
        new = [value for value in domain.value if value not in domains.get(domain.name, ())]
        if new:
            lines.append(f"string_domain {domain.name}: {one_line(StringDomain(value=new))}")
    return lines


def one_line(message: Message) -> str:
    """A message in text format on one line."""
    return str(text_format.MessageToString(message, as_one_line=True, as_utf8=True))


def _changed_fields(before: Feature, after: Feature) -> list[str]:
    lines = []
    for field in Feature.DESCRIPTOR.fields:
        was, now = getattr(before, field.name), getattr(after, field.name)
        if was == now and before.WhichOneof("domain_info") == after.WhichOneof("domain_info"):
            continue
        if field.is_repeated or after.HasField(field.name):
            lines += [one_line(Feature(**{field.name: now}))] if was != now else []
        elif before.HasField(field.name):
            lines.append(f"no {field.name}")
    return lines


def _relaxed(schema: Schema, statistics: Statistics, reference: str, columns: Collection[str] | None) -> Schema:
    relaxed = schema
    for of_split in statistics.values():
        relaxed = update_schema(relaxed, of_split)
    found = {feature.name: feature for feature in relaxed.feature}
    types = _types(statistics)
    accepted = Schema()
    accepted.CopyFrom(schema)
    for feature in accepted.feature:
        if columns is None or feature.name in columns:
            _relax(feature, found.pop(feature.name), types.get(feature.name, set()))
        else:
            found.pop(feature.name)
    accepted.feature.extend(feature for name, feature in found.items() if columns is None or name in columns)
    _extend_domains(accepted, relaxed, columns)
    # TFDV takes minutes to validate thousands of columns.
    if any(feature.HasField("drift_comparator") for feature in accepted.feature):
        _allow_drift(accepted, validate(accepted, statistics, reference), columns)
    return accepted


def _types(statistics: Statistics) -> dict[str, set[FeatureType]]:
    """The types that each column has in the splits that have it."""
    types: dict[str, set[FeatureType]] = {}
    for of_split in statistics.values():
        for dataset in of_split.datasets:
            for feature in dataset.features:
                if len(feature.path.step) == 1 and feature.type in _TYPES:
                    types.setdefault(feature.path.step[0], set()).add(_TYPES[feature.type])
    return types


def _relax(feature: Feature, relaxed: Feature, types: set[FeatureType]) -> None:
    if len(types) > 1:
        # No type suits every split.
        return
    if types and feature.type not in types:
        # TFDV would declare the column deprecated, but it is there.
        (feature.type,) = types
        if kind := feature.WhichOneof("domain_info"):
            feature.ClearField(kind)
    elif types and relaxed.lifecycle_stage == DEPRECATED != feature.lifecycle_stage:
        # It is missing in one split alone.
        feature.ClearField("presence")
    else:
        feature.CopyFrom(relaxed)


def _extend_domains(accepted: Schema, relaxed: Schema, columns: Collection[str] | None) -> None:
    """Puts new values behind those that a domain has, and new domains behind the others."""
    wanted = {feature.domain for feature in accepted.feature if columns is None or feature.name in columns}
    domains = {domain.name: domain for domain in accepted.string_domain}
    for domain in relaxed.string_domain:
        if domain.name not in wanted:
            continue
        if domain.name not in domains:
            accepted.string_domain.add().CopyFrom(domain)
            continue
        known = set(domains[domain.name].value)
        domains[domain.name].value.extend(value for value in domain.value if value not in known)


def _allow_drift(accepted: Schema, anomalies: Mapping[str, Anomalies], columns: Collection[str] | None) -> None:
    """Raises thresholds of drift to what was measured, rounded up; a drift that cannot be measured has no threshold left."""
    features = {feature.name: feature for feature in accepted.feature if columns is None or feature.name in columns}
    scale = 10**_DECIMALS
    for found in anomalies.values():
        for name, anomaly in found.anomaly_info.items():
            if name in features and _INCOMPARABLE & {reason.type for reason in anomaly.reason}:
                features[name].ClearField("drift_comparator")
        for info in found.drift_skew_info:
            feature = features.get(".".join(info.path.step))
            for measured in info.drift_measurements:
                if feature is None or measured.value <= measured.threshold:
                    continue
                norm = getattr(feature.drift_comparator, _COMPARATORS[measured.type])
                norm.threshold = max(norm.threshold, math.ceil(measured.value * scale) / scale)
