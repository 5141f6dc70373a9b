"""The schema as a table."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.report import formats

FILE_NAME = "schema.pbtxt"
_VALUES_SHOWN = 12


@dataclass(frozen=True)
class SchemaFeature:
    """What the schema says of a feature.

    Attributes:
      name: its name.
      type: `int`, `float` or `bytes`.
      presence: how many rows must have it, as it is read.
      domain: its range, or how many values it may have.
      values: some of the values it may have.
      values_left_out: how many there are besides.
      environments: where it is expected, when not everywhere.
    """

    name: str
    type: str
    presence: str
    domain: str
    values: tuple[str, ...] = ()
    values_left_out: int = 0
    environments: str = ""


@dataclass(frozen=True)
class Schema:
    """The features that data must have."""

    features: tuple[SchemaFeature, ...]

    @property
    def times(self) -> frozenset[str]:
        """The features that are times."""
        return frozenset(feature.name for feature in self.features if feature.domain == "time")


def read_schema(folder: Path) -> Schema:
    """Reads a `Schema` artifact.

    Args:
      folder: the artifact's.

    Raises:
      FileNotFoundError: it has no schema.
    """
    from google.protobuf import text_format
    from tensorflow_metadata.proto.v0 import schema_pb2

    schema = text_format.Parse((folder / FILE_NAME).read_text(), schema_pb2.Schema())
    domains = {domain.name: list(domain.value) for domain in schema.string_domain}
    return Schema(tuple(_feature(feature, domains) for feature in schema.feature))


def type_name(feature: Any) -> str:
    """The type of a schema's feature: `int`, `float`, `bytes`, `struct` or `type_unknown`."""
    return str(type(feature).DESCRIPTOR.fields_by_name["type"].enum_type.values_by_number[feature.type].name.lower())


def _feature(feature: Any, domains: dict[str, list[str]]) -> SchemaFeature:
    domain, values = _domain(feature, domains)
    return SchemaFeature(
        name=feature.name,
        type=type_name(feature),
        presence=_presence(feature),
        domain=domain,
        values=tuple(values[:_VALUES_SHOWN]),
        values_left_out=max(0, len(values) - _VALUES_SHOWN),
        environments=_environments(feature),
    )


def _presence(feature: Any) -> str:
    share = feature.presence.min_fraction
    if share >= 1:
        return "every row"
    return f"at least {formats.percent(share)} of rows" if share else "optional"


def _domain(feature: Any, domains: dict[str, list[str]]) -> tuple[str, list[str]]:
    kind = feature.WhichOneof("domain_info")
    if kind in ("int_domain", "float_domain"):
        numbers = getattr(feature, kind)
        lower = f"{numbers.min:.6g}" if numbers.HasField("min") else ""
        upper = f"{numbers.max:.6g}" if numbers.HasField("max") else ""
        if getattr(numbers, "is_categorical", False):
            return f"{lower} to {upper}, categories" if lower and upper else "categories", []
        return f"{lower} to {upper}" if lower and upper else f"≥ {lower}" if lower else f"≤ {upper}" if upper else "", []
    if kind == "domain":
        values = domains.get(feature.domain, [])
    elif kind == "string_domain":
        values = list(feature.string_domain.value)
    else:
        return (kind or "").removesuffix("_domain").replace("_", " "), []
    return f"{len(values)} values", values


def _environments(feature: Any) -> str:
    if feature.in_environment:
        return f"only in {', '.join(feature.in_environment)}"
    return f"not in {', '.join(feature.not_in_environment)}" if feature.not_in_environment else ""
