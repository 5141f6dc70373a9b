"""`conveyor submit`, `status`, `logs` and `cancel`: runs on Kubeflow."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli.options import ConfigArgument, ConfigOption, Json, Overrides, read_config
from pipeline.cli.output import new_table, print_json, print_table
from pipeline.errors import ConveyorError, NodeError, NotBlessedError, UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from pipeline.config import PipelineConfig
    from pipeline.kubeflow.client import Client, Version
    from pipeline.kubeflow.runs import PackageTask
    from pipeline.outcome import RunOutcome

_RUN_HELP = "Its id, the beginning of one, the name that the dashboard shows, or `latest`."


def submit(
    config: ConfigArgument = None,
    overrides: Overrides = None,
    parameters: Annotated[
        list[str] | None,
        typer.Option("--parameter", "-p", metavar="NAME=VALUE", help="Set a parameter of the run: span=201310. Repeatable."),
    ] = None,
    note: Annotated[str, typer.Option(help="What the run is for; kept with its outcome.", show_default=False)] = "",
    no_cache: Annotated[
        bool, typer.Option("--no-cache", help="Run every node, also those that nothing has changed for.")
    ] = False,
    no_follow: Annotated[bool, typer.Option("--no-follow", help="Return as soon as the run has started.")] = False,
) -> None:
    """Run the pipeline on Kubeflow: compile and upload it, start a run, and follow its nodes.

    The same package is uploaded once. Ctrl-C ends the following, not the run. The parameters are those that the dashboard's
    form has: span, steps_per_epoch, push_destination and run_note. The exit code is that of `conveyor run`: 0 for a pushed
    model, 3 for data that break the schema, 4 for a model that was not blessed.
    """
    from rich.console import Console

    from pipeline.kubeflow.client import Client

    settings = read_config(config, [*(overrides or ()), *(["execution.cache=false"] if no_cache else [])])
    values = given_parameters(settings, [*(parameters or ()), *([f"run_note={note}"] if note else [])])
    console = Console(highlight=False)
    client = Client(settings)
    version = compile_and_upload(client, console)
    run = client.start_run(version, values, f"{settings.name}-{time.strftime('%Y%m%d-%H%M%S')}", note)
    console.print(f"Run {run.run_id} of {settings.name} has started:")
    console.print(client.address(run.run_id), soft_wrap=True)
    if no_follow:
        _print_ways_back(run.run_id, console)
        return
    _follow(client, run, console)


def status(
    run: Annotated[str, typer.Argument(metavar="RUN", help=_RUN_HELP)] = "latest",
    config: ConfigOption = None,
    overrides: Overrides = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Follow the run until it ends, as submit does.")] = False,
    list_runs: Annotated[bool, typer.Option("--list", help="List the newest runs instead.")] = False,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many runs to list.")] = 20,
    as_json: Json = False,
) -> None:
    """Show where a run on Kubeflow stands: its nodes, and what went wrong."""
    from itertools import islice

    from rich.console import Console

    from pipeline.kubeflow.client import Client
    from pipeline.kubeflow.runs import find_run, outcome_of, package_tasks
    from pipeline.outcome import RunState

    if follow and (as_json or list_runs):
        raise UsageError("--follow shows one run, for people.", where="status", fix="leave out --json and --list")
    settings = read_config(config, overrides)
    client = Client(settings)
    if list_runs:
        _list(client, islice(client.runs(), limit), as_json)
        return
    found = find_run(client, run)
    console = Console(highlight=False)
    if follow:
        _follow(client, found, console)
        return
    tasks = package_tasks(client.package_spec(found))
    outcome = outcome_of(found, tasks, settings.name)
    if as_json:
        print_json(_document(client, found, outcome))
        return
    _print_run(client, outcome, console)
    if outcome.state is RunState.FAILED:
        console.print(str(_error_of(client, outcome, tasks, console)), style="red", markup=False)


def logs(
    names: Annotated[
        list[str], typer.Argument(metavar="[RUN] NODE", help="The node or group, and the run; the latest when not given.")
    ],
    config: ConfigOption = None,
    overrides: Overrides = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the node ends.")] = False,
) -> None:
    """Show what a node of a run on Kubeflow has written: its last attempt, when it was tried again."""
    from rich.console import Console

    from pipeline.kubeflow.client import Client
    from pipeline.kubeflow.run_pods import RunPods
    from pipeline.kubeflow.runs import find_run, find_task, outcome_of, package_tasks

    if len(names) > 2:
        raise UsageError(
            "logs takes a run and a node, or a node alone.", seen=" ".join(names), fix="conveyor logs latest Trainer"
        )
    settings = read_config(config, overrides)
    client = Client(settings)
    found = find_run(client, names[0] if len(names) == 2 else "latest")
    tasks = package_tasks(client.package_spec(found))
    task = find_task(tasks, names[-1])
    pods = RunPods(settings, found.run_id, Console(highlight=False))
    attempts = pods.of(task.key)
    if not attempts:
        state = outcome_of(found, tasks, settings.name).nodes[task.name].state
        raise _no_pod(task.name, state.value, client.address(found.run_id))
    name = attempts[-1]["metadata"]["name"]
    Console(stderr=True).print(f"pod {name}, attempt {len(attempts)} of run {found.run_id}", style="dim", soft_wrap=True)
    if follow:
        pods.follow_log(attempts[-1])
    else:
        print(pods.log(attempts[-1]), end="")


def cancel(
    run: Annotated[str, typer.Argument(metavar="RUN", help=_RUN_HELP)],
    config: ConfigOption = None,
    overrides: Overrides = None,
) -> None:
    """End a run on Kubeflow: no node starts any more, and those at work are told to stop."""
    from pipeline.kubeflow.client import Client
    from pipeline.kubeflow.runs import find_run, outcome_of
    from pipeline.outcome import RunState
    from pipeline.report import formats

    settings = read_config(config, overrides)
    client = Client(settings)
    found = find_run(client, run)
    outcome = outcome_of(found, [], settings.name)
    if outcome.state is not RunState.RUNNING:
        raise UsageError(
            "The run has ended, so there is nothing to cancel.",
            where=found.run_id,
            expected="a run that is at work",
            seen=f"{outcome.state.value} since {formats.moment(outcome.ended)}",
            fix="`conveyor status --list` lists the runs",
        )
    client.terminate(found.run_id)
    print(f"Run {found.run_id} of {settings.name}, started {formats.moment(outcome.started)}, is being cancelled.")


def given_parameters(config: PipelineConfig, given: Sequence[str]) -> dict[str, Any]:
    """The parameters of a run that a command line sets.

    Args:
      config: the pipeline's configuration.
      given: `name=value` for each.

    Raises:
      UsageError: there is no such parameter, or it cannot have this value.
      ConfigError: the configuration names files that pods cannot reach.
    """
    from pipeline.kubeflow.compile import in_cluster
    from pipeline.parameters import checked

    values = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals:
            raise UsageError(
                "A parameter is given as NAME=VALUE.", where="--parameter", seen=text, fix=f"--parameter {text}=VALUE"
            )
        values[name.strip()] = value
    known = checked(in_cluster(config), values)
    return {name: known[name] for name in values}


def compile_and_upload(client: Client, console: Console) -> Version:
    """Compiles the pipeline of a client's configuration and makes it a version on the server.

    Raises:
      ConveyorError: the cluster is not ready, or the configuration cannot be compiled for it.
    """
    from pipeline.kubeflow.cluster import require_cluster

    require_cluster(client.config)
    with console.status("compiling (loading TFX takes some seconds)"):
        from pipeline.kubeflow.compile import compile_package

        package = compile_package(client.config)
    version = client.upload(package)
    console.print(f"Package {version.name}: {'uploaded' if version.is_new else 'on the server already'}.")
    return version


def _follow(client: Client, run: Any, console: Console) -> None:
    """Shows a run until it ends.

    Raises:
      ConveyorError: it did not end with a pushed model.
    """
    from pipeline.kubeflow.follow import Follower
    from pipeline.kubeflow.run_pods import RunPods
    from pipeline.kubeflow.runs import package_tasks
    from pipeline.outcome import RunState
    from pipeline.report.progress import observe

    tasks = package_tasks(client.package_spec(run))
    pods = RunPods(client.config, run.run_id, console)
    follower = Follower(client, run.run_id, tasks, pods)
    told: set[tuple[str, str]] = set()
    try:
        with observe(console, starting="waiting for the cluster", note=follower.trouble) as show:
            for outcome in follower.outcomes():
                show(outcome)
                if not console.is_terminal:
                    _tell_troubles(follower.troubles(outcome), told, console)
    except KeyboardInterrupt:
        console.print(f"\nRun {run.run_id} goes on.")
        _print_ways_back(run.run_id, console)
        raise
    _print_run(client, outcome, console)
    if outcome.state is RunState.FAILED:
        raise _error_of(client, outcome, tasks, console)
    if outcome.state is RunState.INTERRUPTED:
        raise ConveyorError("The run was cancelled.", where=run.run_id, fix="`conveyor submit` starts another")
    at_exit = next((task.key for task in tasks if task.at_exit), None)
    if at_exit and pods.final_state(at_exit) is RunState.NOT_BLESSED:
        raise NotBlessedError(
            "A validator refused it, so nothing was pushed.",
            where=run.run_id,
            fix=f"See Evaluator and InfraValidator at {client.address(run.run_id)}. The model that is served stays.",
        )


def _tell_troubles(troubles: dict[str, str], told: set[tuple[str, str]], console: Console) -> None:
    for trouble in troubles.items():
        if trouble not in told:
            told.add(trouble)
            console.print(f"{trouble[0]:<20} {trouble[1]}", markup=False, soft_wrap=True)


def _error_of(client: Client, outcome: RunOutcome, tasks: Sequence[PackageTask], console: Console) -> ConveyorError:
    from pipeline.kubeflow.run_pods import RunPods
    from pipeline.outcome import NodeState

    for task in tasks:
        if outcome.nodes[task.name].state is NodeState.FAILED:
            return RunPods(client.config, outcome.run_id, console).error_of(task.key, task.name)
    return NodeError(
        "The run failed before any of its nodes did.",
        where=outcome.run_id,
        fix=f"look at it at {client.address(outcome.run_id)}",
    )


def _print_run(client: Client, outcome: RunOutcome, console: Console) -> None:
    from rich.text import Text

    from pipeline.report.summary import nodes_table

    console.print(Text(f"Run {outcome.run_id} of {outcome.pipeline}: {outcome.state.value}", style="bold"))
    console.print(nodes_table(outcome))
    console.print(client.address(outcome.run_id), soft_wrap=True)


def _print_ways_back(run_id: str, console: Console) -> None:
    console.print(f"  conveyor status {run_id} --follow   follows it", soft_wrap=True)
    console.print(f"  conveyor cancel {run_id}            ends it", soft_wrap=True)


def _no_pod(node: str, state: str, address: str) -> UsageError:
    if state == "waiting":
        return UsageError(f"{node} has not started yet.", where=node, fix="conveyor status shows what it waits for")
    return UsageError(
        f"{node} has no pod" + (": it never started." if state == "blocked" else " any more."),
        where=node,
        expected="a pod of the run; Kubeflow deletes them a day after the run has ended",
        seen=state,
        fix=f"the dashboard keeps the log: {address}",
    )


def _list(client: Client, runs: Any, as_json: bool) -> None:
    from pipeline.kubeflow.runs import outcome_of
    from pipeline.report import formats

    rows = [(run, outcome_of(run, [], client.config.name)) for run in runs]
    if as_json:
        print_json([_facts(client, run, outcome) for run, outcome in rows])
        return
    table = new_table("run", "name", "state", "started", "duration", "note", right=("duration",))
    for run, outcome in rows:
        duration = formats.seconds(outcome.ended - outcome.started if outcome.ended else None)
        started = formats.moment(outcome.started)
        table.add_row(outcome.run_id, run.display_name, outcome.state.value, started, duration, outcome.note)
    print_table(table)


def _facts(client: Client, run: Any, outcome: RunOutcome) -> dict[str, Any]:
    return {
        "run": outcome.run_id,
        "name": run.display_name,
        "pipeline": outcome.pipeline,
        "state": outcome.state.value,
        "started": outcome.started,
        "ended": outcome.ended,
        "note": outcome.note,
        "parameters": dict((run.runtime_config.parameters if run.runtime_config else None) or {}),
        "schedule": run.recurring_run_id or None,
        "address": client.address(outcome.run_id),
    }


def _document(client: Client, run: Any, outcome: RunOutcome) -> dict[str, Any]:
    nodes = {
        name: {"state": node.state.value, "started": node.started, "ended": node.ended} for name, node in outcome.nodes.items()
    }
    return {**_facts(client, run, outcome), "nodes": nodes}
