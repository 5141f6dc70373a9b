"""`conveyor labels`: what really came, joined to the log of predictions, and how good the predictions were."""

from __future__ import annotations

import datetime
import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.options import ConfigOption, Json, Overrides, as_path, read_config
from pipeline.cli.output import new_table, print_json, print_table
from pipeline.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd

    from pipeline.config import PipelineConfig
    from pipeline.monitoring.labels import Import
    from pipeline.monitoring.quality import LabelledQuality

app = typer.Typer(help="Join what really came to the log of predictions, and see how good these were.")


@app.command("import")
def import_(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="The table of labels: one file, or several by * and ?.", parser=as_path)
    ],
    config: ConfigOption = None,
    label: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="The column of the labels; that of the configuration when not given.")
    ] = None,
    key: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="The column with the keys that requests had; prediction_key when not given."),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace labels that are known and differ; without it, they are kept.")
    ] = False,
    as_json: Json = False,
    overrides: Overrides = None,
) -> None:
    """Join labels to logged rows: by the key of a row, or by the request's id and the row's number.

    Example: conveyor labels import arrived.csv --key order
    """
    from dataclasses import asdict

    from pipeline.monitoring.labels import LabelStore, import_labels
    from pipeline.monitoring.sources import log_of

    settings = read_config(config, overrides)
    column = label or settings.label
    log = log_of(settings)
    done = import_labels(log, LabelStore.of(settings), _read(settings, file, column, key), column, replace=replace)
    if as_json:
        print_json(asdict(done))
    else:
        _tell(done, settings.name)


@app.command()
def quality(
    config: ConfigOption = None,
    since: Annotated[str, typer.Option(metavar="MOMENT", help="Of predictions since: 30d, 12h, or a date.")] = "30d",
    version: Annotated[int | None, typer.Option(metavar="N", help="Of this version only.")] = None,
    textfile: Annotated[
        Path | None, typer.Option(metavar="FILE.prom", help="Write metrics for Prometheus, too.", parser=as_path)
    ] = None,
    as_json: Json = False,
    overrides: Overrides = None,
) -> None:
    """Show how good the predictions were, by version, day and slice, with the Evaluator's metrics and intervals of 95 %.

    Example: conveyor labels quality --since 90d
    """
    from dataclasses import asdict

    from pipeline.monitoring.labels import LabelStore
    from pipeline.monitoring.moments import UTC, Period, parse_moment
    from pipeline.monitoring.served import read_version
    from pipeline.monitoring.sources import log_of
    from pipeline.util.imports import quietly

    settings = read_config(config, overrides)
    period = Period(parse_moment(since, datetime.datetime.now(UTC), "--since"))
    log = log_of(settings)
    served = read_version(settings, None if version is None else str(version))
    with quietly():
        from pipeline.monitoring.quality import measure

        found = measure(settings, served.description, log, LabelStore.of(settings), period, version)
    if textfile is not None:
        _write(settings, found, textfile)
    if as_json:
        print_json(asdict(found))
    else:
        _print(found)


def _write(settings: PipelineConfig, found: LabelledQuality, textfile: Path) -> None:
    from pipeline.monitoring.served import read_version
    from pipeline.monitoring.textfile import render_quality
    from pipeline.util.files import READABLE, write

    judged = {}
    for group in found.groups:
        if group.by == "version":
            try:
                reference = read_version(settings, group.value).judged(group.primary)
            except UsageError:
                # It was pushed from elsewhere, or its run has been deleted.
                continue
            if reference is not None:
                judged[group.value] = reference
    write(textfile, render_quality(settings.name, found, judged, time.time()), READABLE)


def _read(config: PipelineConfig, file: Path, label: str, key: str | None) -> pd.DataFrame:
    """The columns of a table of labels that are needed: labels as those of training, keys and request ids as text."""
    import pyarrow as pa

    from components.example_gen.table import open_table
    from pipeline.contracts.prediction_log import KEY, REQUEST_ID, ROW
    from pipeline.monitoring.labels import require_columns

    named = key or KEY
    data = config.data.model_copy(update={"input": str(file.absolute()), "format": "auto", "columns": {}, "newest_span": None})
    there = open_table(data, skip_unreadable=True)
    types = {label: config.data.columns.get(config.label), named: "text", REQUEST_ID: "text"}
    known = {name: kind for name, kind in types.items() if kind and name in there.names}
    table = open_table(data.model_copy(update={"columns": known}), skip_unreadable=True)
    require_columns([KEY if name == named else name for name in table.kinds], label)
    wanted = [name for name in (label, named, REQUEST_ID, ROW) if name in table.kinds]
    frame = pa.Table.from_batches(table.batches(wanted)).to_pandas()
    return frame.rename(columns={named: KEY})


def _tell(done: Import, name: str) -> None:
    from pipeline.report import formats

    typer.echo(f"{name}: {done.new:,} of {done.given:,} labels are new")
    for count, text in (
        (done.known, "rows had the same label before"),
        (done.replaced, "rows had another label, which was replaced"),
        (done.twice, "labels are in the table again for the same row"),
        (done.contradicted, "labels contradict others, which were kept; --replace takes the new ones"),
        (done.unknown, "labels are of rows that were not logged"),
        (done.without_label, "rows of the table have no label"),
    ):
        if count:
            typer.echo(f"  {count:,} {text}")
    for each in done.contradictions:
        typer.echo(f"    {each.row}: {each.known} is known, {each.given} was given")
    if done.delays:
        least, middle, most = map(formats.number, done.delays)
        typer.echo(f"Labels came {middle} days after the predictions, {least} to {most}.")
    typer.echo("Next: conveyor labels quality")


def _print(found: LabelledQuality) -> None:
    from pipeline.report import formats

    primary = found.groups[0].primary
    others = [name for name in found.groups[0].metrics if name not in (primary, "example_count")]
    columns = ("rows", primary, "95 %", "estimate", *others)
    table = new_table("", *columns, right=columns)
    for each in found.groups:
        interval = f"{formats.metric(each.lower)} to {formats.metric(each.upper)}"
        values = [formats.metric(each.metrics.get(name)) for name in others]
        table.add_row(
            f"{each.by} {each.value}".strip(),
            formats.number(each.rows),
            formats.metric(each.metrics.get(primary)),
            interval,
            formats.number(None) if math.isnan(each.estimate) else formats.metric(each.estimate),
            *values,
        )
    print_table(table)
    share = formats.percent(found.labelled / found.logged if found.logged else 0.0)
    print(f"{found.labelled:,} of {found.logged:,} logged rows have a label, {share}")
    if found.unusable:
        print(f"{found.unusable:,} of them cannot be compared: the label is none of the model's, or the answer is not logged")
