"""`conveyor rollout` and `conveyor rollback`: a new version is tried on a share of the traffic, and promoted or not."""

from __future__ import annotations

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
from pipeline.cli.verdict_table import print_verdict
from pipeline.errors import UsageError, WorseError

if TYPE_CHECKING:
    from serving.rollout.controller import Rollout, RolloutStatus
    from serving.rollout.placement import Plan
    from serving.rollout.state import RolloutState
    from serving.rollout.verdict import CanaryVerdict

app = typer.Typer(help="Try a version on a share of the traffic, and promote it or not.", no_args_is_help=True)

_CHANGES = 5
_DEFAULT_TRAFFIC, _DEFAULT_BAKE = 10, "10m"


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
        int | None,
        typer.Option(
            "--traffic", metavar="PERCENT", help="The share of requests that it gets, 1 to 99. Default: 10.", show_default=False
        ),
    ] = None,
    shadow: Annotated[
        bool,
        typer.Option("--shadow", help="Ask it beside the stable version, and give callers none of its answers."),
    ] = False,
    steps: Annotated[
        str | None,
        typer.Option(
            "--steps",
            metavar="PERCENT,…",
            help="The shares that it gets one after the other, such as 1,10,50; conveyor rollout watch goes on with them.",
            show_default=False,
        ),
    ] = None,
    bake: Annotated[
        str | None,
        typer.Option("--bake", metavar="DURATION", help="How long each step lasts at least. Default: 10m.", show_default=False),
    ] = None,
    replayed: Annotated[
        bool, typer.Option("--replayed", help="Only if it has passed a replay against the stable version: conveyor replay.")
    ] = False,
    reason: ReasonOption = "",
    target: TargetOption = Target.LOCAL,
    server: ServerOption = DEFAULT_SERVER,
    gateway: GatewayOption = None,
    timeout: TimeoutOption = None,
) -> None:
    """Make a version the canary: it gets a share of the traffic; or a shadow, whose answers no caller gets.

    It is loaded before the first request goes to it. With the first rollout the model server stops taking each new version by
    itself: from then on, rollouts decide which versions serve.

    Example: conveyor rollout start 3 --traffic 10

    Example: conveyor rollout start 3 --shadow --steps 1,10,50 --bake 10m
    """
    actor = _open(config, overrides, target, server, gateway, timeout)
    if traffic is not None and (shadow or steps):
        raise UsageError(
            "It is not clear what share of the traffic it gets at first.",
            where=f"--traffic and {'--shadow' if shadow else '--steps'}",
            expected="one of them: a shadow has no share, and the first of the steps is the first share",
            seen=f"--traffic {traffic}",
            fix="Leave --traffic out. A shadow goes on with: conveyor rollout promote --traffic PERCENT",
        )
    plan = _plan(steps, bake)
    share = 0 if shadow else plan.steps[0] if plan else _DEFAULT_TRAFFIC if traffic is None else traffic
    _print_change(actor, actor.start(version, share, reason, shadow=shadow, plan=plan, replayed=replayed))
    if plan:
        typer.echo(f"Next: conveyor rollout watch --promote --abort, which goes on with {plan}")
        return
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
    traffic: Annotated[
        int | None,
        typer.Option(
            "--traffic",
            metavar="PERCENT",
            help="Give it this share of requests, 1 to 99, and not all: a shadow becomes a canary.",
            show_default=False,
        ),
    ] = None,
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
    _print_change(actor, actor.promote(reason, traffic=traffic, force=force))


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
def pause(
    config: ConfigOption = None,
    overrides: Overrides = None,
    reason: ReasonOption = "",
    target: TargetOption = Target.LOCAL,
    server: ServerOption = DEFAULT_SERVER,
) -> None:
    """Keep the canary at its share of the traffic: conveyor rollout watch goes on only after resume. One that fails still ends.

    Example: conveyor rollout pause --reason 'over the weekend'
    """
    actor = _open(config, overrides, target, server)
    actor.pause(reason)
    typer.echo(f"{_where(actor)}: paused. Next: conveyor rollout resume")


@app.command()
def resume(
    config: ConfigOption = None,
    overrides: Overrides = None,
    reason: ReasonOption = "",
    target: TargetOption = Target.LOCAL,
    server: ServerOption = DEFAULT_SERVER,
) -> None:
    """Go on after pause. How long the canary has had its share of the traffic counts from now.

    Example: conveyor rollout resume
    """
    actor = _open(config, overrides, target, server)
    actor.resume(reason)
    typer.echo(f"{_where(actor)}: resumed. Next: conveyor rollout watch --promote --abort")


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
        float, typer.Option("--minutes", metavar="N", min=0, help="How long a canary without steps must have run to pass.")
    ] = 30,
    every: Annotated[float, typer.Option("--every", metavar="SECONDS", min=0.1, help="How often to look.")] = 15,
    target: TargetOption = Target.LOCAL,
    server: ServerOption = DEFAULT_SERVER,
    gateway: GatewayOption = None,
    timeout: TimeoutOption = None,
    min_rows: RowsOption = DEFAULT_ROWS,
) -> None:
    """Wait for the verdict on the canary. Nothing is changed, unless --promote or --abort is given.

    With --promote, a canary that was started with --steps goes through them; it can be paused meanwhile.

    The exit code is 0 when the canary has passed, and 5 when it has failed.

    Example: conveyor rollout watch --promote --abort --minutes 60
    """
    from serving.rollout.verdict import Outcome
    from serving.rollout.watch import Watch

    actor = _open(config, overrides, target, server, gateway, timeout, min_rows)
    watching = Watch(actor, minutes * 60, every, tell)
    state, verdict = watching.follow(lambda after: _print_change(actor, after)) if promote_it else watching.wait()
    _print_verdict(state, verdict)
    reason = f"verdict {verdict.reason}"
    if verdict.outcome is Outcome.PASS:
        if promote_it:
            _print_change(actor, actor.promote(reason, judged=state))
        else:
            share = "" if state.next_step is None else f" --traffic {state.next_step}"
            typer.echo(f"It has passed. Next: conveyor rollout promote{share}")
        return
    if abort_it:
        _print_change(actor, actor.abort(reason, judged=state))
    raise WorseError(
        f"Version {state.canary} is worse than version {state.stable}.",
        where=_where(actor),
        seen=verdict.reason,
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
    return open_rollout(settings, open_target(settings, target, server, gateway, timeout), min_rows)


def _where(actor: Rollout) -> str:
    return f"{actor.target.model}, {actor.target.place}"


def _plan(steps: str | None, bake: str | None) -> Plan | None:
    """The plan that `--steps` and `--bake` ask for.

    Raises:
      UsageError: they do not make one.
    """
    from pipeline.monitoring.moments import parse_duration
    from serving.rollout.placement import Plan

    if steps is None:
        if bake is not None:
            raise UsageError(
                "There is no step that could last so long.",
                where="--bake",
                expected="--steps beside it",
                seen=bake,
                fix="Write --steps 1,10,50 too; without steps: conveyor rollout watch --minutes N",
            )
        return None
    seconds = parse_duration(bake or _DEFAULT_BAKE, "--bake")
    try:
        return Plan(steps=tuple(int(each.strip().removesuffix("%")) for each in steps.split(",")), bake_seconds=seconds)
    except ValueError:
        raise UsageError(
            "These are no steps of a rollout.",
            where="--steps",
            expected="percentages from 1 to 99, each more than the one before; after the last one it is promoted",
            seen=steps,
            fix="Write --steps 1,10,50",
        ) from None


def _print_change(actor: Rollout, state: RolloutState) -> None:
    change = state.changes[-1]
    typer.echo(f"{_where(actor)}: {change.before} → {change.after}")


def _print_status(actor: Rollout, found: RolloutStatus) -> None:
    from pipeline.report import formats

    state = found.state
    typer.echo(f"{_where(actor)}: {state.placement}")
    if found.drift:
        typer.echo(f"Not in line with that: {found.drift}. conveyor rollout repair repairs it.")
    if state.plan:
        typer.echo(f"Planned: {state.plan}{', paused' if state.paused else ''}")
    elif state.paused:
        typer.echo("Paused: conveyor rollout resume")
    if state.previous:
        typer.echo(f"To roll back to: {', '.join(map(str, reversed(state.previous)))}")
    if found.verdict is not None:
        _print_verdict(state, found.verdict)
    if found.uncounted:
        typer.echo(f"Not counted before the next step, as it did not answer when this one began: {', '.join(found.uncounted)}")
    if found.verdict is None and state.canary is not None:
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
    tried = f"{state.stage(state.canary).value} {state.canary}" if state.canary is not None else ""
    print_verdict(f"stable {state.stable}", tried, verdict)


def _document(actor: Rollout, found: RolloutStatus) -> dict[str, Any]:
    verdict = found.verdict
    return {
        "model": actor.target.model,
        "target": actor.target.place,
        **found.state.model_dump(mode="json", exclude={"since"}),
        "drift": found.drift,
        "gateways": list(found.gateways),
        "uncounted": list(found.uncounted),
        "verdict": verdict
        and {
            "outcome": verdict.outcome.value,
            "checks": [{**vars(check), "outcome": check.outcome.value} for check in verdict.checks],
        },
    }
