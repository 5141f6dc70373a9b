"""The columns that are watched: those that the model takes, and how each is compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from pipeline.config import Feature, PipelineConfig
from pipeline.contracts.model import ColumnType
from pipeline.training.features import DEFAULT_PARTS, ELAPSED, kind_of_feature


class Role(str, Enum):
    """How a column is compared."""

    NUMBER = "number"
    CATEGORY = "category"
    WORDS = "words"
    TIME = "time"


_ROLES = {"numeric": Role.NUMBER, "categorical": Role.CATEGORY, "text": Role.WORDS, "time": Role.TIME}


@dataclass(frozen=True)
class Column:
    """A column.

    Attributes:
      name: its name.
      role: how it is compared.
      parts: of a time, the cycles that the model sees: as time goes on, nothing else of it stays.
    """

    name: str
    role: Role
    parts: tuple[str, ...] = ()


def watched_columns(config: PipelineConfig, types: Mapping[str, ColumnType]) -> tuple[Column, ...]:
    """The columns to watch, as the configuration prepares them for the model.

    Args:
      config: the pipeline's configuration.
      types: the types of the columns that the model takes, by name.

    Raises:
      ConfigError: the configuration does not suit the type of a column.
    """
    kinds = {name: kind_of_feature(name, config.features.get(name, Feature()), kind) for name, kind in types.items()}
    return tuple(
        Column(name, _ROLES[kind], _parts(config, name) if kind == "time" else ())
        for name, kind in kinds.items()
        if kind in _ROLES
    )


def _parts(config: PipelineConfig, name: str) -> tuple[str, ...]:
    return tuple(part for part in config.features[name].parts or DEFAULT_PARTS if part != ELAPSED)
