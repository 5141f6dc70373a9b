"""`conveyor data`: the data sets of the examples, and the versions of the data that runs have read."""

from __future__ import annotations

import re
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.completion import complete_run
from pipeline.cli.options import ConfigOption, Json, Overrides, as_path, read_config
from pipeline.cli.output import new_table, print_json, print_table
from pipeline.errors import UsageError

if TYPE_CHECKING:
    from pipeline.runs.data_version import SpanVersion

app = typer.Typer(help="Write the data sets of the examples; compare data with what runs have read.", no_args_is_help=True)

DEFAULT_DESTINATION = Path(".conveyor/data/flights")
"""The folder that examples/flights/pipeline.yaml reads, with its default workspace."""


class FileFormat(str, Enum):
    """The formats a data set can be written in."""

    PARQUET = "parquet"
    CSV = "csv"


@app.callback()
def data() -> None:
    """Write the data sets of the examples; compare data with what runs have read."""


@app.command()
def verify(
    what: Annotated[
        str,
        typer.Argument(
            metavar="[RUN]",
            help="A run: its id, the beginning of one, `latest`, or `v7` for the one that pushed version 7.",
            autocompletion=complete_run,
        ),
    ] = "latest",
    config: ConfigOption = None,
    overrides: Overrides = None,
    as_json: Json = False,
) -> None:
    """Compare the spans that a run has read with what is in their files now, byte by byte. Exit code 3 if a span differs.

    Example: conveyor data verify v7
    """
    from pipeline import nodes
    from pipeline.errors import DataError
    from pipeline.report.read.run_details import read_run_details
    from pipeline.runs import data_version
    from pipeline.runs.find import find_run

    settings = read_config(config, overrides)
    run_id = find_run(settings, what)
    details = read_run_details(settings, run_id)
    example_gen = details.origins.get(nodes.EXAMPLE_GEN.id) or details.run.executions.get(nodes.EXAMPLE_GEN.id)
    if example_gen is None:
        raise UsageError(
            f"Run {run_id} has read no data.", where=str(details.folder), fix="`conveyor runs` lists those that are complete."
        )
    fingerprint, spans = data_version.fingerprint(example_gen), list(data_version.compare(example_gen))
    if as_json:
        print_json({"run": run_id, **data_version.to_document(example_gen, spans)})
    else:
        _show(run_id, fingerprint, spans)
    changed = [span for span in spans if not span.is_same]
    if changed:
        first = changed[0]
        raise DataError(
            "A span is not what the run has read."
            if len(changed) == 1
            else f"{len(changed)} spans are not what the run has read.",
            where=_place(first),
            expected=first.recorded,
            seen=first.seen or "a file is gone or cannot be read",
            fix="Restore the files from a copy, or run on what is there now: conveyor run",
        )


def _place(span: SpanVersion) -> str:
    """Where a difference is: the fingerprint of a span does not tell which of its files has another content."""
    if span.missing or len(span.files) == 1:
        return (span.missing or span.files)[0]
    return f"one or more of {len(span.files)} files, {span.files[0]} to {span.files[-1]}"


def _show(run_id: str, fingerprint: str, spans: list[SpanVersion]) -> None:
    print(f"Run {run_id} has read {fingerprint}")
    table = new_table("span", "files", "is", "was read as", right=("span", "files"))
    for span in spans:
        now = "the same" if span.is_same else "gone" if span.missing else "changed"
        table.add_row("" if span.number is None else str(span.number), str(len(span.files)), now, span.recorded)
    print_table(table)


@app.command()
def flights(
    destination: Annotated[
        Path, typer.Option(help="The folder to write to.", metavar="FOLDER", parser=as_path)
    ] = DEFAULT_DESTINATION,
    format: Annotated[FileFormat, typer.Option(help="The format of the files.")] = FileFormat.PARQUET,
    if_missing: Annotated[bool, typer.Option("--if-missing", help="Keep files that exist already.")] = False,
    months: Annotated[str, typer.Option(help="A month, or the first and the last one.", metavar="M[-N]")] = "1-12",
) -> None:
    """Write the flights that left New York in 2013, one file for each month.

    Each row is a scheduled flight with the weather at its departure and its plane; `late` is the label.

    Example: conveyor data flights --months 1-3 --format csv
    """
    selected = parse_months(months)

    from pipeline.datasets.flights import write_spans

    files = write_spans(destination, format=format.value, months=selected, keep_existing=if_missing)
    written = [file for file in files if file.written]
    for file in written:
        typer.echo(f"  span {file.span}  {file.rows:>7,} rows  {file.num_bytes / 1e6:5.2f} MB  {file.path}")
    rows, num_bytes = sum(file.rows for file in files), sum(file.num_bytes for file in files)
    new = "all new" if len(written) == len(files) else f"{len(written)} new"
    spans = "1 span" if len(files) == 1 else f"{len(files)} spans"
    typer.echo(f"{spans} ({new}), {rows:,} rows, {num_bytes / 1e6:.1f} MB in {destination}")
    typer.echo(f"Next: {_next_command(destination, format)}")


def parse_months(text: str) -> range:
    """Reads `M` or `M-N`, months from 1 to 12.

    Raises:
      UsageError: the text is neither.
    """
    match = re.fullmatch(r"(\d+)(?:-(\d+))?", text)
    if match:
        first = int(match[1])
        months = range(first, int(match[2] or first) + 1)
        if months and months[0] >= 1 and months[-1] <= 12:
            return months
    raise UsageError(
        "The months cannot be read.",
        where="--months",
        expected="a month from 1 to 12, or the first and the last one: 1-9",
        seen=text,
        fix="For example: conveyor data flights --months 1-12",
    )


def _next_command(destination: Path, format: FileFormat) -> str:
    command = "conveyor run examples/flights/pipeline.yaml"
    if destination == DEFAULT_DESTINATION and format is FileFormat.PARQUET:
        return command
    return f"{command} --set data.input='{destination.absolute()}/span-{{SPAN}}/flights.{format.value}'"
