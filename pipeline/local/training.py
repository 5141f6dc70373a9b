"""A run of the training pipeline on this machine, from the configuration to the report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline import nodes
from pipeline.config.loading import flawed
from pipeline.contracts import signature
from pipeline.errors import ConveyorError, DataError, NotBlessedError
from pipeline.local.fingerprint import fingerprint
from pipeline.local.runner import Observer, run_pipeline
from pipeline.local.worker import PipelineFactory
from pipeline.report import write_report
from pipeline.report.read.run_details import read_run_details
from pipeline.report.verdict import why_not_blessed
from pipeline.runs import database
from pipeline.runs.announcement import announce
from pipeline.runs.metadata import open_store
from pipeline.runs.status import UNKNOWN_VERDICT, RunOutcome, RunState
from pipeline.tracking import track_ended

if TYPE_CHECKING:
    from pipeline.config import PipelineConfig
    from pipeline.config.flaws import Flaw

_EXPECTED = (
    "every metric within evaluation.thresholds; where they have no min or max, a model that is better than always saying the "
    "same; and one that is not worse than the baseline by more than max_regression and chance"
)

AsError = Callable[["Sequence[Flaw]"], ConveyorError]


@dataclass(frozen=True)
class TrainingRun:
    """A run that has ended.

    Attributes:
      outcome: the run's outcome; the error that ended it, if one did, is in it.
      refusal: why a complete run pushed no model, if a validator of the model refused it.
      verdict_error: why it is not known whether one has; None if it is.
      report_error: why there is no report, if it could not be written.
      tracking_error: why the tracking server has not been told of it all; None if it has, or there is none.
      announcement_error: why the events of the run lack its nodes and its verdict; None if they do not.
    """

    outcome: RunOutcome
    refusal: NotBlessedError | None
    verdict_error: ConveyorError | None
    report_error: OSError | ConveyorError | None
    tracking_error: ConveyorError | None
    announcement_error: ConveyorError | None

    @property
    def failure(self) -> ConveyorError | None:
        """The error with which the command ends: the one that ended the run, or what is wrong with the verdict on its model."""
        return self.outcome.problem.as_error() if self.outcome.problem else self.refusal or self.verdict_error


def train(
    config: PipelineConfig,
    observer: Observer,
    *,
    from_nodes: tuple[str, ...] = (),
    to_nodes: tuple[str, ...] = (),
    as_error: AsError = flawed,
) -> TrainingRun:
    """Runs the pipeline, writes the report of the run, and tells the tracking server of it.

    Args:
      config: the pipeline's configuration.
      observer: called with the outcome so far after each change and several times a second.
      from_nodes: nodes at which a partial run starts.
      to_nodes: nodes at which a partial run ends.
      as_error: makes an error of the flaws of the configuration, with the lines that they are on if it is in a file.

    Raises:
      ConveyorError: the configuration does not suit its data, or the run could not start, as `run_pipeline` says.
      KeyboardInterrupt: the run was interrupted.
    """
    if config.push.signing_key_variable is not None and not to_nodes:
        # Training would be lost time without it.
        signature.private_key(config.push.signing_key_variable)
    outcome = run_pipeline(
        config,
        PipelineFactory("pipeline.graph:create_pipeline", {"config": config}),
        name=config.name,
        from_nodes=from_nodes,
        to_nodes=to_nodes,
        observer=observer,
        fingerprint=(lambda: fingerprint(config)) if config.execution.cache else None,
        # A partial run that starts later takes the data from an earlier run.
        check=(lambda: None) if from_nodes else (lambda: require_suitable_data(config, as_error)),
    )
    refusal, verdict_error = None, None
    try:
        refusal = _refusal(outcome, config)
    except ConveyorError as error:
        verdict_error = error
        outcome.warnings.append(UNKNOWN_VERDICT)
    if refusal:
        outcome.state = RunState.NOT_BLESSED
    if refusal or verdict_error:
        outcome.save(config.runs_path / outcome.run_id)
    announcement_error = announce(config, outcome)
    report_error: OSError | ConveyorError | None = None
    try:
        write_report(config, outcome.run_id)
    except (OSError, ConveyorError) as error:
        # The run is what counts, and the report can be written again.
        report_error = error
    tracking_error = track_ended(config, outcome.run_id)
    return TrainingRun(outcome, refusal, verdict_error, report_error, tracking_error, announcement_error)


def require_suitable_data(config: PipelineConfig, as_error: AsError) -> None:
    """Checks that the configuration suits its data.

    Files that are damaged are left to ExampleGen, which reads all of them, and settings of the servers to the servers.

    Raises:
      ConveyorError: it does not: a name is no column, or the label does not suit the task.
    """
    # A run for which nothing has changed does without Arrow, with which they look at the data.
    from pipeline.checks import find_flaws

    flaws = [flaw for flaw in find_flaws(config) if flaw.field[0] != "gateway" and flaw.field != ("push", "public_key")]
    if certain := [flaw for flaw in flaws if not (flaw.where and issubclass(flaw.kind, DataError))]:
        raise as_error(certain)


def _refusal(outcome: RunOutcome, config: PipelineConfig) -> NotBlessedError | None:
    if outcome.state is not RunState.COMPLETE:
        return None
    with open_store(database.connection(config), config.name) as store:
        refusal = store.run(outcome.run_id).refusal()
    if refusal is None:
        return None
    node, blessing = refusal
    if node == nodes.EVALUATOR.id:
        return NotBlessedError(
            "The model is not good enough, so nothing was pushed.",
            where=node,
            expected=_EXPECTED,
            seen=" ".join(why_not_blessed(read_run_details(config, outcome.run_id))),
            fix="Improve the model or its data; change evaluation.thresholds only when you know why. The model that is served "
            "stays.",
        )
    log = config.runs_path / outcome.run_id / f"{node}.log"
    return NotBlessedError(
        "It could not be served, so nothing was pushed.",
        where=node,
        expected="the model loads, and answers each request, within infra_validator.timeout_seconds",
        seen=str(blessing.properties.get("message", "")),
        fix=f"Read the log {log}. The model that is served stays.",
    )
