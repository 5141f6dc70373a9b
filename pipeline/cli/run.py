"""`conveyor run`: the whole pipeline, or a part of it, on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pipeline import nodes
from pipeline.cli.options import ConfigArgument, Overrides, read_config
from pipeline.errors import NotBlessedError

if TYPE_CHECKING:
    from pipeline.config import PipelineConfig
    from pipeline.runs.status import RunOutcome


def run(
    config: ConfigArgument = None,
    overrides: Overrides = None,
    from_nodes: Annotated[
        list[str] | None,
        typer.Option("--from", metavar="NODE", help="Start at this node; take what comes before from an earlier run."),
    ] = None,
    to_nodes: Annotated[list[str] | None, typer.Option("--to", metavar="NODE", help="End with this node.")] = None,
    no_cache: Annotated[
        bool, typer.Option("--no-cache", help="Run every node, also those that nothing has changed for.")
    ] = False,
) -> None:
    """Run the pipeline: from data to a blessed, pushed model. A run that was cut off goes on where it was."""
    from rich.console import Console

    from pipeline.local import PipelineFactory, run_pipeline
    from pipeline.local.fingerprint import fingerprint
    from pipeline.local.progress import observe
    from pipeline.report import print_summary, write_report
    from pipeline.runs.status import RunState

    settings = read_config(config, [*(overrides or ()), *(["execution.cache=false"] if no_cache else [])])
    console = Console()
    with observe(console, settings.runs_path) as observer:
        outcome = run_pipeline(
            settings,
            PipelineFactory("pipeline.graph:create_pipeline", {"config": settings}),
            name=settings.name,
            from_nodes=tuple(from_nodes or ()),
            to_nodes=tuple(to_nodes or ()),
            observer=observer,
            fingerprint=(lambda: fingerprint(settings)) if settings.execution.cache else None,
        )
    refusal = _refusal(outcome, settings)
    if refusal:
        outcome.state = RunState.NOT_BLESSED
        outcome.save(settings.runs_path / outcome.run_id)
    try:
        write_report(settings, outcome.run_id)
    except OSError as error:
        # The run is what counts: its results are printed below, and the report can be written again.
        console.print(f"No report: {error}. Once that is corrected: conveyor report {outcome.run_id}", style="yellow")
    print_summary(outcome, settings, console)
    if outcome.problem:
        raise outcome.problem.as_error()
    if refusal:
        raise refusal


def _refusal(outcome: RunOutcome, config: PipelineConfig) -> NotBlessedError | None:
    """Why a complete run ends without a push, if a validator of the model refused it."""
    from pipeline.runs.status import RunState

    if outcome.state is not RunState.COMPLETE:
        return None
    from pipeline.runs import database
    from pipeline.runs.metadata import open_store

    with open_store(database.connection(config), config.name) as store:
        refusal = store.run(outcome.run_id).refusal()
    if refusal is None:
        return None
    node, blessing = refusal
    if node == nodes.EVALUATOR.id:
        return NotBlessedError(
            "A metric missed its threshold, so nothing was pushed.",
            where=node,
            expected="every metric within evaluation.thresholds, and no worse than the baseline by more than max_regression",
            seen="the thresholds that failed are in the table above and in the report",
            fix="Improve the model or its data; lower a threshold only when you know why. The model that is served stays.",
        )
    log = config.runs_path / outcome.run_id / f"{node}.log"
    return NotBlessedError(
        "It could not be served, so nothing was pushed.",
        where=node,
        expected="the model loads and answers requests within infra_validator.timeout_seconds",
        seen=str(blessing.properties.get("message", "")),
        fix=f"Read the log {log}. The model that is served stays.",
    )
