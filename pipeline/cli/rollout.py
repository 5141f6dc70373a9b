"""`conveyor rollout` and `conveyor rollback`: a new version is tried on a share of the traffic, and promoted or not."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli.completion import complete_version
from pipeline.cli.options import ConfigOption, Json, Overrides, read_config
from pipeline.cli.output import new_table, print_json, print_table
from pipeline.cli.serving_target import (
    DEFAULT_ROWS,
    DEFAULT_SERVER,
    GatewayOption,
    ReasonOption,
    RowsOption,
    ServerOption,
    Target,
    TargetOption,
    TimeoutOption,
    open_rollout,
    open_target,
    tell,
)
from pipeline.errors import ConveyorError, UsageError

if TYPE_CHECKING:
    from serving.rollout.controller import Rollout, RolloutStatus
    from serving.rollout.state import RolloutState
    from serving.rollout.verdict import CanaryVerdict

app = typer.Typer(help="Try a version on a share of the traffic, and promote it or not.", no_args_is_help=True)

_CHANGES = 5


@app.callback()
def rollout() -> None:
    """Try a version on a share of the traffic, and promote it or not."""


@app.command()
def start(
    version: Annotated[
        int,
        typer.Argument(
            metavar="VERSION", help="The version to try; conveyor models lists them.", min=1, autocompletion=complete_version
        ),
    ],
    config: ConfigOption = None,
    overrides: Overrides = None,
    traffic: Annotated[
        int, typer.Option("--traffic", metavar="PERCENT", help="The share of requests that it gets, 1 to 99.")
    ] = 10,
    reason: ReasonOption = "",
    target: TargetOption = Target.LOCAL,
    server: ServerOption = DEFAULT_SERVER,
    gateway: GatewayOption = None,
    timeout: TimeoutOption = None,
) -> None:
    """Make a version the canary: it gets a share of the traffic.

    It is loaded before the first request goes to it. With the first rollout the model server stops taking each new version by
    itself: from then on, rollouts decide which versions serve.

    Example: conveyor rollout start 3 --traffic 10
    """
    actor = _open(config, overrides, target, server, gateway, timeout)
    _print_change(actor, actor.start(version, traffic, reason))
    typer.echo("Next: conveyor rollout status, then conveyor rollout promote or conveyor rollout abort")


@app.command()
def status(
    config: ConfigOption = None,
    overrides: Overrides = None,
    target: TargetOption = Target.LOCAL,
    server: ServerOption = DEFAULT_SERVER,
    gateway: GatewayOption = None,
    min_rows: RowsOption = DEFAULT_ROWS,
    as_json: Json = False,
) -> None:
    """Show the serving versions, the canary beside the stable version, and the last changes.

    Example: conveyor rollout status
    """
    actor = _open(config, overrides, target, server, gateway, min_rows=min_rows)
    found = actor.status()
    if as_json:
        print_json(_document(actor, found))
    else:
        _print_status(actor, found)


@app.command()
def promote(
    config: ConfigOption = None,
    overrides: Overrides = None,
    reason: ReasonOption = "",
    force: Annotated[bool, typer.Option("--force", help="Also a canary that is worse than the stable version.")] = False,
    target: TargetOption = Target.LOCAL,
    server: ServerOption = DEFAULT_SERVER,
    gateway: GatewayOption = None,
    timeout: TimeoutOption = None,
    min_rows: RowsOption = DEFAULT_ROWS,
) -> None:
    """Make the canary the stable version: it gets all of the traffic. The one before it can be rolled back to.

    Example: conveyor rollout promote --reason 'as good as version 2'
    """
    actor = _open(config, overrides, target, server, gateway, timeout, min_rows)
    _print_change(actor, actor.promote(reason, force=force))


@app.command()
def abort(
    config: ConfigOption = None,
    overrides: Overrides = None,
    reason: ReasonOption = "",
    target: TargetOption = Target.LOCAL,
    server: ServerOption = DEFAULT_SERVER,
    timeout: TimeoutOption = None,
) -> None:
    """End the canary: the stable version gets all of the traffic again.

    Example: conveyor rollout abort --reason 'slower'
    """
    actor = _open(config, overrides, target, server, timeout=timeout)
    _print_change(actor, actor.abort(reason))


@app.command()
def repair(
    config: ConfigOption = None,
    overrides: Overrides = None,
    target: TargetOption = Target.LOCAL,
    server: ServerOption = DEFAULT_SERVER,
    timeout: TimeoutOption = None,
) -> None:
    """Bring the serving versions in line with the rollout, after an interrupted command or a change by hand.

    Example: conveyor rollout repair
    """
    if not _open(config, overrides, target, server, timeout=timeout).repair():
        typer.echo("The serving versions are in line with the rollout: nothing to repair.")


@app.command()
def watch(
    config: ConfigOption = None,
    overrides: Overrides = None,
    promote_it: Annotated[bool, typer.Option("--promote", help="Promote the canary when it has passed.")] = False,
    abort_it: Annotated[bool, typer.Option("--abort", help="Abort the canary when it has failed.")] = False,
    minutes: Annotated[
        float, typer.Option("--minutes", metavar="N", min=0, help="How long the canary must have run before it can pass.")
    ] = 30,
    every: Annotated[float, typer.Option("--every", metavar="SECONDS", min=0.1, help="How often to look.")] = 15,
    target: TargetOption = Target.LOCAL,
    server: ServerOption = DEFAULT_SERVER,
    gateway: GatewayOption = None,
    timeout: TimeoutOption = None,
    min_rows: RowsOption = DEFAULT_ROWS,
) -> None:
    """Wait for the verdict on the canary. Nothing is changed, unless --promote or --abort is given.

    The exit code is 0 when the canary has passed, and 1 when it has failed.

    Example: conveyor rollout watch --promote --abort --minutes 60
    """
    actor = _open(config, overrides, target, server, gateway, timeout, min_rows)
    found = _wait_for_verdict(actor, minutes * 60, every)
    assert found.verdict is not None
    _print_verdict(found.state, found.verdict)
    reason = f"verdict {found.verdict.reason}"
    if found.verdict.outcome.value == "pass":
        if promote_it:
            _print_change(actor, actor.promote(reason))
        else:
            typer.echo("It has passed. Next: conveyor rollout promote")
        return
    if abort_it:
        _print_change(actor, actor.abort(reason))
    raise ConveyorError(
        f"Version {found.state.canary} is worse than version {found.state.stable}.",
        where=_where(actor),
        seen=found.verdict.reason,
        fix="It was aborted; find out what is wrong with it." if abort_it else "End it: conveyor rollout abort",
    )


def rollback(
    config: ConfigOption = None,
    overrides: Overrides = None,
    reason: ReasonOption = "",
    target: TargetOption = Target.LOCAL,
    server: ServerOption = DEFAULT_SERVER,
    timeout: TimeoutOption = None,
) -> None:
    """Return to the last good version: a canary ends; without one, the version before the stable one serves again.

    Example: conveyor rollback --reason 'too many errors'
    """
    actor = _open(config, overrides, target, server, timeout=timeout)
    _print_change(actor, actor.rollback(reason))


def _open(
    config: Path | None,
    overrides: list[str] | None,
    target: Target,
    server: str,
    gateway: list[str] | None = None,
    timeout: float | None = None,
    min_rows: int = DEFAULT_ROWS,
) -> Rollout:
    settings = read_config(config, overrides)
    return open_rollout(open_target(settings, target, server, gateway, timeout), min_rows)


def _where(actor: Rollout) -> str:
    return f"{actor.target.model}, {actor.target.place}"


def _wait_for_verdict(actor: Rollout, seconds: float, every: float) -> RolloutStatus:
    """The status once the canary has failed, or has passed after so many seconds.

    Raises:
      UsageError: there is no canary (any more), or no gateway answers.
    """
    told = ""
    while True:
        found = actor.status()
        if found.state.canary is None:
            raise UsageError(
                "There is no canary to watch" + (" any more." if told else "."),
                seen=str(found.state),
                fix="Start one: conveyor rollout start VERSION --traffic PERCENT",
            )
        if found.verdict is None:
            raise UsageError(
                "No gateway answers, so the canary cannot be judged.",
                expected="the metrics of a gateway, which divides the traffic",
                fix="Start one with conveyor gateway, or name another with --gateway URL.",
            )
        started = next(change.at for change in reversed(found.state.changes) if change.action == "start").timestamp()
        outcome = found.verdict.outcome.value
        left = started + seconds - time.time()
        if outcome == "fail" or (outcome == "pass" and left <= 0):
            return found
        news = found.verdict.reason if outcome != "pass" else f"pass so far; it has to run for {left / 60:.0f} more minutes"
        if news != told:
            told = news
            tell(f"{time.strftime('%H:%M:%S')}  {news}")
        time.sleep(every)


def _print_change(actor: Rollout, state: RolloutState) -> None:
    change = state.changes[-1]
    typer.echo(f"{_where(actor)}: {change.before} → {change.after}")


def _print_status(actor: Rollout, found: RolloutStatus) -> None:
    from pipeline.report import formats

    state = found.state
    typer.echo(f"{_where(actor)}: {state.placement}")
    if found.drift:
        typer.echo(f"Not in line with that: {found.drift}. conveyor rollout repair repairs it.")
    if state.previous:
        typer.echo(f"To roll back to: {', '.join(map(str, reversed(state.previous)))}")
    if found.verdict is not None:
        _print_verdict(state, found.verdict)
    elif state.canary is not None:
        typer.echo("No gateway answers, so the canary cannot be judged.")
    if not state.changes:
        typer.echo("There has been no rollout.")
        return
    table = new_table("when", "who", "what", "from", "to", "why")
    for change in reversed(state.changes[-_CHANGES:]):
        what = f"{change.action} {', '.join(map(str, change.versions))}"
        when = formats.moment(change.at.timestamp())
        table.add_row(when, change.who, what, str(change.before), str(change.after), change.reason)
    print_table(table)


def _print_verdict(state: RolloutState, verdict: CanaryVerdict) -> None:
    table = new_table("", f"stable {state.stable}", f"canary {state.canary}", "compared", "limit", "verdict")
    for check in verdict.checks:
        table.add_row(check.name, check.stable, check.canary, check.measure, check.limit, check.outcome.value)
    table.add_row("all", "", "", "", "", verdict.outcome.value)
    print_table(table)


def _document(actor: Rollout, found: RolloutStatus) -> dict[str, Any]:
    verdict = found.verdict
    return {
        "model": actor.target.model,
        "target": actor.target.place,
        **found.state.model_dump(mode="json", exclude={"since"}),
        "drift": found.drift,
        "gateways": list(found.gateways),
        "verdict": verdict
        and {
            "outcome": verdict.outcome.value,
            "checks": [{**vars(check), "outcome": check.outcome.value} for check in verdict.checks],
        },
    }
