"""The error for TFDV's anomalies, which says what was expected, what was seen and how to correct it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from textwrap import shorten

from tensorflow_metadata.proto.v0.anomalies_pb2 import Anomalies, AnomalyInfo
from tensorflow_metadata.proto.v0.schema_pb2 import Feature, Schema

from components.example_validator.acceptance import Statistics, accepting, changes, one_line
from components.example_validator.unworkable import ABSENT
from pipeline.contracts.schema import ACCEPT_COMMAND
from pipeline.errors import DataError

# As much as fits on one screen together with its explanation.
MAX_FEATURES = 8
MAX_WIDTH = 160

_ACCEPT = f"""Correct the data; or, if it is right, accept it into the schema, and run again:
{ACCEPT_COMMAND}"""


def anomaly_error(
    schema: Schema,
    statistics: Statistics,
    anomalies: Mapping[str, Anomalies],
    reference: str,
    *,
    inferred: bool = False,
    complete: bool = False,
) -> DataError | None:
    """Explains the anomalies of all splits.

    Args:
      schema: the schema that the data was compared with.
      statistics: the statistics of the data, by split.
      anomalies: what `tfdv.validate_statistics` found, by split.
      reference: the split that the others are compared with.
      inferred: whether the schema was inferred from the reference, so that nobody keeps it.
      complete: include all anomalies, for a log, and not only as many as fit on one screen.

    Returns:
      An error whose `fix` has the lines that would make the schema accept the data; None if there is no anomaly.
    """
    found = _by_feature(anomalies)
    if not found:
        return None
    features = {feature.name: feature for feature in schema.feature}
    most, width = (None, None) if complete else (MAX_FEATURES, MAX_WIDTH)
    shown = list(found)[:most]
    more = [f"and {len(found) - len(shown)} more features"] if len(found) > len(shown) else []
    expected = [
        f"{name}: {_expectation(features[name], schema, width)}" if name in features else f"{name}: no such column"
        for name in shown
    ]
    seen = [f"{name} (split {', '.join(splits)}): {text}" for name in shown for text, splits in found[name].items()]
    edits = changes(schema, accepting(schema, statistics, reference, found))
    fix = ["Correct the data and run again."]
    if edits:
        fix = [_ACCEPT, "That changes the schema:", *edits[:most]]
    if inferred:
        ignored = ", ".join(f"{json.dumps(name, ensure_ascii=False)}: {{kind: ignore}}" for name in shown)
        fix.append(f"Or leave the columns out, in the configuration: features: {{{ignored}}}")
    schema_name = f"the schema that was inferred from {reference}" if inferred else "the schema"
    return DataError(
        f"The data breaks {schema_name}: {len(found)} {'feature' if len(found) == 1 else 'features'} with anomalies.",
        where=f"{', '.join(shown)}{', …' if more else ''}",
        expected="\n".join(expected),
        seen="\n".join([*seen, *more]),
        fix="\n".join(fix),
    )


def anomaly_notes(anomalies: Mapping[str, Anomalies], inferred_from: str = "") -> list[str]:
    """Puts anomalies into words, one line each.

    Args:
      anomalies: what `tfdv.validate_statistics` found, by split.
      inferred_from: the split that the schema was inferred from; empty where it is curated.
    """
    return [
        f"{name} (split {', '.join(splits)}): {text}"
        for name, texts in _by_feature(anomalies, inferred_from).items()
        for text, splits in texts.items()
    ]


def _in_words(reason: AnomalyInfo.Reason, reference: str) -> str:
    """An anomaly; as a difference from the reference split where there is one."""
    if not reference:
        return reason.description.strip()
    if reason.type in ABSENT:
        return "has no value."
    if reason.type == AnomalyInfo.SCHEMA_NEW_COLUMN:
        return f"has values, but none in {reference}: the model does not use it."
    if reason.type == AnomalyInfo.FEATURE_TYPE_LOW_FRACTION_PRESENT:
        return f"lacks values in some rows, as no row of {reference} does."
    if reason.type == AnomalyInfo.ENUM_TYPE_UNEXPECTED_STRING_VALUES:
        return f"has values that {reference} does not have: {reason.description.partition(': ')[2].strip()}"
    return reason.description.strip()


def _by_feature(anomalies: Mapping[str, Anomalies], reference: str = "") -> dict[str, dict[str, list[str]]]:
    """The splits in which each anomaly was seen, by feature."""
    found: dict[str, dict[str, list[str]]] = {}
    for split, of_split in anomalies.items():
        infos = dict(of_split.anomaly_info)
        if of_split.HasField("dataset_anomaly_info"):
            infos["all rows"] = of_split.dataset_anomaly_info
        for name, info in sorted(infos.items()):
            text = " ".join(_in_words(reason, reference) for reason in info.reason)
            found.setdefault(name, {}).setdefault(text, []).append(split)
    return found


def _expectation(feature: Feature, schema: Schema, width: int | None) -> str:
    """The schema's constraints on the feature, on one line."""
    rest = Feature()
    rest.CopyFrom(feature)
    for field in ("name", "domain", "distribution_constraints", "value_count"):
        rest.ClearField(field)
    values = [f"one of {', '.join(domain.value)}" for domain in schema.string_domain if domain.name == feature.domain]
    text = " ".join([one_line(rest), *values])
    return text if width is None else shorten(text, width, placeholder=" …")
