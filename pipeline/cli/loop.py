"""`conveyor loop` and `conveyor approve`: retraining that nobody has to ask for."""

from __future__ import annotations

import sys
import time
import traceback
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.interruption import ending_on_signals
from pipeline.cli.options import ConfigArgument, Json, Overrides, as_path, read_config
from pipeline.cli.output import new_table, print_json, print_table
from pipeline.cli.serving_target import (
    DEFAULT_SERVER,
    GatewayOption,
    ReasonOption,
    ServerOption,
    Target,
    TargetOption,
    has_volume,
    open_rollout,
    open_target,
    who,
)
from pipeline.errors import ConveyorError, UsageError

if TYPE_CHECKING:
    from pipeline.config import PipelineConfig
    from pipeline.loop.journal import Entry
    from pipeline.loop.turn import Loop, Runs
    from serving.rollout.controller import Rollout

_LISTED = 20


def loop(
    config: ConfigArgument = None,
    once: Annotated[bool, typer.Option("--once", help="Decide and act once, as for cron.")] = False,
    every: Annotated[str, typer.Option(metavar="DURATION", help="How often to decide, until Ctrl-C.")] = "5m",
    list_it: Annotated[bool, typer.Option("--list", help="Show what was decided, and decide nothing.")] = False,
    pause_it: Annotated[bool, typer.Option("--pause", help="Make loops wait, until --resume.")] = False,
    resume_it: Annotated[bool, typer.Option("--resume", help="End a pause.")] = False,
    approve_it: Annotated[bool, typer.Option("--approve", help="Wait for conveyor approve, as loop.approve does.")] = False,
    textfile: Annotated[
        Path | None, typer.Option(metavar="FILE.prom", help="Keep metrics for Prometheus in it.", parser=as_path)
    ] = None,
    reason: ReasonOption = "",
    target: TargetOption = Target.LOCAL,
    package: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="cluster: what runs are started from, as conveyor compile writes it.", parser=as_path
        ),
    ] = None,
    server: ServerOption = DEFAULT_SERVER,
    gateway: GatewayOption = None,
    as_json: Json = False,
    overrides: Overrides = None,
) -> None:
    """Run the pipeline when there is a reason: a new span, drift, quality, age. Then try what was pushed.

    In the cluster, a CronJob takes the turns, which conveyor compile --loop writes; --target cluster lists, pauses and resumes
    what it does.

    Example: conveyor loop --every 10m
    """
    settings = read_config(config, [*(overrides or ()), *(["loop.approve=true"] if approve_it else ())])
    if pause_it and resume_it:
        raise UsageError(
            "A loop cannot be paused and resumed at once.",
            where="--pause and --resume",
            expected="one of them",
            seen="both",
            fix="Leave one of them out.",
        )
    if list_it or pause_it or resume_it:
        if target is Target.CLUSTER and not has_volume(settings):
            _keep_house_there(settings, reason, pause_it=pause_it, resume_it=resume_it, as_json=as_json)
        else:
            _keep_house(settings, reason, pause_it=pause_it, resume_it=resume_it, as_json=as_json)
        return
    if target is Target.CLUSTER:
        _require_volume(settings, package)
    elif package is not None:
        raise UsageError(
            "A loop on this machine runs the pipeline here, and not from a package.",
            where="--package",
            expected="--target cluster beside it, as the CronJob of conveyor compile --loop has it",
            seen="--target local",
            fix="Leave --package out.",
        )

    from pipeline.loop.turn import one_loop
    from pipeline.monitoring.moments import parse_duration

    seconds = parse_duration(every, "--every")
    with one_loop(settings), ending_on_signals():
        turns = _open(settings, target, package, server, gateway)
        noted = partial(_note, turns, settings, textfile)
        turns.journal.added = noted
        failure = ""
        while True:
            started = time.monotonic()
            try:
                told = _turn(turns)
            except Exception as error:
                # The next turn tries again, later and later; also after what nobody has thought of.
                failure = _announce(settings, error, failure)
                if once:
                    raise
                if not isinstance(error, ConveyorError):
                    traceback.print_exc()
                print(f"{time.strftime('%H:%M:%S')}  {error}", file=sys.stderr)
            else:
                failure = ""
                noted()
                print(f"{time.strftime('%H:%M:%S')}  {told}", flush=True)
            if once:
                return
            time.sleep(max(0.0, seconds - (time.monotonic() - started)))


def approve(config: ConfigArgument = None, target: TargetOption = Target.LOCAL, overrides: Overrides = None) -> None:
    """Let the loop go on with what it waits for: a version that is to be tried, or a run.

    Example: conveyor approve
    """
    from pipeline.loop.turn import approve as approve_it

    settings = read_config(config, overrides)
    if target is Target.CLUSTER and not has_volume(settings):
        from pipeline.cli.cluster_shell import in_shell

        typer.echo(in_shell(settings, "approve"), nl=False)
        return
    typer.echo(f"Approved: {approve_it(settings, who())}")


def _require_volume(settings: PipelineConfig, package: Path | None) -> None:
    if has_volume(settings) and package is not None:
        return
    raise UsageError(
        "The loop of a cluster takes its turns in the cluster, where the volume and the package are.",
        where="--target cluster",
        expected=f"a workspace that is the volume, {settings.kubeflow.mount_path}, and --package FILE",
        seen=f"{settings.workspace_path}, and {'no package' if package is None else package}",
        fix="Run: conveyor compile --loop loop.yaml, then: kubectl apply --server-side -f loop.yaml",
    )


def _open(settings: PipelineConfig, target: Target, package: Path | None, server: str, gateway: list[str] | None) -> Loop:
    from pipeline.loop.workspace import open_loop

    def rollout() -> Rollout:
        return open_rollout(settings, open_target(settings, target, server, gateway, None))

    return open_loop(settings, rollout, _local_runs(settings) if package is None else _kubeflow_runs(settings, package))


def _local_runs(settings: PipelineConfig) -> Runs:
    from rich.console import Console

    from pipeline.local.progress import observe
    from pipeline.loop.local_runs import LocalRuns

    return LocalRuns(settings, lambda: observe(Console(stderr=True), settings.runs_path))


def _kubeflow_runs(settings: PipelineConfig, package: Path) -> Runs:
    from pipeline.kubeflow.client import KubeflowClient
    from pipeline.loop.kubeflow_runs import KubeflowRuns

    try:
        text = package.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            "The package cannot be read.",
            where=f"--package {package}",
            expected="what conveyor compile writes",
            seen=(error.strerror if isinstance(error, OSError) else None) or str(error),
            fix="Run: conveyor compile --loop loop.yaml, then: kubectl apply --server-side -f loop.yaml",
        ) from error
    return KubeflowRuns(KubeflowClient(settings), text)


def _turn(turns: Loop) -> str:
    from pipeline.loop.journal import Action

    decision = turns.turn()
    if decision.action is Action.WAIT:
        return decision.reason
    return f"{decision.action.value}: {decision.reason}: {turns.journal.entries()[-1].result}"


def _note(turns: Loop, settings: PipelineConfig, textfile: Path | None) -> None:
    """Writes the metrics; that they cannot be written keeps the loop from nothing."""
    if textfile is None:
        return
    from pipeline.loop.textfile import render
    from pipeline.loop.turn import folder_of, paused
    from pipeline.util.files import READABLE, write

    is_paused = bool(paused(folder_of(settings)))
    try:
        write(textfile, render(settings.name, turns.journal.entries(), time.time(), paused=is_paused), READABLE)
    except OSError as error:
        print(f"{time.strftime('%H:%M:%S')}  {textfile} cannot be written: {error.strerror}", file=sys.stderr)


def _announce(settings: PipelineConfig, error: Exception, last: str) -> str:
    """Tells other programs that a turn has failed, but not the same again and again; returns what was told last."""
    from pipeline.util.events import EventType, post

    problem = {"what": error.what, **error.details()} if isinstance(error, ConveyorError) else {"what": repr(error)}
    if problem["what"] != last:
        post(settings.events.url, EventType.LOOP_FAILED, settings.name, "loop", problem)
    return problem["what"]


def _keep_house_there(settings: PipelineConfig, reason: str, *, pause_it: bool, resume_it: bool, as_json: bool) -> None:
    from pipeline.cli.cluster_shell import in_shell

    pausing = ("--pause", "--reason", reason or f"by {who()}") if pause_it else ()
    option = pausing or (("--resume",) if resume_it else ("--list", *(("--json",) if as_json else ())))
    typer.echo(in_shell(settings, "loop", *option), nl=False)


def _keep_house(settings: PipelineConfig, reason: str, *, pause_it: bool, resume_it: bool, as_json: bool) -> None:
    from pipeline.loop.journal import Journal
    from pipeline.loop.turn import folder_of, pause, paused, resume

    if pause_it:
        pause(settings, reason or f"by {who()}")
        typer.echo("Loops wait until: conveyor loop --resume")
        return
    if resume_it:
        typer.echo("Loops go on." if resume(settings) else "They were not paused.")
        return
    entries = Journal(folder_of(settings)).entries()
    if as_json:
        print_json({"paused": paused(folder_of(settings)), "decisions": [each.model_dump(mode="json") for each in entries]})
        return
    if why := paused(folder_of(settings)):
        typer.echo(f"Paused: {why}")
    _print(entries[-_LISTED:])


def _print(entries: tuple[Entry, ...]) -> None:
    from pipeline.report import formats

    if not entries:
        typer.echo("Nothing was decided so far.")
        return
    table = new_table("when", "what", "state", "why", "result")
    for each in entries:
        table.add_row(formats.moment(each.at), each.action.value, each.state.value, each.reason, each.result)
    print_table(table)
