"""The columns that a configuration names, in whatever section."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from pipeline.config.flaws import Flaw
from pipeline.util.suggestions import did_you_mean

if TYPE_CHECKING:
    from pipeline.config import PipelineConfig

_MOST_SHOWN = 12

Field = tuple[str | int, ...]


def named_columns(config: PipelineConfig) -> Iterator[tuple[Field, str]]:
    """Every field that names a column of the data, with the name. The label is not among them."""
    for name in config.features:
        yield ("features", name), name
    for place, crossing in enumerate(config.evaluation.slices):
        for name in crossing:
            yield ("evaluation", "slices", place), name
    for name in config.evaluation.slice_thresholds:
        yield ("evaluation", "slice_thresholds", name), name
    for name in config.evaluation.max_gaps:
        yield ("evaluation", "max_gaps", name), name
    if config.evaluation.weight is not None:
        yield ("evaluation", "weight"), config.evaluation.weight
    for name in config.data.split.columns:
        yield ("data", "split", "by"), name
    if config.training.weight is not None:
        yield ("training", "weight"), config.training.weight
    for name in config.data.columns:
        yield ("data", "columns", name), name
    for place, name in enumerate(config.data.keep):
        yield ("data", "keep", place), name
    for name in config.gateway.example:
        yield ("gateway", "example", name), name
    if config.gateway.split_by is not None:
        yield ("gateway", "split_by"), config.gateway.split_by
    for place, name in enumerate(config.gateway.log.exclude):
        yield ("gateway", "log", "exclude", place), name


def unknown_columns(config: PipelineConfig, columns: Collection[str], where: str) -> Iterator[Flaw]:
    """The names that are no column.

    Args:
      config: the pipeline's configuration.
      columns: those that there are.
      where: what has these columns: the data, or the schema.
    """
    for field, name in named_columns(config):
        if name not in columns:
            yield Flaw(
                f"There is no column {name!r} in {where}.",
                field,
                f"one of {shown(columns)}",
                name,
                did_you_mean(name, columns) or "Name one of these columns, or remove the entry.",
            )


def shown(columns: Collection[str]) -> str:
    """The names of columns, not too many of them."""
    more = f" and {len(columns) - _MOST_SHOWN} more" if len(columns) > _MOST_SHOWN else ""
    return ", ".join(list(columns)[:_MOST_SHOWN]) + more
