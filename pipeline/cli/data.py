"""`conveyor data`: the data sets of the examples."""

from __future__ import annotations

import re
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.options import as_path
from pipeline.errors import UsageError

app = typer.Typer(help="Write the data sets of the examples.", no_args_is_help=True)

DEFAULT_DESTINATION = Path(".conveyor/data/flights")
"""The folder that examples/flights/pipeline.yaml reads, with its default workspace."""


class FileFormat(str, Enum):
    """The formats a data set can be written in."""

    PARQUET = "parquet"
    CSV = "csv"


@app.callback()
def data() -> None:
    """Write the data sets of the examples."""


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
