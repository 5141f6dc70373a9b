"""The rows of a table in files, as a served model takes them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.config import PipelineConfig
    from serving.client import ModelFeature

_TYPES = {"DT_INT64": "int", "DT_FLOAT": "float", "DT_STRING": "bytes"}


def read_table(
    config: PipelineConfig, pattern: Path, features: Mapping[str, ModelFeature], unneeded: Collection[str]
) -> list[dict[str, Any]]:
    """Reads files as `conveyor score` does: in each of its formats, with the types that the model's features have.

    Args:
      config: the configuration, whose `data` says how files are read.
      pattern: the files: one, or several by * and ?.
      features: the model's features by name.
      unneeded: columns that are left out.

    Returns:
      Values by column. Where the table has every feature, its other columns are left out, as columns without any value always
      are; where it lacks one, they are kept, because one of them may be the feature under a wrong name.

    Raises:
      UsageError: no file matches.
      ConfigError: the files' format cannot be told.
      DataError: a file is damaged or has no rows, or a column is of another type than the feature.
    """
    from components.example_gen.table import open_table
    from components.shared.examples.kinds import Kind
    from pipeline.contracts.schema import Schema, SchemaFeature

    model = Schema(tuple(SchemaFeature(name, _TYPES[feature.dtype]) for name, feature in features.items()))
    data = config.data.model_copy(
        update={"input": str(pattern.absolute()), "format": "auto", "columns": {}, "newest_span": None}
    )
    table = open_table(data, ignored=unneeded, model=model)
    has_all = features.keys() <= table.kinds.keys()
    wanted = [name for name, kind in table.kinds.items() if name in features or (kind is not Kind.EMPTY and not has_all)]
    # A TFRecord file does not say that a value is a list of one.
    lists = [name for name, feature in features.items() if feature.is_list and name not in table.lists]
    rows = [row for batch in table.batches(wanted) for row in batch.to_pylist()]
    return [{**row, **{name: [row[name]] for name in lists if row.get(name) is not None}} for row in rows]
