"""Whether the kinds of features suit the columns, as far as a sample of their values is certain to tell."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from components.shared.examples.kinds import Kind
from pipeline.config.flaws import Flaw
from pipeline.errors import ConfigError, DataError
from pipeline.training.features import kind_of_feature
from pipeline.util.yaml_text import in_yaml

if TYPE_CHECKING:
    from pipeline.checks.sample import Sample
    from pipeline.config import PipelineConfig
    from pipeline.contracts.model import ColumnType

_TYPES: dict[Kind, ColumnType] = {
    Kind.BOOLEAN: "int",
    Kind.INTEGER: "int",
    Kind.TIME: "int",
    Kind.ZONED_TIME: "int",
    Kind.FLOAT: "float",
    Kind.TEXT: "string",
}


def kind_flaws(config: PipelineConfig, sample: Sample) -> Iterator[Flaw]:
    """The features whose kind or options do not suit the values of their column, also because it has none.

    Args:
      config: the pipeline's configuration.
      sample: rows of its data.
    """
    if config.preprocessing.preprocessing_fn is not None:
        return
    is_certain = sample.is_whole or (sample.has_types and sample.has_all_columns)
    for name, feature in config.features.items():
        kind = sample.kinds.get(name, Kind.EMPTY)
        if kind is Kind.EMPTY:
            if sample.is_whole and name in sample.columns and feature.kind != "ignore":
                yield Flaw(
                    f"The column {name!r} has no value in any row, so it cannot be a feature.",
                    ("features", name),
                    "a value in some row",
                    "no value in any row",
                    f"Write: {in_yaml(name)}: {{kind: ignore}}",
                    kind=DataError,
                )
        # Whatever other rows have, text stays text.
        elif kind is Kind.TEXT or is_certain:
            try:
                kind_of_feature(name, feature, _TYPES[kind])
            except ConfigError as error:
                yield Flaw(error.what, ("features", name), error.expected, error.seen, error.fix)
