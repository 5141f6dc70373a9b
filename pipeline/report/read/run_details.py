"""Reads all that is known about a run: the report, the summary and `conveyor show` are made of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from google.protobuf.message import DecodeError
from pydantic import ValidationError

from pipeline import nodes
from pipeline.config import PipelineConfig
from pipeline.contracts import importance, wrong_rows
from pipeline.errors import StorageError
from pipeline.report.read.anomalies import Anomalies, read_anomalies
from pipeline.report.read.data import Data, data_of
from pipeline.report.read.evaluation import Evaluation, read_evaluation
from pipeline.report.read.saved_model import SavedModel, read_saved_model
from pipeline.report.read.schema import SchemaTable, read_schema
from pipeline.report.read.statistics import Statistics, read_statistics
from pipeline.report.read.training import Training, read_training
from pipeline.report.read.transformation import Transformation, read_transformation
from pipeline.report.read.tuning import Tuning, read_tuning
from pipeline.runs import database
from pipeline.runs.metadata import Artifact, Execution, Lineage, Run, Store, open_store
from pipeline.runs.outcomes import first_sign, is_at_work, read_outcome
from pipeline.runs.status import FILE_NAME, DamagedRunError, NodeState, RunOutcome, RunState

if TYPE_CHECKING:
    from ml_metadata.proto import metadata_store_pb2

_Content = TypeVar("_Content")

# What readers of JSON, messages and arrays raise where the content is not what they expect.
_DAMAGE = (OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, EOFError, DecodeError)


@dataclass(frozen=True)
class RunDetails:
    """A run and what its nodes made; None for what is not there, because the run did not come that far.

    Files are read when they are first asked for, so the metadata store is closed by then.

    Attributes:
      config: the configuration that the run had.
      outcome: the states of the run and its nodes.
      run: the run's executions and artifacts.
      folder: the run's folder, with its logs and the report.
      lineage: the lineage of the pushed version, or of the model where none was pushed.
      origins: the executions of earlier runs that made what this one took from the cache or had resolved, by node.
      baseline_version: the version that the baseline was pushed as; empty if it was not pushed, or there is none.
      damage: why the outcome is not known, if the run's file cannot be read; nodes are then as ML Metadata has them.
    """

    config: PipelineConfig
    outcome: RunOutcome
    run: Run
    folder: Path
    lineage: Lineage | None = None
    origins: Mapping[str, Execution] = field(default_factory=dict)
    baseline_version: str = ""
    damage: DamagedRunError | None = None

    @property
    def model(self) -> Artifact | None:
        """The candidate."""
        return self.run.output(nodes.TRAINER.id, "model")

    @property
    def version(self) -> str:
        """The version that the model was pushed as; empty if it was not pushed."""
        pushed = self.run.output(nodes.PUSHER.id, "pushed_model")
        return str(pushed.properties.get("pushed_version", "")) if pushed else ""

    @property
    def baseline_name(self) -> str:
        """The baseline as people call it."""
        return f"version {self.baseline_version}" if self.baseline_version else "the baseline"

    @property
    def blessed(self) -> bool | None:
        """Whether the Evaluator blessed the candidate; None if it did not judge."""
        blessing = self.run.output(nodes.EVALUATOR.id, "blessing")
        return None if blessing is None else bool(blessing.properties.get("blessed"))

    @property
    def infra_blessing(self) -> Artifact | None:
        """The InfraValidator's blessing; its properties say whether the candidate can be served, why not, and how fast."""
        return self.run.output(nodes.INFRA_VALIDATOR.id, "blessing")

    def resolved(self, node: str) -> Artifact | None:
        """The artifact that a resolver chose; None if there was nothing to choose."""
        resolution = nodes.NODES[node].resolution
        return self.run.input(node, resolution.output) if resolution else None

    @cached_property
    def data(self) -> Data:
        """The data that the run read."""
        return data_of(self.origins.get(nodes.EXAMPLE_GEN.id) or self.run.executions.get(nodes.EXAMPLE_GEN.id))

    @cached_property
    def statistics(self) -> Statistics | None:
        """The statistics of the data."""
        return _content(read_statistics, self.run.output(nodes.STATISTICS_GEN.id, "statistics"))

    @cached_property
    def schema(self) -> SchemaTable | None:
        """The schema that the data was checked against."""
        return _content(read_schema, self.run.output(nodes.SCHEMA_GEN.id, "schema"))

    @cached_property
    def anomalies(self) -> Anomalies | None:
        """The anomalies in the data. TFX removes the outputs of a node that failed."""
        return _content(read_anomalies, self.run.output(nodes.EXAMPLE_VALIDATOR.id, "anomalies"))

    @cached_property
    def transformation(self) -> Transformation | None:
        """The features that Transform makes of the columns."""
        return _content(read_transformation, self.run.output(nodes.TRANSFORM.id, "transform_graph"))

    @cached_property
    def tuning(self) -> Tuning | None:
        """The search for hyperparameters in this run."""
        return _content(read_tuning, self.run.output(nodes.TUNER.id, "tuner_results"))

    @cached_property
    def training(self) -> Training | None:
        """How the candidate was trained."""
        return _content(read_training, self.run.output(nodes.TRAINER.id, "model_run"))

    @cached_property
    def saved_model(self) -> SavedModel | None:
        """The candidate on disk."""
        return _content(read_saved_model, self.model)

    @cached_property
    def importance(self) -> importance.Importance | None:
        """How much the candidate leans on each column, where that was measured."""
        evaluation = self.run.output(nodes.EVALUATOR.id, "evaluation")
        return _content(lambda folder: importance.Importance.from_json((folder / importance.FILE_NAME).read_text()), evaluation)

    @cached_property
    def wrong_rows(self) -> wrong_rows.WrongRows | None:
        """The evaluated rows that the candidate is most wrong about, where they were kept."""
        evaluation = self.run.output(nodes.EVALUATOR.id, "evaluation")
        return _content(lambda folder: wrong_rows.WrongRows.from_json((folder / wrong_rows.FILE_NAME).read_text()), evaluation)

    @cached_property
    def evaluation(self) -> Evaluation | None:
        """The candidate beside the baseline."""
        return _content(read_evaluation, self.run.output(nodes.EVALUATOR.id, "evaluation"))


def read_run_details(config: PipelineConfig, run_id: str) -> RunDetails:
    """Reads a run from its folder and the metadata store.

    Args:
      config: the pipeline's configuration; where the run has its own, that one is used.
      run_id: the run's id.

    Raises:
      UsageError: nothing has run in the workspace.
    """
    folder = config.runs_path / run_id
    left_outcome = (folder / FILE_NAME).is_file()
    run, lineage, origins, baseline_version = Run(run_id, config.name, {}), None, {}, ""
    # A run that failed before its first node may have left no metadata store.
    connection = database.connection(config)
    if database.exists(connection) or not left_outcome:
        with open_store(connection, config.name) as store:
            run = store.run(run_id)
            pushed, model = run.output(nodes.PUSHER.id, "pushed_model"), run.output(nodes.TRAINER.id, "model")
            target = pushed if pushed and pushed.properties.get("pushed_version") else model
            lineage = store.lineage(target) if target else None
            origins = _origins(store, run)
            baseline = run.input(nodes.RESOLVER.id, "model")
            baseline_version = store.version_of(baseline) if baseline else ""
    outcome, damage = _outcome(run, folder, connection)
    return RunDetails(_config_of(outcome) or config, outcome, run, folder, lineage, origins, baseline_version, damage)


def _outcome(
    run: Run, folder: Path, connection: metadata_store_pb2.ConnectionConfig
) -> tuple[RunOutcome, DamagedRunError | None]:
    damage = None
    try:
        return read_outcome(folder), None
    except FileNotFoundError:
        outcome = run.outcome()
    except DamagedRunError as error:
        outcome, damage = run.outcome(), error
        outcome.state, outcome.started = RunState.UNKNOWN, outcome.started or first_sign(folder)
    # On a server's database, runs of a cluster are at work elsewhere.
    if connection.HasField("sqlite") and not is_at_work(folder.parent):
        outcome.settle()
        outcome.state = RunState.INTERRUPTED if outcome.state is RunState.RUNNING else outcome.state
    return outcome, damage


def _origins(store: Store, run: Run) -> dict[str, Execution]:
    origins: dict[str, Execution] = {}
    for node, execution in run.executions.items():
        taken: Artifact | None = None
        if node in nodes.NODES and (resolution := nodes.NODES[node].resolution):
            taken = run.input(node, resolution.output)
        elif execution.state is NodeState.CACHED:
            taken = next((artifact for artifacts in execution.outputs.values() for artifact in artifacts), None)
        maker = store.producer(taken.id) if taken else None
        if maker is not None:
            origins[node] = maker
    return origins


def _config_of(outcome: RunOutcome) -> PipelineConfig | None:
    """The configuration that a run had, unless a later release no longer understands it."""
    try:
        return PipelineConfig.model_validate(outcome.config)
    except ValidationError:
        return None


def _content(read: Callable[[Path], _Content], artifact: Artifact | None) -> _Content | None:
    """The content of an artifact; None if there is none, or its files have been deleted since.

    Raises:
      StorageError: a file of it is damaged.
    """
    if artifact is None:
        return None
    try:
        return read(artifact.path)
    except FileNotFoundError:
        return None
    except _DAMAGE as error:
        raise StorageError(
            "What a node has made cannot be read.",
            where=artifact.uri,
            expected=f"{artifact.type}, as the node wrote it",
            seen=f"{type(error).__name__}: {error}"[:500],
            fix="`conveyor verify` names the file that is not what was made; `conveyor run` makes it anew.",
        ) from error
