"""`conveyor run`: the whole pipeline, or a part of it, on this machine."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.completion import complete_node
from pipeline.cli.interruption import ending_on_signals
from pipeline.cli.options import ConfigArgument, Overrides, find_config, read_config
from pipeline.errors import ConveyorError


def run(
    config: ConfigArgument = None,
    overrides: Overrides = None,
    from_nodes: Annotated[
        list[str] | None,
        typer.Option(
            "--from",
            metavar="NODE",
            help="Start at this node; take what comes before from an earlier run.",
            autocompletion=complete_node,
        ),
    ] = None,
    to_nodes: Annotated[
        list[str] | None, typer.Option("--to", metavar="NODE", help="End with this node.", autocompletion=complete_node)
    ] = None,
    no_cache: Annotated[
        bool, typer.Option("--no-cache", help="Run every node, also those that nothing has changed for.")
    ] = False,
) -> None:
    """Run the pipeline: from data to a blessed, pushed model. A run that was cut off goes on where it was.

    Example: conveyor run --set training.epochs=3
    """
    from rich.console import Console

    from pipeline.config.loading import flawed
    from pipeline.local.progress import observe
    from pipeline.local.training import train
    from pipeline.report import print_summary

    path, given = find_config(config), [*(overrides or ()), *(["execution.cache=false"] if no_cache else [])]
    settings = read_config(path, given)
    console = Console()
    with ending_on_signals("without --no-cache " if no_cache else ""), observe(console, settings.runs_path) as observer:
        run = train(
            settings,
            observer,
            from_nodes=tuple(from_nodes or ()),
            to_nodes=tuple(to_nodes or ()),
            as_error=partial(flawed, path=path, overrides=given),
        )
    if run.report_error:
        again = f"conveyor report {run.outcome.run_id}"
        reason = str(run.report_error).splitlines()[0].rstrip(".")
        console.print(f"No report: {reason}. Once that is corrected: {again}", style="yellow", markup=False)
    if run.announcement_error:
        told = f"Events without nodes and verdict: {run.announcement_error}"
        console.print(told, style="yellow", markup=False, highlight=False)
    if run.tracking_error:
        console.print(f"Not tracked: {run.tracking_error}", style="yellow", markup=False, highlight=False)
    try:
        print_summary(run.outcome, settings, console)
    except ConveyorError as error:
        # What ended the run is told first, whatever else is wrong.
        raise _with_config(run.failure, config, overrides) or error from error
    if failure := _with_config(run.failure, config, overrides):
        raise failure


def _with_config(failure: ConveyorError | None, config: Path | None, overrides: Sequence[str] | None) -> ConveyorError | None:
    """The error with a remedy that is about the same configuration as the run, where it is a command."""
    from pipeline.contracts.schema import ACCEPT_COMMAND

    if failure is not None:
        named = [] if config is None else ["-c", str(config)]
        options = [*named, *(part for override in overrides or () for part in ("--set", override))]
        failure.fix = failure.fix.replace(ACCEPT_COMMAND, shlex.join([*ACCEPT_COMMAND.split(), *options]))
    return failure
