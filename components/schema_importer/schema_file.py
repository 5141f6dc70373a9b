"""Reads a curated schema from its file."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from tensorflow_metadata.proto.v0.schema_pb2 import Schema

from pipeline.contracts.schema import read_schema
from pipeline.errors import ConfigError


def read_curated_schema(path: Path) -> Schema:
    """Reads and checks a schema in protobuf text format.

    Args:
      path: the .pbtxt file.

    Returns:
      The schema, with at least one feature.

    Raises:
      ConfigError: the file cannot be read, is not a schema (with line and column), has no features or a feature twice, or
        refers to a domain that it does not define.
    """
    schema = read_schema(
        path, fix="Correct schema.path in the configuration, or leave it out to have a schema inferred from the data."
    )
    _check(schema, path)
    return schema


def _check(schema: Schema, path: Path) -> None:
    if not schema.feature:
        raise ConfigError("The schema has no features.", where=str(path), expected='feature { name: "..." ... }')
    for name, count in Counter(feature.name for feature in schema.feature).items():
        if count > 1:
            raise ConfigError(
                f"The schema has the feature {name!r} {count} times.",
                where=str(path),
                fix="Keep one of them.",
            )
    defined = {domain.name for domain in schema.string_domain}
    for feature in schema.feature:
        if feature.domain and feature.domain not in defined:
            raise ConfigError(
                f"The feature {feature.name!r} refers to a domain that the schema does not define.",
                where=str(path),
                expected=", ".join(sorted(defined)) or f'string_domain {{ name: "{feature.domain}" ... }}',
                seen=feature.domain,
            )
