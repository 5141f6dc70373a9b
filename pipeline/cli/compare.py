"""`conveyor compare`: runs beside each other."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.completion import complete_run
from pipeline.cli.options import ConfigOption, Json, Overrides, as_path, read_config
from pipeline.cli.output import new_table, print_json, print_table
from pipeline.errors import UsageError, WorseError

if TYPE_CHECKING:
    from pipeline.config import PipelineConfig
    from pipeline.report.compare.comparison import RunsComparison

_STYLES = {"better": "green", "worse": "red", "": ""}


def compare(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN RUN …",
            help="Two or more: ids, beginnings of ids, `latest`, or v7 for the run that pushed version 7.",
            autocompletion=complete_run,
        ),
    ],
    config: ConfigOption = None,
    overrides: Overrides = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown, such as for a comment on a change.")] = False,
    page: Annotated[
        Path | None, typer.Option(metavar="FILE.html", help="Write it as a page, too.", parser=as_path, show_default=False)
    ] = None,
    flips: Annotated[
        bool, typer.Option("--flips", help="Ask the models about the same rows, too: which have another class now?")
    ] = False,
    fail_if_worse: Annotated[
        bool,
        typer.Option(
            "--fail-if-worse",
            help="End with exit code 5 if, on the same rows, the last model is worse than max_regression allows.",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Show what differs between runs, and only that: data, schema, settings, code, metrics, slices and times.

    Changes are those from the first run that is named to the last.

    Example: conveyor compare v7 v8
    """
    from pipeline.report.compare.comparison import compare as compare_runs
    from pipeline.report.read.run_details import read_run_details
    from pipeline.runs.find import find_run

    settings = read_config(config, overrides)
    ids = list(dict.fromkeys(find_run(settings, run) for run in runs))
    if len(ids) < 2:
        raise UsageError(
            "There is only one run to compare.",
            where="the command line",
            expected="two runs or more",
            seen=" ".join(runs),
            fix="Name another one; `conveyor runs` lists them.",
        )
    if markdown and as_json:
        raise UsageError("Both Markdown and JSON were asked for.", where="--markdown and --json", fix="Leave one of them out.")
    comparison = compare_runs([read_run_details(settings, run_id) for run_id in ids], predictions=flips)
    if page is not None:
        from pipeline.report.html.comparison_page import render_comparison
        from pipeline.util import files

        files.write(page, render_comparison(comparison))
    if as_json:
        print_json(comparison.document())
    elif markdown:
        from pipeline.report.compare.markdown import render_markdown

        print(render_markdown(comparison), end="")
    else:
        _print(comparison)
        if page is not None:
            print(f"Page: {page}")
    if fail_if_worse:
        _require_not_worse(comparison, settings)


def _require_not_worse(comparison: RunsComparison, config: PipelineConfig) -> None:
    row = comparison.primary
    if row is None or row.trend != "worse":
        return
    threshold = config.evaluation.thresholds.get(row.subject)
    most = (threshold.max_regression if threshold else None) or 0.0
    if abs(row.values[-1] - row.values[0]) > most:
        raise WorseError(
            f"The last model is worse than the first in {row.subject}.",
            where=f"{comparison.runs[0].title} and {comparison.runs[-1].title}",
            expected=f"at most {most:g} worse, which is evaluation.thresholds.{row.subject}.max_regression",
            seen=f"{row.shown[0]} and {row.shown[-1]}: {row.change}",
            fix="The comparison says what else differs. Allow for it only when you know why: raise max_regression.",
        )


def _print(comparison: RunsComparison) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, markup=False)
    titles = [run.title for run in comparison.runs]
    console.print(comparison.sentence, "", sep="\n")
    for section in comparison.sections:
        console.print(Text(section.title, style="bold"))
        if section.rows:
            table = new_table("", *titles, *(["change"] if section.has_changes else []))
            for row in section.rows:
                change = [Text(row.change, style=_STYLES[row.trend])] if section.has_changes else []
                table.add_row(Text(row.subject), *map(Text, row.shown), *change)
            print_table(table)
        for note in section.notes:
            console.print(Text(note, style="dim"), soft_wrap=True)
        console.print()
