"""Reads the schema as a table."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipeline.contracts import schema
from pipeline.contracts.schema import SchemaFeature
from pipeline.report import formats

_VALUES_SHOWN = 12


@dataclass(frozen=True)
class SchemaRow:
    """A feature as the table shows it.

    Attributes:
      name: its name.
      type: `int`, `float` or `bytes`.
      presence: how many rows must have it.
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
class SchemaTable:
    """The features that data must have."""

    features: tuple[SchemaRow, ...]

    @property
    def times(self) -> frozenset[str]:
        """The features that are times."""
        return frozenset(feature.name for feature in self.features if feature.domain == "time")


def read_schema(folder: Path) -> SchemaTable:
    """Reads a `Schema` artifact.

    Args:
      folder: the artifact's folder.

    Raises:
      FileNotFoundError: it has no schema.
    """
    return SchemaTable(tuple(map(_row, read_features(folder))))


def schema_table(features: schema.Schema) -> SchemaTable:
    """A schema as a table."""
    return SchemaTable(tuple(map(_row, features.features)))


def read_features(folder: Path) -> tuple[SchemaFeature, ...]:
    """The features of the schema in a folder.

    Raises:
      FileNotFoundError: it has no schema.
    """
    path = folder / schema.FILE_NAME
    return schema.Schema.of(schema.parse_schema(path.read_bytes(), str(path))).features


def _row(feature: SchemaFeature) -> SchemaRow:
    return SchemaRow(
        name=feature.name,
        type=feature.type,
        presence=_presence(feature),
        domain=_domain(feature),
        values=feature.values[:_VALUES_SHOWN],
        values_left_out=max(0, len(feature.values) - _VALUES_SHOWN),
        environments=_environments(feature),
    )


def _presence(feature: SchemaFeature) -> str:
    if feature.is_required:
        return "every row"
    return f"at least {formats.percent(feature.min_fraction)} of rows" if feature.min_fraction else "optional"


def _domain(feature: SchemaFeature) -> str:
    if feature.domain == "string":
        return f"{len(feature.values)} values"
    if feature.domain not in ("int", "float"):
        return feature.domain.replace("_", " ")
    lower = "" if feature.smallest is None else f"{feature.smallest:.6g}"
    upper = "" if feature.largest is None else f"{feature.largest:.6g}"
    if feature.is_categorical:
        return f"{lower} to {upper}, categories" if lower and upper else "categories"
    return f"{lower} to {upper}" if lower and upper else f"≥ {lower}" if lower else f"≤ {upper}" if upper else ""


def _environments(feature: SchemaFeature) -> str:
    if feature.environments:
        return f"only in {', '.join(feature.environments)}"
    return f"not in {', '.join(feature.not_environments)}" if feature.not_environments else ""
