"""`conveyor submit`, `status`, `logs` and `cancel`: runs on Kubeflow."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli.options import ConfigArgument, ConfigOption, Json, Overrides, read_config
from pipeline.cli.output import new_table, print_json, print_table
from pipeline.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from pipeline.errors import ConveyorError
    from pipeline.kubeflow.client import KubeflowClient
    from pipeline.kubeflow.follow import Follower
    from pipeline.runs.status import RunOutcome

_RUN_HELP = "The run's id or its beginning, the name that the dashboard shows, or `latest`."
RunArgument = Annotated[str, typer.Argument(metavar="RUN", help=_RUN_HELP)]


def submit(
    config: ConfigArgument = None,
    overrides: Overrides = None,
    parameters: Annotated[
        list[str] | None,
        typer.Option("--parameter", "-p", metavar="NAME=VALUE", help="Set a parameter of the run: span=201310. Repeatable."),
    ] = None,
    note: Annotated[str, typer.Option(help="What the run is for; kept with its outcome.", show_default=False)] = "",
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Run every node, even where nothing has changed.")] = False,
    no_follow: Annotated[bool, typer.Option("--no-follow", help="Return as soon as the run has started.")] = False,
    retries: Annotated[
        int,
        typer.Option("--retries", metavar="N", min=0, help="Run again, at most N times, when a pod is deleted or evicted."),
    ] = 0,
) -> None:
    """Run the pipeline on Kubeflow: compile and upload it, start a run, and follow its nodes.

    A package that has not changed is not uploaded again. Ctrl-C stops following; the run goes on. The parameters are those of
    the dashboard's form: span, steps_per_epoch, push_destination and run_note. The exit code is that of `conveyor run`: 0 for a
    pushed model, 3 for data that break the schema, 4 for a model that was not blessed.

    Example: conveyor submit --parameter span=201310 --note 'October'
    """
    from rich.console import Console

    from pipeline.kubeflow.client import KubeflowClient
    from pipeline.kubeflow.failures import PodLostError
    from pipeline.kubeflow.submission import compile_and_upload, given_parameters

    if retries and no_follow:
        raise UsageError("--retries follows the run.", where="submit", fix="Leave out --no-follow or --retries.")
    settings = read_config(config, [*(overrides or ()), *(["execution.cache=false"] if no_cache else [])])
    values = given_parameters(settings, [*(parameters or ()), *([f"run_note={note}"] if note else [])])
    console = Console(highlight=False)
    client = KubeflowClient(settings)
    version = compile_and_upload(client, console)
    for left in reversed(range(retries + 1)):
        run = client.start_run(version, values, f"{settings.name}-{time.strftime('%Y%m%d-%H%M%S')}", note)
        console.print(f"Run {run.run_id} of {settings.name} has started:")
        console.print(client.address(run.run_id), soft_wrap=True)
        if no_follow:
            _print_next_commands(run.run_id, console)
            return
        try:
            _follow(client, run, console)
            return
        except PodLostError as error:
            if not left:
                raise
            console.print(f"{error.what}\nThe pipeline runs again; what is complete is taken from the cache.", markup=False)


def status(
    run: RunArgument = "latest",
    config: ConfigOption = None,
    overrides: Overrides = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Follow the run until it ends, as submit does.")] = False,
    list_runs: Annotated[bool, typer.Option("--list", help="List the newest runs instead.")] = False,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many runs to list.")] = 20,
    as_json: Json = False,
) -> None:
    """Show the state of a run on Kubeflow: its nodes, and what went wrong.

    Example: conveyor status latest --follow
    """
    from itertools import islice

    from rich.console import Console

    from pipeline.kubeflow.client import KubeflowClient
    from pipeline.kubeflow.runs import find_run
    from pipeline.runs.status import RunState

    if follow and (as_json or list_runs):
        raise UsageError("--follow shows a single run as text.", where="status", fix="Leave out --json and --list.")
    settings = read_config(config, overrides)
    client = KubeflowClient(settings)
    if list_runs:
        _list(client, islice(client.runs(), limit), as_json)
        return
    found = find_run(client, run)
    console = Console(highlight=False)
    if follow:
        _follow(client, found, console)
        return
    follower = _follower(client, found, console)
    outcome = follower.look(found)
    if as_json:
        print_json(_document(follower, found, outcome))
        return
    _print_run(follower, outcome, console)
    _print_issues(follower.issues(outcome).items(), console)
    if outcome.state is not RunState.RUNNING:
        _print_errors(_errors(follower, outcome), console)


def logs(
    names: Annotated[
        list[str], typer.Argument(metavar="[RUN] NODE", help="The run, by default the latest, and the node or group.")
    ],
    config: ConfigOption = None,
    overrides: Overrides = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Follow the log until the node ends.")] = False,
) -> None:
    """Show the log of a node of a run on Kubeflow; of its last attempt, if it was retried.

    Example: conveyor logs latest Trainer --follow
    """
    from rich.console import Console

    from pipeline.kubeflow.client import KubeflowClient
    from pipeline.kubeflow.failures import no_pod
    from pipeline.kubeflow.run_pods import RunPods, step_name
    from pipeline.kubeflow.runs import find_run, find_task, outcome_of, package_tasks
    from pipeline.util.pods import pod_name

    if len(names) > 2:
        raise UsageError(
            "logs takes a run and a node, or a node alone.",
            seen=" ".join(names),
            fix="For example: conveyor logs latest Trainer",
        )
    settings = read_config(config, overrides)
    client = KubeflowClient(settings)
    found = find_run(client, names[0] if len(names) == 2 else "latest")
    tasks = package_tasks(client.package_spec(found))
    task = find_task(tasks, names[-1])
    pods = RunPods(settings, found.run_id, Console(highlight=False))
    attempts = pods.of(task.key)
    if not attempts:
        state = outcome_of(found, tasks, settings.name).nodes[task.name].state
        raise no_pod(pods, task, state, client.address(found.run_id))
    step = step_name(attempts[-1])
    what = f"attempt {step.attempt + 1}" if step is not None and not step.is_driver else "the driver"
    pod = f"pod {pod_name(attempts[-1])}, {what} of run {found.run_id}"
    Console(stderr=True).print(pod, style="dim", soft_wrap=True)
    if follow:
        pods.follow_log(attempts[-1])
    else:
        print(pods.log(attempts[-1]), end="")


def cancel(
    run: RunArgument,
    config: ConfigOption = None,
    overrides: Overrides = None,
) -> None:
    """Cancel a run on Kubeflow: no further node starts, and running nodes are stopped.

    Example: conveyor cancel latest
    """
    from pipeline.kubeflow.client import KubeflowClient
    from pipeline.kubeflow.runs import find_run, outcome_of
    from pipeline.report import formats
    from pipeline.runs.status import RunState

    settings = read_config(config, overrides)
    client = KubeflowClient(settings)
    found = find_run(client, run)
    outcome = outcome_of(found, [], settings.name)
    if outcome.state is not RunState.RUNNING:
        raise UsageError(
            "The run has ended, so there is nothing to cancel.",
            where=found.run_id,
            expected="a run that has not ended",
            seen=f"{outcome.state.value} since {formats.moment(outcome.ended)}",
            fix="`conveyor status --list` lists the runs.",
        )
    client.terminate(found.run_id)
    print(f"Run {found.run_id} of {settings.name}, started {formats.moment(outcome.started)}, is being cancelled.")


def _follow(client: KubeflowClient, run: Any, console: Console) -> None:
    """Shows a run until it ends.

    Raises:
      ConveyorError: it did not end with a pushed model.
    """
    from pipeline.report.progress import observe

    follower = _follower(client, run, console)
    printed: set[tuple[str, str]] = set()
    try:
        # Without a terminal, issues are printed below, each once.
        note = follower.issue if console.is_terminal else lambda outcome, node_id: ""
        with observe(console, starting="waiting for the cluster", note=note) as show:
            for outcome in follower.outcomes():
                show(outcome)
                if not console.is_terminal:
                    new = follower.issues(outcome).items() - printed
                    _print_issues(new, console)
                    printed |= new
    except KeyboardInterrupt:
        console.print(f"\nRun {run.run_id} goes on.")
        _print_next_commands(run.run_id, console)
        raise
    _print_run(follower, outcome, console)
    errors = _errors(follower, outcome)
    if errors:
        _print_errors(errors[1:], console)
        raise errors[0]


def _follower(client: KubeflowClient, run: Any, console: Console) -> Follower:
    from pipeline.kubeflow.follow import Follower
    from pipeline.kubeflow.run_pods import RunPods
    from pipeline.kubeflow.runs import package_tasks

    return Follower(client, run.run_id, package_tasks(client.package_spec(run)), RunPods(client.config, run.run_id, console))


def _errors(follower: Follower, outcome: RunOutcome) -> list[ConveyorError]:
    from pipeline.kubeflow.ending import errors_of

    return errors_of(outcome, follower.tasks, follower.pods, follower.client.address(outcome.run_id))


def _print_errors(errors: Iterable[ConveyorError], console: Console) -> None:
    for error in errors:
        console.print(f"{error.headline}: {error}", markup=False, soft_wrap=True)


def _print_run(follower: Follower, outcome: RunOutcome, console: Console) -> None:
    from rich.text import Text

    from pipeline.report.summary import nodes_table

    console.print(Text(f"Run {outcome.run_id} of {outcome.pipeline}: {outcome.state.value}", style="bold"))
    console.print(nodes_table(outcome))
    console.print(follower.client.address(outcome.run_id), soft_wrap=True)
    if follower.remark:
        console.print(follower.remark, soft_wrap=True)


def _print_issues(issues: Iterable[tuple[str, str]], console: Console) -> None:
    for node, issue in issues:
        console.print(f"{node:<24} {issue}", markup=False, soft_wrap=True)


def _print_next_commands(run_id: str, console: Console) -> None:
    console.print(f"  conveyor status {run_id} --follow   follows it", soft_wrap=True)
    console.print(f"  conveyor cancel {run_id}            ends it", soft_wrap=True)


def _list(client: KubeflowClient, runs: Any, as_json: bool) -> None:
    from pipeline.kubeflow.runs import outcome_of
    from pipeline.report import formats

    rows = [(run, outcome_of(run, [], client.config.name)) for run in runs]
    if as_json:
        print_json([_facts(client, run, outcome) for run, outcome in rows])
        return
    table = new_table("run", "state", "started", "duration", "note", right=("duration",))
    table.columns[0].no_wrap = True  # An id is copied.
    for _, outcome in rows:
        duration = formats.seconds(outcome.ended - outcome.started if outcome.ended else None)
        started = formats.moment(outcome.started)
        table.add_row(outcome.run_id, outcome.state.value, started, duration, outcome.note)
    print_table(table)


def _facts(client: KubeflowClient, run: Any, outcome: RunOutcome) -> dict[str, Any]:
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


def _document(follower: Follower, run: Any, outcome: RunOutcome) -> dict[str, Any]:
    nodes = {
        name: {"state": node.state.value, "started": node.started, "ended": node.ended} for name, node in outcome.nodes.items()
    }
    return {**_facts(follower.client, run, outcome), "nodes": nodes, "remark": follower.remark}
