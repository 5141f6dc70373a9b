"""What is known of columns besides their values: from the configuration, and from a schema."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from pydantic import BaseModel, ConfigDict

from pipeline.config import ColumnType, DateOrder, PipelineConfig
from pipeline.contracts.schema import Schema
from pipeline.errors import ConfigError
from pipeline.util.suggestions import did_you_mean

# With the other kinds of features, columns are read as their values suggest.
_DECISIVE = ("categorical", "numeric", "text")


class ColumnRules(BaseModel):
    """What decides on a column before its values do: the configuration's types, then a schema, then the kinds of features.

    Attributes:
      types: types by column, as `data.columns` in the configuration has them.
      dates: the order of day and month where both are numbers; None to find out.
      schema_types: `int`, `float` or `bytes` by column, from a schema.
      is_model: whether the schema is that of a model, which needs its types. The values of a column may contradict a curated
        schema; ExampleValidator says so.
      features: `categorical`, `numeric` or `text` by column, as `features` in the configuration has them.
      ignored: columns that are not read.
    """

    model_config = ConfigDict(frozen=True)

    types: Mapping[str, ColumnType] = {}
    dates: DateOrder | None = None
    schema_types: Mapping[str, str] = {}
    is_model: bool = False
    features: Mapping[str, str] = {}
    ignored: tuple[str, ...] = ()

    @classmethod
    def of(cls, config: PipelineConfig, schema: Schema | None = None) -> ColumnRules:
        """What a configuration says, and its curated schema."""
        return cls(
            types=config.data.columns,
            dates=config.data.dates,
            schema_types=types_in(schema) if schema else {},
            features={name: kind for name, feature in config.features.items() if (kind := feature.kind) in _DECISIVE},
            ignored=tuple(sorted(config.unread)),
        )

    def with_schema_of_model(self, schema: Schema) -> ColumnRules:
        """The same rules for a table that is to be scored."""
        return self.model_copy(update={"schema_types": types_in(schema), "is_model": True})

    def is_of_model(self, column: str) -> bool:
        """Whether a model wants the column, with the type that its schema has."""
        return self.is_model and column in self.schema_types

    def require_known(self, columns: Collection[str]) -> None:
        """Checks that the columns that the configuration names are there.

        Raises:
          ConfigError: one is not.
        """
        for section, names in (("data.columns", self.types), ("features", self.ignored)):
            for name in names:
                if name not in columns:
                    raise ConfigError(
                        f"There is no column {name!r} in the data. {did_you_mean(name, columns)}".rstrip(),
                        where=f"{section}.{name}",
                        expected=f"one of {', '.join(sorted(columns))}",
                        seen=name,
                        fix=f"Correct the name, or remove it from the section `{section}`.",
                    )


def types_in(schema: Schema) -> dict[str, str]:
    """`int`, `float` or `bytes` for each column of a schema that has one of them."""
    return {
        feature.name: feature.type
        for feature in schema.features
        if not feature.is_deprecated and feature.type in ("int", "float", "bytes")
    }
