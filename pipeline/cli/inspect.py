"""`conveyor runs`, `show`, `report` and `lineage`: what ran, what it made, and where a version comes from."""

from __future__ import annotations

import json
import math
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli.completion import complete_run, complete_version
from pipeline.cli.costs import cost_document, print_costs, read_costs
from pipeline.cli.options import ConfigOption, Json, Overrides, read_config
from pipeline.cli.output import new_table, print_json, print_table
from pipeline.errors import StorageError

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.report.html.lineage import LineageView
    from pipeline.report.read.evaluation import Evaluation
    from pipeline.report.read.run_details import RunDetails
    from pipeline.runs.metadata import Store

_RunArgument = Annotated[
    str,
    typer.Argument(
        metavar="RUN",
        help="Its id, the beginning of one, `latest`, or v7 for the run that pushed version 7.",
        autocompletion=complete_run,
    ),
]


def runs(
    config: ConfigOption = None,
    overrides: Overrides = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many runs to list: the newest, or the best.")] = 20,
    sort: Annotated[
        str | None,
        typer.Option(
            metavar="METRIC", help="List the best runs first, by a metric of all rows, such as auc.", show_default=False
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """List the runs of the pipeline, newest first.

    Example: conveyor runs --limit 5
    """
    from pipeline.report import formats
    from pipeline.report.read.run_details import read_run_details
    from pipeline.runs.find import run_ids

    settings = read_config(config, overrides)
    newest = list(reversed(run_ids(settings)))
    # The best of all runs may be an old one.
    details = [read_run_details(settings, run_id) for run_id in (newest[:limit] if sort is None else newest)]
    for each in details:
        if each.damage:
            print(f"{each.damage.what} See: conveyor show {each.outcome.run_id}", file=sys.stderr)
    rows = [_run_row(each, _evaluation(each), sort) for each in details]
    if sort is not None:
        rows = _best_first(rows, sort)[:limit]
    if as_json:
        print_json(rows)
        return
    table = new_table("run", "state", "started", "duration", "data", "metric", "version", right=("duration", "metric"))
    for row in rows:
        metric = f"{row['metric']} {formats.metric(row['value'])}" if row["metric"] else ""
        started, duration = formats.moment(row["started"]), formats.seconds(row["seconds"])
        table.add_row(row["run"], row["state"], started, duration, row["data"], metric, row["version"])
    print_table(table)


def show(
    run: _RunArgument = "latest",
    config: ConfigOption = None,
    overrides: Overrides = None,
    cost: Annotated[
        bool, typer.Option("--cost", help="Also what its pods cost, by the prices of the configuration (`prices`).")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show a run: its nodes, what they made, its metrics, and what went wrong.

    Example: conveyor show latest

    Example: conveyor show v7 --cost
    """
    from rich.console import Console
    from rich.text import Text

    from pipeline.report.read.run_details import read_run_details
    from pipeline.report.summary import nodes_table, print_metrics, print_notes, print_rows, print_search, verdict_lines
    from pipeline.runs.find import find_run

    settings = read_config(config, overrides)
    details = read_run_details(settings, find_run(settings, run))
    costs = read_costs(settings, details) if cost else None
    currency = settings.prices.currency
    if as_json:
        print_json(_run_document(details) | ({} if costs is None else {"cost": cost_document(costs, currency)}))
        return
    console = Console(highlight=False, markup=False)
    console.print(verdict_lines(details), "", sep="\n")
    console.print(
        Text(f"Run {details.outcome.run_id} of {details.config.name}", style="bold"), nodes_table(details.outcome), "", sep="\n"
    )
    print_notes(details.outcome, details.folder, console)
    print_rows(details.data, console)
    print_search(details.tuning, console)
    if details.evaluation:
        print_metrics(details.evaluation, details.config.evaluation.min_slice_rows, console)
    table = new_table("node", "output", "id", "type", "where", right=("id",))
    for artifact in _artifacts(details):
        table.add_row(artifact["node"], artifact["output"], str(artifact["id"]), artifact["type"], artifact["uri"])
    if table.row_count:
        console.print(Text("Artifacts", style="bold"))
        print_table(table)
    if costs is not None:
        console.print("", Text("Cost", style="bold"), sep="\n")
        print_costs(costs, currency)


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
        _require_recorded(settings.serving_path / version, store)
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


def _require_recorded(version: Path, store: Store) -> None:
    """Makes sure that the store knows a version, where its folder says who pushed it."""
    from components.pusher.push_record import PushRecord
    from pipeline.errors import UsageError

    record = PushRecord.load(version)
    if record is not None and record.pipeline == store.pipeline and version.name not in store.pushed_versions():
        raise UsageError(
            f"Run {record.run} has pushed version {version.name}, and the metadata store does not know of it.",
            where=store.address,
            expected="the record of the push, which follows the version at once",
            seen=f"only {version}",
            fix="If the run was cut off in between, `conveyor run` records the push. If the store was restored from a copy, "
            "restore a newer one.",
        )


def _evaluation(details: RunDetails) -> Evaluation | None:
    """The evaluation of one of many runs: a damaged one is told, and hides no other run."""
    try:
        return details.evaluation
    except StorageError as error:
        print(f"The evaluation of run {details.outcome.run_id} cannot be read: {error.where}", file=sys.stderr)
        return None


def _best_first(rows: list[dict[str, Any]], metric: str) -> list[dict[str, Any]]:
    """The rows by their value, the best first; those without one last, as they were.

    Raises:
      UsageError: none of them has it.
    """
    from pipeline.contracts.metrics import higher_is_better
    from pipeline.errors import UsageError

    known = [row for row in rows if row["value"] is not None and math.isfinite(row["value"])]
    if not known:
        raise UsageError(
            f"No run has the metric {metric}.",
            where="--sort",
            expected="a metric that the Evaluator has computed",
            seen=metric,
            fix="`conveyor show latest --json` names them.",
        )
    known.sort(key=lambda row: row["value"], reverse=higher_is_better(metric) is not False)
    return [*known, *(row for row in rows if row not in known)]


def _run_row(details: RunDetails, evaluation: Evaluation | None, metric: str | None = None) -> dict[str, Any]:
    outcome = details.outcome
    metric = (metric or evaluation.primary_metric) if evaluation else ""
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
    from pipeline.runs.status import Problem

    evaluation = details.evaluation
    problem = Problem.of(details.damage) if details.damage else details.outcome.problem
    return {
        **_run_row(details, evaluation),
        "rows": dict(details.data.rows),
        "division": details.data.division,
        "boundary": details.data.boundary,
        "problem": problem.model_dump() if problem else None,
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
