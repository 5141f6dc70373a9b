"""`conveyor schedule`: continuous training on Kubeflow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli.options import ConfigArgument, Json, Overrides, read_config
from pipeline.cli.output import new_table, print_json, print_table
from pipeline.errors import UsageError

if TYPE_CHECKING:
    from pipeline.kubeflow.client import KubeflowClient

_ACTIONS = "--cron, --every, --list, --pause, --resume and --delete"


def schedule(
    config: ConfigArgument = None,
    cron: Annotated[
        str | None,
        typer.Option(
            metavar="EXPRESSION", help="When, in UTC: '0 6 * * *' is every day at six. With six fields, the first is seconds."
        ),
    ] = None,
    every: Annotated[str | None, typer.Option(metavar="INTERVAL", help="How often instead: 90m, 12h, 1d or 2w.")] = None,
    list_schedules: Annotated[bool, typer.Option("--list", help="List the schedules of the cluster.")] = False,
    pause: Annotated[str | None, typer.Option(metavar="NAME", help="Pause a schedule: it stays, but starts no runs.")] = None,
    resume: Annotated[str | None, typer.Option(metavar="NAME", help="Let a paused schedule start runs again.")] = None,
    delete: Annotated[str | None, typer.Option(metavar="NAME", help="Delete a schedule; its runs stay.")] = None,
    overrides: Overrides = None,
    as_json: Json = False,
) -> None:
    """Run the pipeline on Kubeflow repeatedly, each time on the newest data.

    A pipeline has one schedule, which has its name: another --cron or --every replaces it. A schedule keeps the package that it
    was made with; schedule again to run changed code. Only one run is active at a time, since runs share a cache and a serving
    folder. Missed starts are not made up for, since the next run reads the newest data anyway. Times are UTC, unless
    CRON_SCHEDULE_TIMEZONE of the Deployment ml-pipeline-scheduledworkflow says otherwise.

    Example: conveyor schedule --cron '0 6 * * *'
    """
    from pipeline.kubeflow.client import KubeflowClient
    from pipeline.kubeflow.schedules import cron_trigger, find_schedule, interval_trigger

    given = [cron is not None, every is not None, list_schedules, pause is not None, resume is not None, delete is not None]
    if sum(given) != 1:
        raise UsageError(
            "schedule does one thing at a time.",
            expected=f"one of {_ACTIONS}",
            seen=f"{sum(given)} of them" if any(given) else "none of them",
            fix="For example: conveyor schedule --cron '0 6 * * *', or conveyor schedule --list",
        )
    trigger = cron_trigger(cron) if cron is not None else interval_trigger(every) if every is not None else None
    client = KubeflowClient(read_config(config, overrides))
    if trigger is not None:
        _create(client, trigger, as_json)
        return
    schedules = client.schedules()
    if list_schedules:
        _list(schedules, as_json)
        return
    name, change, done = next(
        (name, change, done)
        for name, change, done in (
            (pause, client.pause_schedule, "is paused"),
            (resume, client.resume_schedule, "starts runs again"),
            (delete, client.delete_schedule, "is deleted; the runs that it started stay"),
        )
        if name is not None
    )
    found = find_schedule(schedules, name)
    change(found.recurring_run_id)
    print(f"The schedule {found.display_name} ({found.recurring_run_id}) {done}.")


def _create(client: KubeflowClient, trigger: Any, as_json: bool) -> None:
    from rich.console import Console

    from pipeline.kubeflow.schedules import describe
    from pipeline.kubeflow.submission import compile_and_upload
    from pipeline.parameters import NEWEST_SPAN, parameters_of

    name = client.config.name
    console = Console(stderr=as_json, highlight=False)
    version = compile_and_upload(client, console)
    # A configuration may name an earlier span, which is meant for single runs.
    values = {"span": NEWEST_SPAN} if "span" in parameters_of(client.config) else {}
    replaced = [each for each in client.schedules() if each.display_name == name and _is_of(each, version.pipeline_id)]
    created = client.create_schedule(version, values, trigger, f"Continuous training of {name}, by conveyor schedule.")
    # Only now: a failure in between leaves one schedule too many, not none.
    for each in replaced:
        client.delete_schedule(each.recurring_run_id)
    if as_json:
        print_json(_facts(created))
        return
    console.print(f"{name} runs {describe(trigger)}, on the newest data, one run at a time.")
    for each in replaced:
        console.print(f"This replaces its schedule {describe(each.trigger)} ({each.recurring_run_id}).", soft_wrap=True)
    console.print(f"{client.host}/#/recurringrun/details/{created.recurring_run_id}", soft_wrap=True)
    console.print(f"  conveyor schedule --pause {name}    and --resume, --delete; --list shows all", soft_wrap=True)


def _is_of(schedule: Any, pipeline_id: str) -> bool:
    source = schedule.pipeline_version_reference
    return source is not None and source.pipeline_id == pipeline_id


def _list(schedules: list[Any], as_json: bool) -> None:
    from pipeline.report import formats

    rows = [_facts(each) for each in schedules]
    if as_json:
        print_json(rows)
        return
    table = new_table("name", "starts", "state", "since", "id")
    for row in rows:
        table.add_row(row["name"], row["starts"], row["state"], formats.moment(row["created"]), row["id"])
    print_table(table)


def _facts(schedule: Any) -> dict[str, Any]:
    from pipeline.kubeflow.schedules import describe

    return {
        "name": schedule.display_name,
        "id": schedule.recurring_run_id,
        "starts": describe(schedule.trigger),
        "state": "active" if schedule.status == "ENABLED" else "paused",
        "created": schedule.created_at.timestamp() if schedule.created_at else None,
        "parameters": dict((schedule.runtime_config.parameters if schedule.runtime_config else None) or {}),
    }
