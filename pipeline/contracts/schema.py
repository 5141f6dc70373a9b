"""The schema of the data: what TFX keeps as `tensorflow.metadata.v0.Schema`, read without TensorFlow."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import ConfigError

if TYPE_CHECKING:
    from tensorflow_metadata.proto.v0 import schema_pb2

FILE_NAME = "schema.pbtxt"
"""The name of a schema's file in a `Schema` artifact."""

ACCEPT_COMMAND = "conveyor schema accept"
"""What to type when data that breaks the curated schema is right; the command line adds the run's configuration."""


@dataclass(frozen=True)
class SchemaFeature:
    """One feature of a schema.

    Attributes:
      name: the feature's name.
      type: `int`, `float`, `bytes`, `struct` or `type_unknown`.
      domain: the kind of its domain: `int`, `float`, `string`, `bool`, `time`, and so on; empty where it has none.
      smallest: the least value of a number, where there is one.
      largest: the greatest value of a number, where there is one.
      values: the known values of a string.
      is_closed: whether a string must be one of the known values.
      is_categorical: whether an integer stands for a category.
      is_unix_time: whether an integer is a time, in seconds since 1970.
      min_fraction: the share of rows that must have a value, from 0 to 1.
      min_count: the number of rows that must have a value.
      environments: the only environments that the feature is in; empty where it is in all of them.
      not_environments: the environments that the feature is not in.
      is_deprecated: whether the feature may be in the data, but is no longer used.
      shape: the size of each dimension of its values; None where rows may differ.
      num_values: how many values a row has, 1 where the schema does not say; None where rows may differ.
    """

    name: str
    type: str
    domain: str = ""
    smallest: float | None = None
    largest: float | None = None
    values: tuple[str, ...] = ()
    is_closed: bool = False
    is_categorical: bool = False
    is_unix_time: bool = False
    min_fraction: float = 0
    min_count: int = 0
    environments: tuple[str, ...] = ()
    not_environments: tuple[str, ...] = ()
    is_deprecated: bool = False
    shape: tuple[int, ...] | None = None
    num_values: int | None = 1

    @property
    def is_required(self) -> bool:
        """Whether every row must have a value."""
        return self.min_fraction >= 1

    @property
    def is_expected(self) -> bool:
        """Whether at least some rows must have a value."""
        return bool(self.min_fraction or self.min_count)


@dataclass(frozen=True)
class Schema:
    """The features that the data may have, in the order of the schema."""

    features: tuple[SchemaFeature, ...]

    @cached_property
    def by_name(self) -> Mapping[str, SchemaFeature]:
        """The features by name."""
        return {feature.name: feature for feature in self.features}

    @property
    def lists(self) -> dict[str, int | None]:
        """The features that have several values in a row, with their number, None where rows may differ."""
        return {feature.name: feature.num_values for feature in self.features if feature.num_values != 1}

    @classmethod
    def of(cls, proto: schema_pb2.Schema) -> Schema:
        """The features that a schema's message describes."""
        values = {domain.name: tuple(domain.value) for domain in proto.string_domain}
        return cls(tuple(_feature(feature, values) for feature in proto.feature))


def read_schema(path: Path, fix: str = "") -> schema_pb2.Schema:
    """Reads a schema in protobuf text format.

    Args:
      path: the file.
      fix: how to name another file, for the messages.

    Raises:
      ConfigError: the file cannot be read, or is not a schema.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError("The schema cannot be read.", where=str(path), seen=error.strerror or str(error), fix=fix) from error
    return parse_schema(content, str(path), fix)


def parse_schema(content: bytes, where: str, fix: str = "") -> schema_pb2.Schema:
    """Parses a schema in protobuf text format.

    Args:
      content: UTF-8.
      where: the file that the content is from, for messages.
      fix: how to name another file, for the messages.

    Raises:
      ConfigError: the content is not a schema; the message names the line and the column.
    """
    from google.protobuf import text_format
    from tensorflow_metadata.proto.v0 import schema_pb2

    try:
        return text_format.Parse(content.decode(), schema_pb2.Schema())
    except UnicodeDecodeError as error:
        raise ConfigError(
            "The schema is not text.", where=where, expected="protobuf text format in UTF-8", seen=str(error), fix=fix
        ) from error
    except text_format.ParseError as error:
        raise ConfigError(
            "The schema cannot be parsed.",
            where=f"{where}, line {error.GetLine()}, column {error.GetColumn()}",
            expected="tensorflow.metadata.v0.Schema in protobuf text format",
            # The parser puts the position before its message.
            seen=str(error).split(" : ", 1)[-1],
            fix=fix,
        ) from error


def _feature(feature: schema_pb2.Feature, domains: Mapping[str, tuple[str, ...]]) -> SchemaFeature:
    from tensorflow_metadata.proto.v0 import schema_pb2

    kind = feature.WhichOneof("domain_info") or ""
    bounds = getattr(feature, kind) if kind in ("int_domain", "float_domain") else None
    values = tuple(feature.string_domain.value) if kind == "string_domain" else domains.get(feature.domain, ())
    constraints = feature.distribution_constraints if feature.HasField("distribution_constraints") else None
    return SchemaFeature(
        name=feature.name,
        type=schema_pb2.FeatureType.Name(feature.type).lower(),
        # A feature may name a list of strings that the schema holds apart from it.
        domain="string" if kind == "domain" else kind.removesuffix("_domain"),
        smallest=bounds.min if bounds is not None and bounds.HasField("min") else None,
        largest=bounds.max if bounds is not None and bounds.HasField("max") else None,
        values=values,
        # As in TFDV: unless a constraint says otherwise, every value must be known.
        is_closed=bool(values) and (constraints is None or constraints.min_domain_mass == 1),
        is_categorical=feature.int_domain.is_categorical,
        is_unix_time=kind == "time_domain" and feature.time_domain.integer_format == schema_pb2.TimeDomain.UNIX_SECONDS,
        min_fraction=feature.presence.min_fraction,
        min_count=feature.presence.min_count,
        environments=tuple(feature.in_environment),
        not_environments=tuple(feature.not_in_environment),
        is_deprecated=feature.lifecycle_stage == schema_pb2.DEPRECATED,
        shape=tuple(dimension.size for dimension in feature.shape.dim) if feature.HasField("shape") else None,
        num_values=_num_values(feature),
    )


def _num_values(feature: schema_pb2.Feature) -> int | None:
    if feature.HasField("shape"):
        sizes = [dimension.size for dimension in feature.shape.dim]
        return math.prod(sizes) if all(size > 0 for size in sizes) else None
    counts = feature.value_count
    if not counts.ByteSize() or counts.max == 1:
        return 1
    # A greatest number of 0 is one that is not set.
    return counts.max if 0 < counts.min == counts.max else None
