"""`conveyor backtest`: the past played again, with policies of retraining beside each other."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.interruption import ending_on_signals
from pipeline.cli.options import ConfigArgument, Json, Overrides, as_path, read_config
from pipeline.cli.output import new_table, print_json, print_table, to_json

if TYPE_CHECKING:
    from rich.console import Console

    from pipeline.backtest.gains import Gain
    from pipeline.backtest.outcome import Backtest
    from pipeline.backtest.trials import Trial
    from pipeline.config import PipelineConfig
    from pipeline.local.runner import Observer


def backtest(
    config: ConfigArgument = None,
    first: Annotated[
        int | None,
        typer.Option("--from", metavar="N", help="The first span to play; the second one when not given.", show_default=False),
    ] = None,
    last: Annotated[
        int | None, typer.Option("--to", metavar="N", help="The last span; the newest when not given.", show_default=False)
    ] = None,
    policies: Annotated[
        str, typer.Option(metavar="NAMES", help="When to retrain, with commas between several.")
    ] = "never,every,drift,decay",
    windows: Annotated[
        str, typer.Option(metavar="NUMBERS", help="How many spans to train on: numbers or all, with commas between.")
    ] = "3,6,9,all",
    page: Annotated[
        Path | None,
        typer.Option(metavar="FILE.html", help="Where the page goes; into the workspace by default.", parser=as_path),
    ] = None,
    as_json: Json = False,
    overrides: Overrides = None,
) -> None:
    """Play past spans again: what retraining and more history would have gained, and cost. Nothing is pushed.

    Example: conveyor backtest --from 201303 --to 201312 --windows 3,all
    """
    from rich.console import Console

    from pipeline.backtest import policies as policy
    from pipeline.backtest.history import read_history
    from pipeline.util.imports import quietly

    settings = read_config(config, overrides)
    chosen = policy.policies(policies, windows)
    history = read_history(settings, first, last)
    console = Console(stderr=as_json, highlight=False, markup=False)
    with ending_on_signals():
        with quietly():
            from pipeline.backtest.history import folder_of
            from pipeline.backtest.run import backtest as play
            from pipeline.backtest.trials import trial_config
        found = play(
            settings,
            history,
            chosen,
            observed=lambda: _observed(console, trial_config(settings)),
            trained=lambda trial: _tell(console, trial),
            begun=lambda span: console.print(f"Span {span}", style="dim"),
            settings=overrides or (),
        )
    destination = page or folder_of(settings) / "backtest.html"
    _write(found, destination, folder_of(settings) / "backtest.json")
    if as_json:
        print_json(found.document())
    else:
        _print(found, destination)


@contextmanager
def _observed(console: Console, config: PipelineConfig) -> Iterator[Observer]:
    """Shows the nodes of a run on a terminal; elsewhere a line for each model is enough."""
    from pipeline.local.progress import observe

    if not console.is_terminal:
        yield lambda outcome: None
        return
    with observe(console, config.runs_path) as observer:
        yield observer


def _tell(console: Console, trial: Trial) -> None:
    from pipeline.report import formats

    console.print(
        f"  trained on {formats.ranges(trial.spans)} in {formats.seconds(trial.seconds)}, run {trial.run_id}", soft_wrap=True
    )


def _write(found: Backtest, page: Path, document: Path) -> None:
    from pipeline.backtest.page import render_backtest
    from pipeline.util.files import write

    write(page, render_backtest(found))
    write(document, to_json(found.document()))


def _print(found: Backtest, page: Path) -> None:
    from rich.console import Console

    from pipeline.report import formats

    console = Console(highlight=False, markup=False)
    console.print(f"{found.metric} of {found.name} by span; * where a model was trained for the span", style="bold")
    columns = [str(span) for span in found.spans]
    numbers = (*columns, "mean", "over never", "runs", "time")
    table = new_table("policy", *numbers, right=numbers)
    for each in found.played:
        table.add_row(
            str(each.policy),
            *(f"{formats.metric(turn.quality.value)}{'*' if turn.retrained else ' '}" for turn in each.turns),
            formats.metric(each.mean),
            _interval(each.gain),
            str(len(each.runs)),
            formats.seconds(each.seconds),
        )
    print_table(table)
    for gain in found.gains:
        console.print(f"{gain.what} over {gain.over}: {_interval(gain)} on average", soft_wrap=True)
    spent = formats.seconds(sum(each.seconds for each in found.trials))
    console.print(f"{len(found.trials)} runs in all, {spent}; intervals are of 95 %", style="dim")
    console.print(f"Page: {page}", soft_wrap=True)


def _interval(gain: Gain | None) -> str:
    from pipeline.report import formats

    if gain is None:
        return formats.number(None)
    if not math.isfinite(gain.lower) or not math.isfinite(gain.upper):
        return formats.difference(gain.gain)
    return f"{formats.difference(gain.gain)} ({formats.difference(gain.lower)} to {formats.difference(gain.upper)})"
