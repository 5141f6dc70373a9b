"""`conveyor replay`: a candidate is scored on requests that were really made, before it answers anybody."""

from __future__ import annotations

import datetime
import math
import os
import sys
from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.completion import complete_version
from pipeline.cli.options import ConfigOption, Json, Overrides, read_config
from pipeline.cli.output import new_table, print_json, print_table
from pipeline.cli.serving_target import (
    DEFAULT_ROWS,
    DEFAULT_SERVER,
    Target,
    TargetOption,
    has_volume,
    open_rollout,
    open_target,
)
from pipeline.cli.verdict_table import print_verdict
from pipeline.errors import UsageError, WorseError

if TYPE_CHECKING:
    from pipeline.config import PipelineConfig
    from pipeline.monitoring.moments import Period
    from pipeline.monitoring.prediction_files import PredictionFiles
    from pipeline.replay.comparison import Slice
    from pipeline.replay.replay import Replayed
    from serving.rollout.controller import Rollout

_SHOWN_SLICES, _SHOWN_FAILURES = 12, 3
_HOURS = 4 * 3600.0
"""The seconds that a replay in the cluster may take."""


def replay(
    version: Annotated[
        int,
        typer.Argument(
            metavar="VERSION", help="The version to try; conveyor models lists them.", min=1, autocompletion=complete_version
        ),
    ],
    config: ConfigOption = None,
    since: Annotated[str, typer.Option(metavar="MOMENT", help="Requests since then: 7d, 12h, or a date.")] = "7d",
    until: Annotated[
        str | None, typer.Option(metavar="MOMENT", help="And before; until now when not given.", show_default=False)
    ] = None,
    against: Annotated[
        int | None,
        typer.Option(metavar="N", help="Compare it with this version; the stable one when not given.", show_default=False),
    ] = None,
    server: Annotated[
        str | None,
        typer.Option(
            "--server",
            metavar="HOST:PORT",
            help="A model server that has both versions; when not given, one is started for the replay alone.",
            show_default=False,
        ),
    ] = None,
    min_rows: Annotated[int, typer.Option("--min-rows", metavar="N", min=1, help="Rows that each must have answered.")] = (
        DEFAULT_ROWS
    ),
    target: TargetOption = Target.LOCAL,
    timeout: Annotated[
        float, typer.Option("--timeout", metavar="SECONDS", min=1, help="For the model server to load the versions.")
    ] = 120.0,
    as_json: Json = False,
    overrides: Overrides = None,
) -> None:
    """Send a version the requests that the gateway really received, and compare its answers with those of the stable version.

    Where labels have been imported, both are judged by what really came. The result is recorded in the rollout's history;
    conveyor rollout start --replayed demands one that has passed. The exit code is 5 where the version is worse.

    With --target cluster, the log and the models are those on the volume, and the pod conveyor-shell-0 sends the requests.

    Example: conveyor replay 3 --since 7d
    """
    from pipeline.monitoring.moments import UTC, Period, parse_moment
    from pipeline.monitoring.sources import log_of
    from pipeline.util.signals import Interruption, interruptible

    settings = read_config(config, overrides)
    now = datetime.datetime.now(UTC)
    period = Period(parse_moment(since, now, "--since"), parse_moment(until, now, "--until") if until else None)
    is_here = target is Target.LOCAL or has_volume(settings)
    if server is not None and not is_here:
        raise UsageError(
            "A replay in the cluster has a model server of its own.",
            where="--server and --target cluster",
            expected="one of them",
            seen=f"--server {server}",
            fix="Leave --server out.",
        )
    log = log_of(settings) if is_here else None
    actor = open_rollout(settings, open_target(settings, target, server or DEFAULT_SERVER, None, None))
    versions = _versions(actor, version, against)
    try:
        with interruptible():
            if log is None:
                found = _replayed_there(settings, versions, period, min_rows, timeout)
            else:
                found = _replayed(settings, server, versions, log, period, min_rows, timeout)
    except Interruption as interruption:
        with suppress(OSError):
            print(f"Interrupted by {interruption}: nothing is recorded.", file=sys.stderr)
        raise typer.Exit(interruption.exit_code) from interruption
    actor.record_replay(version, versions[0], found.verdict.outcome.value, f"replay {period}: {found.verdict.reason}")
    if as_json:
        print_json(found.document())
    else:
        _print(found)
    _raise_worse(found)


def _replayed(
    settings: PipelineConfig,
    server: str | None,
    versions: tuple[int, int],
    log: PredictionFiles,
    period: Period,
    min_rows: int,
    timeout: float,
) -> Replayed:
    from pipeline.util.imports import quietly

    with quietly():
        from pipeline.replay.model_server import NICENESS, model_server
        from pipeline.replay.replay import replay

    if server is None:
        # The callers of a gateway on this machine come first.
        os.nice(NICENESS)
    serving = nullcontext(server) if server else model_server(settings, versions, timeout)
    with serving as address, quietly():
        return replay(settings, address, versions, log, period, min_rows=min_rows)


def _replayed_there(
    settings: PipelineConfig, versions: tuple[int, int], period: Period, min_rows: int, timeout: float
) -> Replayed:
    """What the pod `conveyor-shell-0` makes of the log and the models on the volume."""
    from pipeline.cli.cluster_shell import ask_shell
    from pipeline.kubeflow.loop_objects import config_of_loop
    from pipeline.util.imports import quietly

    with quietly():
        from pipeline.replay.apart import Order, parse

    fields, files = config_of_loop(settings)
    order = Order(
        config=fields,
        files=files,
        versions=versions,
        since=period.start,
        until=period.end,
        min_rows=min_rows,
        timeout=timeout,
    )
    # A command that is interrupted here goes on there, as kubectl sends no signals.
    command = ("timeout", f"{_HOURS:g}", "python", "-m", "pipeline.replay.apart")
    return parse(ask_shell(settings, *command, input=order.model_dump_json(), seconds=_HOURS))


def _versions(actor: Rollout, version: int, against: int | None) -> tuple[int, int]:
    """The stable version and the candidate.

    Raises:
      UsageError: one of them is not there, or both are the same.
    """
    from serving.rollout.state import require_version

    there = [each.number for each in actor.target.versions() if each.is_whole]
    stable = against or actor.target.read().stable or max((each for each in there if each != version), default=version)
    for each in (version, stable):
        require_version(each, there)
    if stable == version:
        raise UsageError(
            f"Version {version} cannot be compared with itself.",
            where="VERSION and --against",
            expected="a candidate, and the version that serves",
            seen=f"both are version {version}",
            fix="Name another version, or what to compare with: --against N",
        )
    return stable, version


def _print(found: Replayed) -> None:
    from pipeline.report import formats

    print(f"{found.name}: version {found.candidate} asked what was asked {found.period}, {formats.number(found.rows)} rows")
    print_verdict(f"stable {found.stable}", f"candidate {found.candidate}", found.verdict)
    _print_slices(found.slices)
    for flip in found.flips:
        scores = f"{formats.metric(flip.stable_score)} → {formats.metric(flip.candidate_score)}"
        values = ", ".join(f"{name} {_shown(value)}" for name, value in flip.features.items() if value is not None)
        typer.echo(f"{flip.row}: {flip.stable} → {flip.candidate} ({scores}): {values}")
    for text, rows in list(found.failures.items())[:_SHOWN_FAILURES]:
        typer.echo(f"{rows:,} rows were not answered: {text}")
    if found.lacking:
        typer.echo(f"Both were asked without what no logged row has: {', '.join(found.lacking)}")
    if found.unusable:
        typer.echo(f"{found.unusable:,} labels are none of the model's")
    if found.overflowing:
        typer.echo(f"Further values were left out of the slices by {'; '.join(found.overflowing)}")
    for path, reason in found.unreadable.items():
        typer.echo(f"Left out, as it cannot be read: {path}: {reason}")


def _print_slices(slices: tuple[Slice, ...]) -> None:
    from pipeline.report import formats

    if not slices:
        return
    metric = slices[0].metric
    labelled = any(each.labelled for each in slices)
    columns = ("rows", "different", *(("labels", f"{metric} stable", "candidate", "gain", "interval") if labelled else ()))
    table = new_table("", *columns, right=columns)
    for each in slices[:_SHOWN_SLICES]:
        known = not math.isnan(each.gain)
        quality = (
            formats.number(each.labelled),
            *((formats.metric(each.stable), formats.metric(each.candidate), f"{each.gain:+.4f}") if known else ("", "", "")),
            f"{each.lower:+.4f} to {each.upper:+.4f}" if known and math.isfinite(each.lower) else "",
        )
        share = formats.percent(each.flips / each.rows)
        table.add_row(f"{each.by} {each.value}".strip(), formats.number(each.rows), share, *(quality if labelled else ()))
    print_table(table)
    if (more := len(slices) - _SHOWN_SLICES) > 0:
        typer.echo(f"… and {more} more slices: --json has all")


def _shown(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _raise_worse(found: Replayed) -> None:
    if found.verdict.outcome.value != "fail":
        return
    raise WorseError(
        f"Version {found.candidate} is worse than version {found.stable} on requests that were really made.",
        where=f"{found.name}, {found.period}",
        expected=f"answers like those of version {found.stable}, or better ones",
        seen=found.verdict.reason,
        fix="Find out what is wrong with it. If it is meant to differ, start it without --replayed: conveyor rollout start",
    )
