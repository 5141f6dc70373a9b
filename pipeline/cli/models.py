"""`conveyor models`: the pushed versions, their servers and their origin; deleting old ones, and signatures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline import nodes
from pipeline.cli.completion import complete_version
from pipeline.cli.options import ConfigOption, Json, Overrides, read_config
from pipeline.cli.output import new_table, print_json, print_table
from pipeline.cli.serving_target import (
    DEFAULT_SERVER,
    ReasonOption,
    ServerOption,
    Target,
    TargetOption,
    open_rollout,
    open_target,
    tell,
)
from pipeline.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.config import PipelineConfig
    from pipeline.runs.metadata import Lineage
    from serving.rollout.state import RolloutState
    from serving.rollout.versions import PushedVersion

app = typer.Typer(help="The versions of the model: who serves them, where they come from.", invoke_without_command=True)


@dataclass(frozen=True)
class _Origin:
    """The origin of a version, by the metadata store."""

    run: str = ""
    pushed: float | None = None
    metrics: tuple[str, ...] = ()


@app.callback()
def models(
    context: typer.Context,
    config: ConfigOption = None,
    overrides: Overrides = None,
    target: TargetOption = Target.LOCAL,
    server: ServerOption = DEFAULT_SERVER,
    as_json: Json = False,
) -> None:
    """List the versions of the model: what they are to the rollout, who serves them, by which run and metrics they came.

    Example: conveyor models --json
    """
    if context.invoked_subcommand is not None:
        return
    settings = read_config(config, overrides)
    there = open_target(settings, target, server, None, None)
    state, versions, servers = there.read(), there.versions(), there.servers()
    origins = _origins(settings, target, versions)
    rows = [_row(version, state, servers, origins.get(version.number, _Origin())) for version in reversed(versions)]
    if as_json:
        print_json({"model": settings.name, "target": target.value, "servers": list(servers), "versions": rows})
        return
    _print(settings, state, rows, servers)


@app.command()
def prune(
    config: ConfigOption = None,
    overrides: Overrides = None,
    keep: Annotated[int, typer.Option("--keep", metavar="N", help="How many of the newest versions stay in any case.")] = 5,
    yes: Annotated[bool, typer.Option("--yes", help="Delete them, and do not only say what would be deleted.")] = False,
    reason: ReasonOption = "",
    target: TargetOption = Target.LOCAL,
    server: ServerOption = DEFAULT_SERVER,
) -> None:
    """Delete old versions, but none that serves, that is tried, or that a rollback would return to.

    Without --yes, only say what would be deleted.

    Example: conveyor models prune --keep 5
    """
    settings = read_config(config, overrides)
    there = open_target(settings, target, server, None, None)
    versions = open_rollout(settings, there).prune(keep, reason or f"--keep {keep}", dry_run=not yes)
    remaining = [version.number for version in there.versions() if version.number not in versions]
    what = f"version {', '.join(map(str, versions))}" if versions else "no version"
    verb = "deleted" if yes else "would be deleted"
    typer.echo(f"{settings.name}, {target.value}: {what} {verb}; there remains {', '.join(map(str, remaining)) or 'none'}")
    if versions and not yes:
        typer.echo(f"Next: conveyor models prune --keep {keep} --yes")


_VersionArgument = Annotated[
    int, typer.Argument(metavar="VERSION", help="A version that was pushed.", autocompletion=complete_version)
]


@app.command()
def sign(version: _VersionArgument, config: ConfigOption = None, overrides: Overrides = None) -> None:
    """Sign a version that is there, as the Pusher signs those that it pushes: after a new key, or one pushed before signing.

    Example: conveyor models sign 7
    """
    from pipeline.contracts import signature

    settings = read_config(config, overrides)
    folder = _folder(settings, version)
    expected = "the name of an environment variable with a private key"
    variable = _said("signs", expected, "push.signing_key_variable", settings.push.signing_key_variable, "MODEL_SIGNING_KEY")
    key = signature.private_key(variable)
    signature.sign(folder, settings.name, key)
    typer.echo(f"{settings.name}, version {version}: signed by the key {signature.fingerprint(key.public_key())[:16]}")


@app.command()
def verify(version: _VersionArgument, config: ConfigOption = None, overrides: Overrides = None) -> None:
    """Verify the signature of a version and that its files are those that were signed. Exit code 1 if they are not.

    Example: conveyor models verify 7
    """
    from pipeline.contracts import signature

    settings = read_config(config, overrides)
    folder = _folder(settings, version)
    file = _said("is trusted", "the file of a public key", "push.public_key", settings.push.public_key, "public.pem")
    key = signature.public_key(Path(settings.resolve(file)))
    files = signature.verify(folder, settings.name, key)
    typer.echo(
        f"{settings.name}, version {version}: {files} files are as the key {signature.fingerprint(key)[:16]} signed them"
    )


def _said(what: str, expected: str, field: str, value: str | None, example: str) -> str:
    """Which key is meant, as the configuration says it in a field."""
    if value is None:
        raise UsageError(
            f"It is not said which key {what}.", where=field, expected=expected, fix=f"For example: --set {field}={example}"
        )
    return value


def _folder(config: PipelineConfig, version: int) -> Path:
    from serving.rollout.versions import files_below, read_versions

    present = [each.number for each in read_versions(files_below(config.serving_path))]
    if version not in present:
        raise UsageError(
            f"There is no version {version} of {config.name}.",
            where=str(config.serving_path),
            expected=f"one of {', '.join(map(str, present))}" if present else "a version that `conveyor run` has pushed",
            fix="To see those that are there: conveyor models",
        )
    return config.serving_path / str(version)


def _row(version: PushedVersion, state: RolloutState, servers: Mapping[str, list[int]], origin: _Origin) -> dict[str, Any]:
    return {
        "version": version.number,
        "stage": state.stage(version.number).value if state.stable is not None else "",
        "labels": [label for label, number in state.labels.items() if number == version.number],
        "traffic": _traffic(version.number, state),
        "served_by": [server for server, numbers in servers.items() if version.number in numbers],
        "pushed": origin.pushed or version.pushed or None,
        "run": origin.run,
        "metrics": list(origin.metrics),
        "bytes": version.size,
        "problem": version.problem,
    }


def _traffic(version: int, state: RolloutState) -> int | None:
    """The percentage of the traffic by the rollout; None where there has been none."""
    if state.stable is None:
        return None
    shares = {state.stable: 100 - state.traffic, state.canary: state.traffic}
    return shares.get(version, 0)


def _origins(config: PipelineConfig, target: Target, versions: list[PushedVersion]) -> dict[int, _Origin]:
    from pipeline.errors import ConveyorError
    from pipeline.runs import database
    from pipeline.runs.metadata import open_store

    connection = database.connection(config) if target is Target.LOCAL else database.from_environment()
    if connection is None:
        tell(f"Runs and metrics are in the cluster's database: {database.ENVIRONMENT_VARIABLE} names it.")
        return {}
    try:
        with open_store(connection, config.name) as store:
            pushed = store.pushed_versions()
            numbers = [version.number for version in versions if str(version.number) in pushed]
            lineages = {number: store.lineage(pushed[str(number)]) for number in numbers}
    except ConveyorError as error:
        tell(f"Runs and metrics are not known: {error.what}")
        return {}
    return {number: _origin(lineage) for number, lineage in lineages.items()}


def _origin(lineage: Lineage) -> _Origin:
    from pipeline.report.read.evaluation import read_evaluation

    pusher, evaluator = lineage.execution(nodes.PUSHER.id), lineage.execution(nodes.EVALUATOR.id)
    evaluations = evaluator.outputs.get("evaluation", ()) if evaluator else ()
    metrics: tuple[str, ...] = ()
    if evaluations:
        try:
            metrics = tuple(_metric(check) for check in read_evaluation(evaluations[0].path).checks)
        except FileNotFoundError:
            # The run's artifacts have been deleted since.
            metrics = ()
    return _Origin(run=next(iter(pusher.runs), "") if pusher else "", pushed=pusher.ended if pusher else None, metrics=metrics)


def _metric(check: Any) -> str:
    from pipeline.report import formats

    if check.slice:
        return f"{check.metric} ({check.bound}) for {check.slice}"
    if check.against_baseline:
        return f"{check.metric} {formats.difference(check.value)} ({check.bound}) against the baseline"
    return f"{check.metric} {formats.metric(check.value)} ({check.bound})"


def _print(config: PipelineConfig, state: RolloutState, rows: list[dict[str, Any]], servers: Mapping[str, list[int]]) -> None:
    from pipeline.report import formats

    if not rows:
        typer.echo(f"No version of {config.name} has been pushed yet: conveyor run trains and pushes one.")
        return
    typer.echo(f"{config.name}: {state.placement}" + ("" if servers else "; no model server answers"))
    table = new_table(
        "version", "stage", "traffic", "served by", "pushed", "run", "blessed by", "size", right=("version", "traffic", "size")
    )
    for row in rows:
        table.add_row(
            str(row["version"]),
            row["problem"] or row["stage"] or formats.DASH,
            formats.DASH if row["traffic"] is None else f"{row['traffic']} %",
            ", ".join(row["served_by"]) or formats.DASH,
            formats.moment(row["pushed"]),
            row["run"] or formats.DASH,
            "; ".join(row["metrics"]) or formats.DASH,
            formats.size(row["bytes"]),
        )
    print_table(table)
