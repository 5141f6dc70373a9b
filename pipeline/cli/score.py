"""`conveyor score`: predictions for a table."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.interruption import ending_on_signals
from pipeline.cli.options import ConfigArgument, Overrides, as_path, read_config
from pipeline.contracts.model import PROBABILITIES, SCORE, SCORED_OUTPUT_KEY
from pipeline.errors import UsageError
from pipeline.util.paths import is_object

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq
    from rich.table import Table


_PREVIEW_ROWS = 5
_PREVIEW_FEATURES = 4


class FileFormat(str, Enum):
    """The formats that a table can be read in."""

    AUTO = "auto"
    CSV = "csv"
    JSON = "json"
    PARQUET = "parquet"
    TFRECORD = "tfrecord"


def score(
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE.parquet", help="The file to write.", parser=as_path)],
    config: ConfigArgument = None,
    input_pattern: Annotated[
        str | None, typer.Option("--input", "-i", metavar="PATTERN", help="The table: a file or s3://, or several by * and ?.")
    ] = None,
    span: Annotated[int | None, typer.Option(help="Instead of --input: this span of the configuration's data.")] = None,
    file_format: Annotated[FileFormat, typer.Option("--format", help="Of the table.")] = FileFormat.AUTO,
    overrides: Overrides = None,
) -> None:
    """Score a table with the newest pushed version: the table as it came, with predictions beside each row. It needs no label.

    Without --input or --span, the table is the data of the configuration, of spans the newest.

    Example: conveyor score --input 'new/*.parquet' --output scored.parquet
    """
    from pipeline.local.scoring import check_destination, runs_folder
    from pipeline.local.scoring import score as score_table

    settings = read_config(config, overrides)
    if input_pattern is not None and span is not None:
        raise UsageError(
            "It is not clear which table to score.",
            expected="--input or --span, or neither for the data of the configuration",
            seen="both",
            fix="Give one of them, as in: conveyor score --input 'new/*.parquet' --output scored.parquet",
        )
    destination = check_destination(output)

    import pyarrow.parquet as pq
    from rich.console import Console

    from pipeline.local.progress import observe

    console = Console()
    with ending_on_signals(), observe(console, runs_folder(settings)) as observer:
        score_table(
            settings,
            destination,
            observer,
            input_pattern=None if input_pattern is None else _absolute(input_pattern),
            span=span,
            file_format=file_format.value,
        )
    with pq.ParquetFile(destination) as table:
        outputs = _outputs(table)
        first = next(table.iter_batches(_PREVIEW_ROWS))
        version = first.column(outputs["model_version"])[0].as_py()
        console.print(_preview(first, [name for output, name in outputs.items() if output != PROBABILITIES]))
        console.print(
            f"{table.metadata.num_rows:,} rows scored with version {version} of {settings.name}{_mean(table, outputs)}"
        )
    console.print(f"Predictions: {destination}", soft_wrap=True, markup=False)
    console.print(f"Next: conveyor lineage {version}", highlight=False)


def _absolute(pattern: str) -> str:
    """The table as `score` of the local runner takes it."""
    return pattern if is_object(pattern) else str(as_path(pattern).absolute())


def _outputs(table: pq.ParquetFile) -> dict[str, str]:
    """The columns of the predictions, by their plain names."""
    marked = {field.name: (field.metadata or {}).get(SCORED_OUTPUT_KEY) for field in table.schema_arrow}
    return {output.decode(): name for name, output in marked.items() if output}


def _mean(table: pq.ParquetFile, outputs: dict[str, str]) -> str:
    """The mean of the positive class's probability, or of the predicted value; nothing for more than two classes."""
    import pyarrow.compute as pc

    output = SCORE if SCORE in outputs else "prediction"
    if "probability" in outputs and output != SCORE:
        return ""
    total = sum(pc.sum(batch.column(0)).as_py() for batch in table.iter_batches(columns=[outputs[output]]))
    return f", mean {output} {total / table.metadata.num_rows:.4f}"


def _preview(rows: pa.RecordBatch, outputs: list[str]) -> Table:
    from rich.markup import escape
    from rich.table import Table
    from rich.text import Text

    names = rows.schema.names
    shown = [name for name in names if name not in outputs][:_PREVIEW_FEATURES] + outputs
    title = f"The first rows, {len(shown)} of {len(names)} columns"
    preview = Table(*map(escape, shown), title=title, title_justify="left")
    for row in rows.select(shown).to_pylist():
        preview.add_row(*(Text(_cell(row[name])) for name in shown))
    return preview


def _cell(value: object) -> str:
    if isinstance(value, list):
        return "  ".join(map(_cell, value))
    if isinstance(value, float):
        return f"{value:.4g}"
    return "" if value is None else str(value)
