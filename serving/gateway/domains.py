"""What features may be, by a TFX schema: required or not, ranges, lists of values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import ConfigError


@dataclass(frozen=True)
class Domain:
    """Of one feature.

    Attributes:
      required: whether every row has it.
      smallest: the least value of a number.
      largest: the greatest value of a number.
      values: the known values of a string.
      closed: whether a string must be one of them.
      is_time: whether a number is a time, in seconds since 1970.
    """

    required: bool = False
    smallest: float | None = None
    largest: float | None = None
    values: tuple[str, ...] = ()
    closed: bool = False
    is_time: bool = False


def read_domains(path: Path) -> dict[str, Domain]:
    """The domains in a schema, by feature.

    Args:
      path: of the schema, in protobuf text format.

    Raises:
      ConfigError: it cannot be read.
    """
    from google.protobuf import text_format
    from tensorflow_metadata.proto.v0 import schema_pb2

    try:
        schema = text_format.Parse(path.read_text(), schema_pb2.Schema())
    except (OSError, UnicodeDecodeError, text_format.ParseError) as error:
        raise ConfigError(
            "The schema of the features cannot be read.",
            where=str(path),
            expected="a TFX schema in protobuf text format",
            seen=str(error),
            fix="name another: gateway.feature_schema",
        ) from error
    lists = {domain.name: tuple(domain.value) for domain in schema.string_domain}
    return {feature.name: _domain(feature, lists) for feature in schema.feature}


def _domain(feature: Any, lists: Mapping[str, tuple[str, ...]]) -> Domain:
    kind = feature.WhichOneof("domain_info")
    bounds = getattr(feature, kind) if kind in ("int_domain", "float_domain") else None
    values = tuple(feature.string_domain.value) if kind == "string_domain" else lists.get(feature.domain, ())
    seconds = kind == "time_domain" and feature.time_domain.integer_format == feature.time_domain.UNIX_SECONDS
    return Domain(
        required=feature.presence.min_fraction == 1,
        smallest=bounds.min if bounds is not None and bounds.HasField("min") else None,
        largest=bounds.max if bounds is not None and bounds.HasField("max") else None,
        values=values,
        # As TFDV has it: without a constraint, every value must be known.
        closed=bool(values)
        and (not feature.HasField("distribution_constraints") or feature.distribution_constraints.min_domain_mass == 1),
        is_time=seconds,
    )
