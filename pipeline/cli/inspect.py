"""`conveyor runs`, `show`, `report` and `lineage`: what ran, what it made, and where a version comes from."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli.completion import complete_run, complete_version
from pipeline.cli.options import ConfigOption, Json, Overrides, read_config
from pipeline.cli.output import new_table, print_json, print_table

if TYPE_CHECKING:
    from pipeline.report.html.lineage import LineageView
    from pipeline.report.read.run_details import RunDetails

_RunArgument = Annotated[
    str, typer.Argument(metavar="RUN", help="Its id, the beginning of one, or `latest`.", autocompletion=complete_run)
]


def runs(
    config: ConfigOption = None,
    overrides: Overrides = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many of the newest runs to list.")] = 20,
    as_json: Json = False,
) -> None:
    """List the runs of the pipeline, newest first.

    Example: conveyor runs --limit 5
    """
    from pipeline.report import formats
    from pipeline.report.read.run_details import read_run_details
    from pipeline.runs.find import run_ids

    settings = read_config(config, overrides)
    newest = list(reversed(run_ids(settings)))[:limit]
    rows = [_run_row(read_run_details(settings, run_id)) for run_id in newest]
    if as_json:
        print_json(rows)
        return
    table = new_table("run", "state", "started", "duration", "data", "metric", "version", right=("duration", "metric"))
    for row in rows:
        metric = f"{row['metric']} {formats.metric(row['value'])}" if row["metric"] else ""
        started, duration = formats.moment(row["started"]), formats.seconds(row["seconds"])
        table.add_row(row["run"], row["state"], started, duration, row["data"], metric, row["version"])
    print_table(table)


def show(run: _RunArgument = "latest", config: ConfigOption = None, overrides: Overrides = None, as_json: Json = False) -> None:
    """Show a run: its nodes, what they made, its metrics, and what went wrong.

    Example: conveyor show latest
    """
    from rich.console import Console
    from rich.text import Text

    from pipeline.report.read.run_details import read_run_details
    from pipeline.report.summary import nodes_table, print_metrics, print_notes, print_rows, verdict_lines
    from pipeline.runs.find import find_run

    settings = read_config(config, overrides)
    details = read_run_details(settings, find_run(settings, run))
    if as_json:
        print_json(_run_document(details))
        return
    console = Console(highlight=False, markup=False)
    console.print(verdict_lines(details), "", sep="\n")
    console.print(
        Text(f"Run {details.outcome.run_id} of {details.config.name}", style="bold"), nodes_table(details.outcome), "", sep="\n"
    )
    print_notes(details.outcome, details.folder, console)
    print_rows(details.data, console)
    if details.evaluation:
        print_metrics(details.evaluation, details.config.evaluation.min_slice_rows, console)
    table = new_table("node", "output", "id", "type", "where", right=("id",))
    for artifact in _artifacts(details):
        table.add_row(artifact["node"], artifact["output"], str(artifact["id"]), artifact["type"], artifact["uri"])
    if table.row_count:
        console.print(Text("Artifacts", style="bold"))
        print_table(table)


def report(
    run: _RunArgument = "latest",
    config: ConfigOption = None,
    overrides: Overrides = None,
    open_it: Annotated[bool, typer.Option("--open", help="Open the report in the browser.")] = False,
    as_json: Json = False,
) -> None:
    """Write the report of a run again and print its path.

    Example: conveyor report latest --open
    """
    from pipeline.report import write_report
    from pipeline.runs.find import find_run

    settings = read_config(config, overrides)
    path = write_report(settings, find_run(settings, run))
    if as_json:
        print_json({"path": str(path)})
    else:
        print(path)
    if open_it:
        typer.launch(path.as_uri())


def lineage(
    version: Annotated[
        str, typer.Argument(metavar="VERSION", help="A pushed version, or `latest`.", autocompletion=complete_version)
    ] = "latest",
    config: ConfigOption = None,
    overrides: Overrides = None,
    as_json: Json = False,
) -> None:
    """Show what a pushed version was made from: data, schema, code, model, and the runs that did it.

    Example: conveyor lineage latest
    """
    from rich.console import Console
    from rich.text import Text

    from pipeline.report.html.lineage import view_lineage
    from pipeline.runs import database
    from pipeline.runs.metadata import open_store

    settings = read_config(config, overrides)
    with open_store(database.connection(settings), settings.name) as store:
        pushed = store.pushed_versions() if version == "latest" else {}
        view = view_lineage(store.lineage(store.pushed(next(reversed(pushed), version))))
    if as_json:
        print_json(_lineage_document(view))
        return
    console = Console(highlight=False, markup=False)
    console.print(Text(f"Version {view.lineage.version} of {settings.name}", style="bold"))
    for name, text in (
        ("where", view.lineage.destination),
        ("data", view.data.summary),
        ("rows", view.data.rows_text),
        ("baseline", _baseline(view)),
    ):
        console.print(Text.assemble((f"  {name:<10}", "dim"), text), soft_wrap=True)
    table = new_table("node", "made", "id", "in run", "where", right=("id",))
    for step in view.steps:
        made = (step.output.type, str(step.output.id), step.output.uri) if step.output else ("", "", "")
        table.add_row(step.execution.node, made[0], made[1], step.run, made[2])
    print_table(table)


def _run_row(details: RunDetails) -> dict[str, Any]:
    outcome, evaluation = details.outcome, details.evaluation
    metric = evaluation.primary_metric if evaluation else ""
    return {
        "run": outcome.run_id,
        "state": outcome.state.value,
        "started": outcome.started,
        "seconds": outcome.ended - outcome.started if outcome.ended else None,
        "data": details.data.summary,
        "metric": metric,
        "value": evaluation.overall.metric(metric).candidate if evaluation and metric else None,
        "version": details.version,
    }


def _run_document(details: RunDetails) -> dict[str, Any]:
    evaluation = details.evaluation
    return {
        **_run_row(details),
        "rows": dict(details.data.rows),
        "division": details.data.division,
        "boundary": details.data.boundary,
        "problem": details.outcome.problem.model_dump() if details.outcome.problem else None,
        "nodes": {
            name: {"state": node.state.value, "seconds": node.seconds if node.started else None, "notes": node.notes}
            for name, node in details.outcome.nodes.items()
        },
        "artifacts": _artifacts(details),
        "slices": [
            {"slice": dict(each.key), "metrics": {name: [pair.candidate, pair.baseline] for name, pair in each.metrics.items()}}
            for each in (evaluation.slices if evaluation else ())
        ],
        "thresholds": [
            {"metric": check.metric, "slice": check.slice, "bound": check.bound, "value": check.value, "holds": check.holds}
            for check in (evaluation.checks if evaluation else ())
        ],
        "judgement": json.loads(evaluation.judgement.to_json()) if evaluation and evaluation.judgement else None,
    }


def _artifacts(details: RunDetails) -> list[dict[str, Any]]:
    return [
        {"node": node, "output": key, "id": artifact.id, "type": artifact.type, "uri": artifact.uri}
        for node, execution in details.run.executions.items()
        for key, artifacts in execution.outputs.items()
        for artifact in artifacts
    ]


def _lineage_document(view: LineageView) -> dict[str, Any]:
    return {
        "version": view.lineage.version,
        "destination": view.lineage.destination,
        "data": {split: list(source.files) for split, source in view.data.sources.items()},
        "rows": dict(view.data.rows),
        "division": view.data.division,
        "boundary": view.data.boundary,
        "baseline": _baseline(view),
        "runs": list(view.lineage.runs),
        "steps": [
            {
                "node": step.execution.node,
                "execution": step.execution.id,
                "run": step.run,
                "from": list(step.upstream),
                "made": {"type": step.output.type, "id": step.output.id, "uri": step.output.uri} if step.output else None,
            }
            for step in view.steps
        ],
    }


def _baseline(view: LineageView) -> str:
    baseline = view.lineage.baseline()
    return f"model {baseline.id}, {baseline.uri}" if baseline else "none: no model had been blessed before"
