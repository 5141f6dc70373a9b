"""Prints the summary that the terminal shows at the end of a run."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from pipeline.config import PipelineConfig
from pipeline.report import formats
from pipeline.report.html.page import FILE_NAME
from pipeline.report.read.data import Data
from pipeline.report.read.evaluation import Evaluation
from pipeline.report.read.run_details import RunDetails, read_run_details
from pipeline.report.read.slices import Comparison
from pipeline.report.read.thresholds import ThresholdResult
from pipeline.report.read.tuning import Tuning
from pipeline.report.verdict import Tone, judge
from pipeline.runs.status import RunOutcome, RunState

_WORST_SLICES = 3
# Of one node; its log and the report have all of them.
_MOST_NOTES = 12
_TONES = {Tone.GOOD: ("✓", "bold green"), Tone.BAD: ("✗", "bold red"), Tone.NEUTRAL: ("·", "bold")}
_TRENDS = {"better": "green", "worse": "red", "": "dim"}


def print_summary(outcome: RunOutcome, config: PipelineConfig, console: Console) -> None:
    """Prints the end of a run: nodes, metrics, the verdict, where the report is and what to do next.

    Notes have been printed while the run went on. Of a run that failed, it prints only the nodes and the report: the command
    prints the error itself.

    Args:
      outcome: the run's outcome.
      config: the pipeline's configuration.
      console: where to print.
    """
    details = read_run_details(config, outcome.run_id)
    if outcome.nodes:
        console.print(Text(f"Run {outcome.run_id} of {outcome.pipeline}", style="bold"), nodes_table(outcome), "", sep="\n")
    print_rows(details.data, console)
    print_search(details.tuning, console)
    if details.evaluation:
        print_metrics(details.evaluation, details.config.evaluation.min_slice_rows, console)
    if outcome.state is not RunState.FAILED:
        console.print(verdict_lines(details))
    for name, pointer in _pointers(details):
        # Unwrapped, so that a path can be clicked and copied.
        console.print(Text.assemble((f"  {name:<8}", "dim"), pointer), soft_wrap=True)


def nodes_table(outcome: RunOutcome) -> Table:
    """The nodes with state and time."""
    table = _table()
    table.add_column("node")
    table.add_column("state")
    table.add_column("time", justify="right")
    for name, node in outcome.nodes.items():
        seconds = formats.seconds(node.seconds) if node.started else formats.DASH
        table.add_row(name, Text(node.state.value, style=formats.STATE_STYLES[node.state][1]), seconds)
    if outcome.ended:
        table.add_section()
        table.add_row("in all", "", formats.seconds(outcome.ended - outcome.started))
    return table


def print_notes(outcome: RunOutcome, folder: Path, console: Console) -> None:
    """Prints what the nodes told in a run, one line each, and nothing if they told nothing.

    Args:
      outcome: the run's outcome.
      folder: the run's folder, with the nodes' logs.
      console: where to print.
    """
    told = {name: node.notes for name, node in outcome.nodes.items() if node.notes}
    for name, notes in told.items():
        more = len(notes) - _MOST_NOTES
        console.print(Text(f"{name} notes", style="bold"))
        for note in notes[:_MOST_NOTES]:
            console.print(Text(f"  {note}"), soft_wrap=True)
        if more > 0:
            console.print(Text(f"  and {more} more, in {folder / f'{name}.log'}", style="dim"), soft_wrap=True)
    if told:
        console.print()


def print_rows(data: Data, console: Console) -> None:
    """Prints how many rows each split has and how they were divided; nothing where they were not counted."""
    if data.rows:
        console.print(Text.assemble(("Rows ", "bold"), data.rows_text), "", sep="\n", soft_wrap=True)


def print_search(tuning: Tuning | None, console: Console) -> None:
    """Prints what a search for hyperparameters gained; nothing where there was none."""
    if tuning:
        console.print(Text.assemble(("Search ", "bold"), tuning.gain), "", sep="\n", soft_wrap=True)


def print_metrics(evaluation: Evaluation, min_slice_rows: int, console: Console) -> None:
    """Prints the metrics of all rows with their thresholds, and the slices where the candidate is weakest."""
    primary = evaluation.primary_metric
    overall = _comparison_table(evaluation, "metric")
    overall.add_column("thresholds")
    shown = dict.fromkeys([primary, *(check.metric for check in evaluation.checks)])
    for name in shown:
        verdicts = [_check_text(check) for check in evaluation.checks if check.metric == name]
        overall.add_row(name, *_cells(evaluation, evaluation.overall.metric(name)), Text("  ").join(verdicts))
    heading = f"Metrics on {formats.number(evaluation.overall.rows)} rows"
    undefined = [f"{name} is undefined: {why.reason}." for name in shown if (why := evaluation.overall.undefined(name))]
    remarks = [Text(each, style="yellow") for each in (*undefined, evaluation.uncertainty) if each]
    console.print(Text(heading, style="bold"), overall, *remarks, "", sep="\n")
    worst = evaluation.worst_slices(_WORST_SLICES, min_slice_rows)
    if worst:
        slices = _comparison_table(evaluation, "slice")
        slices.add_column("rows", justify="right")
        for each in worst:
            slices.add_row(Text(each.label), *_cells(evaluation, each.metric(primary)), formats.number(each.rows))
        console.print(Text(f"Weakest slices by {primary}", style="bold"), slices, "", sep="\n")


def verdict_lines(details: RunDetails) -> Group:
    """The verdict, its reasons and the details of an error."""
    verdict = judge(details)
    mark, style = _TONES[verdict.tone]
    error = Table.grid(padding=(0, 2))
    error.add_column(style="bold")
    error.add_column(overflow="fold")
    for name, text in verdict.details:
        error.add_row(f"  {name}", Text(text))
    return Group(Text(f"{mark} {verdict.headline}", style=style), *(Text(f"  {each}") for each in verdict.reasons), error)


def _pointers(details: RunDetails) -> list[tuple[str, Text]]:
    pointers = []
    if details.version and details.lineage:
        pointers.append(("model", _link(details.lineage.destination)))
    report = details.folder / FILE_NAME
    if report.is_file():
        pointers.append(("report", _link(str(report))))
    return [*pointers, ("next", _next_step(details))]


def _next_step(details: RunDetails) -> Text:
    if details.version:
        command, purpose = "conveyor serve", f"answers with it; conveyor lineage {details.version} shows its history"
    elif details.outcome.state in (RunState.FAILED, RunState.INTERRUPTED):
        command, purpose = "the same command", "goes on where this run stopped, once the cause is fixed"
    else:
        command, purpose = f"conveyor show {details.outcome.run_id}", "shows every artifact and metric"
    return Text.assemble((command, "bold"), f" {purpose}")


def _link(path: str) -> Text:
    return Text(path, style=f"link file://{path}")


def _check_text(check: ThresholdResult) -> Text:
    mark, style = ("✓", "green") if check.holds else ("✗", "bold red")
    versus = "baseline" if check.against_baseline else check.versus
    against, rows = f" vs {versus}" if versus else "", f" for {check.slice}" if check.slice else ""
    return Text(f"{mark} {check.bound}{against}{rows}", style=style)


def _comparison_table(evaluation: Evaluation, subject: str) -> Table:
    table = _table()
    table.add_column(subject)
    table.add_column("candidate", justify="right")
    if evaluation.has_baseline:
        table.add_column("baseline", justify="right")
        table.add_column("difference", justify="right")
    return table


def _cells(evaluation: Evaluation, comparison: Comparison) -> list[RenderableType]:
    cells: list[RenderableType] = [formats.metric(comparison.candidate)]
    if evaluation.has_baseline:
        difference = Text(formats.difference(comparison.difference), style=_TRENDS[comparison.trend])
        cells += [formats.metric(comparison.baseline), difference]
    return cells


def _table() -> Table:
    return Table(box=None, padding=(0, 3, 0, 0), header_style="dim")
