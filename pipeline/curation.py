"""The schema as people work with it: shown, compared with the data of the last run, and changed to accept that data."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from pipeline import nodes
from pipeline.config import PipelineConfig
from pipeline.contracts import schema as schema_contract
from pipeline.contracts.schema import Schema, SchemaFeature
from pipeline.errors import ConfigError, UsageError
from pipeline.runs import database
from pipeline.runs.find import run_ids
from pipeline.runs.metadata import Artifact, Run, open_store
from pipeline.util import files
from pipeline.util.imports import quietly
from pipeline.util.suggestions import did_you_mean
from pipeline.util.text_proto import UneditableError, edited, rendered

if TYPE_CHECKING:
    from tensorflow_metadata.proto.v0 import schema_pb2
    from tensorflow_metadata.proto.v0.anomalies_pb2 import Anomalies
    from tensorflow_metadata.proto.v0.statistics_pb2 import DatasetFeatureStatisticsList

FILE = "schema.pbtxt"
"""The curated schema that `accept` makes, in the folder of the configuration, where the configuration names none."""
REFERENCE = "train"
"""The split that schemas are inferred from, and that drift is measured from."""

_STATISTICS = "FeatureStats.pb"


@dataclass(frozen=True)
class CurrentSchema:
    """The schema of a pipeline.

    Attributes:
      proto: its content.
      path: its file.
      run_id: the run that inferred it; empty for a curated one.
    """

    proto: schema_pb2.Schema
    path: Path
    run_id: str = ""

    @property
    def is_curated(self) -> bool:
        """Whether people keep it, rather than a run infers it."""
        return not self.run_id


@dataclass(frozen=True)
class LastData:
    """The data of the last run that counted it: the statistics of each split."""

    run_id: str
    statistics: Mapping[str, DatasetFeatureStatisticsList]


@dataclass(frozen=True)
class Comparison:
    """The data of a run beside the schema.

    Attributes:
      schema: the schema.
      run_id: the run.
      anomalies: what breaks the schema, one line each.
      changes: how the schema would have to change, one line for each field.
    """

    schema: CurrentSchema
    run_id: str
    anomalies: tuple[str, ...]
    changes: tuple[str, ...]


@dataclass(frozen=True)
class Acceptance:
    """A schema that has been changed to accept data.

    Attributes:
      path: its file, which has been written if there are changes or it is new.
      changes: what changed, one line for each field.
      is_new: whether the file was made from an inferred schema.
      remaining: the columns that still break it, each with why.
    """

    path: Path
    changes: tuple[str, ...]
    is_new: bool
    remaining: tuple[str, ...]


def current_schema(config: PipelineConfig) -> CurrentSchema:
    """The curated schema of a pipeline; where there is none, the one that its last run inferred.

    Args:
      config: the pipeline's configuration.

    Raises:
      ConfigError: the curated schema cannot be read.
      UsageError: there is none, and no run has inferred one.
    """
    path = config.schema_source.path
    if path is not None:
        file = Path(config.resolve(path))
        return CurrentSchema(schema_contract.read_schema(file, "Correct schema.path in the configuration."), file)
    run_id, artifact = _last_output(config, nodes.SCHEMA_GEN.id, "schema")
    file = artifact.path / schema_contract.FILE_NAME
    return CurrentSchema(schema_contract.read_schema(file), file, run_id)


def last_data(config: PipelineConfig) -> LastData:
    """The statistics of the last run that has some, whether it went on or was stopped by them.

    Args:
      config: the pipeline's configuration.

    Raises:
      UsageError: there is no such run.
    """
    from tensorflow_metadata.proto.v0.statistics_pb2 import DatasetFeatureStatisticsList

    run_id, artifact = _last_output(config, nodes.STATISTICS_GEN.id, "statistics")
    paths = sorted(
        artifact.path.glob(f"Split-*/{_STATISTICS}"), key=lambda path: (path.parent.name != f"Split-{REFERENCE}", path)
    )
    statistics = {
        path.parent.name.removeprefix("Split-"): DatasetFeatureStatisticsList.FromString(path.read_bytes()) for path in paths
    }
    return LastData(run_id, statistics)


def compare(config: PipelineConfig) -> Comparison:
    """Compares the data of the last run with the schema.

    Args:
      config: the pipeline's configuration.

    Raises:
      UsageError: no run has a schema or statistics.
      ConfigError: the curated schema cannot be read.
    """
    schema, data = current_schema(config), last_data(config)
    with quietly():
        from components.example_validator.acceptance import accepting, changes, validate
        from components.example_validator.anomalies import anomaly_notes

        anomalies = _of_read_columns(validate(schema.proto, data.statistics, REFERENCE), config)
        found = anomaly_notes(anomalies, "" if schema.is_curated else REFERENCE)
        read = _known_columns(schema, data) - config.unread
        wanted = changes(schema.proto, accepting(schema.proto, data.statistics, REFERENCE, read))
    return Comparison(schema, data.run_id, tuple(found), tuple(wanted))


def accept(config: PipelineConfig, columns: Collection[str] = (), *, folder: Path) -> Acceptance:
    """Relaxes the curated schema until it accepts the data of the last run, and writes it; an inferred one becomes curated.

    Args:
      config: the pipeline's configuration.
      columns: those for which to relax it; all of them when empty.
      folder: where to write the schema that an inferred one becomes.

    Returns:
      What was done. All splits have been compared with the new schema before it was written.

    Raises:
      UsageError: a column is neither in the schema nor in the data, or no run has statistics.
      ConfigError: the curated schema cannot be read, or uses a part of its format that is not edited here.
    """
    schema, data = current_schema(config), last_data(config)
    known = _known_columns(schema, data)
    _check_columns(columns, known, schema.path)
    with quietly():
        from components.example_validator.acceptance import accepting, changes, validate
        from components.example_validator.anomalies import anomaly_notes

        accepted = accepting(schema.proto, data.statistics, REFERENCE, columns or known - config.unread)
        changed = changes(schema.proto, accepted)
        remaining = anomaly_notes(_of_read_columns(validate(accepted, data.statistics, REFERENCE), config))
    path = schema.path if schema.is_curated else folder / FILE
    if not schema.is_curated:
        if path.exists():
            raise UsageError(
                "There is a schema already, which the configuration does not name.",
                where=str(path),
                expected=f"schema: {{path: {FILE}}} in the configuration, or no such file",
                fix=f"Add that line to the configuration, or move the file away: mv {path} {path}.old",
            )
        files.write(
            path, f"# The schema of {config.name}, inferred by run {schema.run_id}. Edit it as you like.\n{rendered(accepted)}"
        )
    elif changed:
        files.write(path, _edited(path, schema.proto, accepted, changed))
    return Acceptance(path, tuple(changed), not schema.is_curated, tuple(remaining))


def name_schema(path: Path, schema: Path) -> bool:
    """Adds the line that names a curated schema to a configuration.

    Args:
      path: the configuration.
      schema: the schema, in the same folder.

    Returns:
      Whether it did; not where the configuration has a section `schema` already or is written as one flow mapping.
    """
    text = path.read_text(encoding="utf-8")
    added = f"{text.rstrip()}\nschema: {{path: {schema.name}}}\n"
    try:
        before, after = yaml.safe_load(text), yaml.safe_load(added)
    except yaml.YAMLError:
        return False
    if "schema" in before or after != {**before, "schema": {"path": schema.name}}:
        return False
    files.write(path, added)
    return True


def uses(config: PipelineConfig, schema: Schema) -> dict[str, str]:
    """How each column of a schema is used: `label`, or the kind of its feature."""
    return {feature.name: _use(config, feature) for feature in schema.features}


def _use(config: PipelineConfig, feature: SchemaFeature) -> str:
    chosen = config.features.get(feature.name)
    if feature.name == config.label:
        return "label"
    if feature.is_deprecated:
        return "deprecated"
    if chosen is not None and chosen.kind is not None:
        return chosen.kind
    if feature.is_unix_time:
        return "time"
    return "categorical" if feature.type == "bytes" or feature.is_categorical else "numeric"


def _known_columns(schema: CurrentSchema, data: LastData) -> set[str]:
    """The columns of the schema and of the data."""
    return {feature.name for feature in schema.proto.feature} | {
        feature.path.step[0]
        for of_split in data.statistics.values()
        for dataset in of_split.datasets
        for feature in dataset.features
    }


def _of_read_columns(anomalies: Mapping[str, Anomalies], config: PipelineConfig) -> Mapping[str, Anomalies]:
    """Leaves out the columns that a run does not read."""
    for found in anomalies.values():
        for name in config.unread:
            found.anomaly_info.pop(name, None)
    return anomalies


def _check_columns(columns: Collection[str], known: Collection[str], path: Path) -> None:
    for column in columns:
        if column not in known:
            raise UsageError(
                f"There is no column {column!r} in the schema or in the data.",
                where=str(path),
                expected=", ".join(sorted(known)),
                seen=column,
                fix=did_you_mean(column, known) or "`conveyor schema diff` lists the columns that break the schema.",
            )


def _edited(path: Path, before: schema_pb2.Schema, after: schema_pb2.Schema, changed: Collection[str]) -> str:
    try:
        return edited(path.read_text(encoding="utf-8"), before, after)
    except UneditableError as error:
        raise ConfigError(
            "The schema uses a part of its format that is not edited here.",
            where=str(path),
            seen=str(error),
            fix="\n".join(["Make these changes in an editor:", *changed]),
        ) from error


def _last_output(config: PipelineConfig, node: str, key: str) -> tuple[str, Artifact]:
    """The output of the last run in which a node was successful, and that run."""
    for run in _runs(config):
        artifact = run.output(node, key)
        if artifact is not None and artifact.path.is_dir():
            return run.run_id, artifact
    raise UsageError(
        f"No run in this workspace has the output of {node}.",
        where=str(config.workspace_path),
        expected=f"a run in which {node} was successful, on this machine",
        fix=f"conveyor run --to {nodes.EXAMPLE_VALIDATOR.id}",
    )


def _runs(config: PipelineConfig) -> Iterator[Run]:
    """The runs, newest first."""
    ids = run_ids(config)
    with open_store(database.connection(config), config.name) as store:
        for run_id in reversed(ids):
            yield store.run(run_id)
