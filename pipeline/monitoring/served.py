"""The version that is watched: what it was made from, and the rows that it was trained and judged on."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline import nodes
from pipeline.config import PipelineConfig
from pipeline.contracts import input_pattern
from pipeline.contracts.importance import FILE_NAME as IMPORTANCE_FILE
from pipeline.contracts.importance import Importance
from pipeline.contracts.model import ColumnType
from pipeline.contracts.model_description import ModelDescription
from pipeline.contracts.schema import FILE_NAME as SCHEMA_FILE
from pipeline.contracts.schema import Schema, read_schema
from pipeline.errors import UsageError
from pipeline.runs import database
from pipeline.runs.metadata import Artifact, Lineage, open_store

if TYPE_CHECKING:
    import pyarrow as pa
    from tensorflow_metadata.proto.v0 import schema_pb2

TRAINED_ON, JUDGED_ON = "train", "eval"
"""The splits of a version's rows."""

_TYPES: Mapping[str, ColumnType] = {"int": "int", "float": "float", "bytes": "string"}


@dataclass(frozen=True)
class ServedVersion:
    """A pushed version.

    Attributes:
      version: its number.
      folder: where it was pushed to.
      lineage: what it was made from.
      description: the model's description of itself.
      schema: the schema that its data was checked against.
    """

    version: str
    folder: Path
    lineage: Lineage
    description: ModelDescription
    schema: schema_pb2.Schema

    @property
    def pushed(self) -> float | None:
        """When it was pushed, in seconds since 1970."""
        return self._ended(nodes.PUSHER.id)

    @property
    def data_read(self) -> float | None:
        """When its rows were read, in seconds since 1970."""
        return self._ended(nodes.EXAMPLE_GEN.id)

    @property
    def newest_span(self) -> int | None:
        """The newest span that it was trained on; None where its data has none."""
        execution = self.lineage.execution(nodes.EXAMPLE_GEN.id)
        properties = execution.properties if execution else {}
        pattern = str(properties.get("input_pattern", ""))
        if "{SPAN}" not in pattern:
            return None
        expression = input_pattern.regular_expression(pattern)
        paths = json.loads(properties.get("input_files", "{}")).get(TRAINED_ON, [])
        return max((int(found["span"]) for path in paths if (found := expression.fullmatch(path))), default=None)

    @property
    def importance(self) -> dict[str, float] | None:
        """How much worse the model is with the values of a column shuffled, by column; None where that was not measured."""
        found = self._importance()
        return {each.column: each.loss for each in found.columns} if found else None

    def judged(self, metric: str) -> float | None:
        """The metric of the rows on which importance was measured, a sample of those that it was judged on; None without."""
        found = self._importance()
        return found.value if found and found.metric == metric else None

    def types(self, config: PipelineConfig) -> dict[str, ColumnType]:
        """The types of the columns that the model takes; where it does not say, of those in the schema that it may take."""
        if self.description.features:
            return dict(self.description.features)
        others = {config.label, *config.weights, *config.unread}
        known = Schema.of(self.schema).features
        return {each.name: _TYPES[each.type] for each in known if each.type in _TYPES and each.name not in others}

    def rows(self, split: str) -> Iterator[pa.RecordBatch]:
        """The rows of a split, as columns of lists.

        Raises:
          UsageError: they are not there any more.
        """
        from components.statistics_gen.batches import read_batches

        return read_batches([str(path) for path in self.files(split)])

    def files(self, split: str) -> list[Path]:
        """The files of a split's rows.

        Raises:
          UsageError: they are not there any more.
        """
        examples = self._output(nodes.EXAMPLE_GEN.id, "examples")
        found = sorted(examples.path.glob(f"Split-{split}/*")) if examples else []
        if not found:
            raise UsageError(
                f"The rows that version {self.version} was made from are no longer there.",
                where=str(examples.path / f"Split-{split}") if examples else self.version,
                expected=f"the split {split} of its examples",
                fix="Compare with other rows: conveyor monitor --against span:N, or --against log:FROM..TO",
            )
        return found

    def _importance(self) -> Importance | None:
        evaluation = self._output(nodes.EVALUATOR.id, "evaluation")
        path = evaluation.path / IMPORTANCE_FILE if evaluation else None
        return Importance.from_json(path.read_text()) if path and path.is_file() else None

    def _output(self, node: str, key: str) -> Artifact | None:
        execution = self.lineage.execution(node)
        return next(iter(execution.outputs.get(key, ())), None) if execution else None

    def _ended(self, node: str) -> float | None:
        execution = self.lineage.execution(node)
        return execution.ended if execution else None


def read_version(config: PipelineConfig, version: str | None) -> ServedVersion:
    """Reads what is known of a pushed version.

    Args:
      config: the pipeline's configuration.
      version: its number; the newest when None.

    Raises:
      UsageError: no such version was pushed, or nothing has run yet.
    """
    with open_store(database.connection(config), config.name) as store:
        versions = store.pushed_versions()
        named = version or (next(reversed(versions)) if versions else "")
        lineage = store.lineage(store.pushed(named))
    folder = Path(lineage.destination)
    return ServedVersion(named, folder, lineage, ModelDescription.of(folder), _schema(lineage))


def _schema(lineage: Lineage) -> schema_pb2.Schema:
    execution = lineage.execution(nodes.SCHEMA_GEN.id)
    artifact = next(iter(execution.outputs.get("schema", ())), None) if execution else None
    if artifact is None or not (artifact.path / SCHEMA_FILE).is_file():
        from tensorflow_metadata.proto.v0 import schema_pb2

        return schema_pb2.Schema()
    return read_schema(artifact.path / SCHEMA_FILE)
