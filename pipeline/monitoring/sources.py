"""The rows that are compared: those of training, of a span, or of the gateway's log."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.config import PipelineConfig
from pipeline.contracts.model import ColumnType
from pipeline.errors import UsageError
from pipeline.monitoring.moments import Period, parse_moment
from pipeline.monitoring.prediction_files import PredictionFiles, open_log

if TYPE_CHECKING:
    import pyarrow as pa

ALWAYS = Period()
LOG, SPAN, VERSION = "log", "span", "version"

_SOURCE = re.compile(r"(log)(?::(.*?)(?:\.\.(.*))?)?|(span):(\d+)|(version)(?::(\d+))?")


@dataclass(frozen=True)
class Source:
    """Rows by where they are.

    Attributes:
      kind: `log`, `span` or `version`.
      number: of a span or a version; None for the version that is watched.
      period: the times of logged rows.
    """

    kind: str
    number: int | None = None
    period: Period = ALWAYS

    def __str__(self) -> str:
        if self.kind == LOG:
            return f"log, {self.period}"
        return f"{self.kind} {self.number}" if self.number is not None else "the rows it was trained on"


def parse_source(text: str, now: datetime.datetime, where: str) -> Source:
    """Reads a source: `log`, `log:FROM..TO`, `span:N` or `version:N`.

    Args:
      text: what a person wrote.
      now: the present, from which periods such as `7d` are reckoned.
      where: the option, for messages.

    Raises:
      UsageError: it is something else, or one of its moments is.
    """
    match = _SOURCE.fullmatch(text.strip())
    if match is None:
        raise UsageError(
            "It is not clear which rows are meant.",
            where=where,
            expected="log, log:FROM..TO, span:N or version:N",
            seen=text,
            fix=f"Write {where} log:7d.. for what was logged in the last seven days.",
        )
    log, start, end, span, span_number, _, version_number = match.groups()
    if log:
        period = Period(*(parse_moment(each, now, where) if each else None for each in (start, end)))
        return Source(LOG, period=period)
    number = span_number or version_number
    return Source(SPAN if span else VERSION, None if number is None else int(number))


def log_of(config: PipelineConfig) -> PredictionFiles:
    """The gateway's log of predictions.

    Raises:
      UsageError: there is none.
    """
    folder = config.gateway.log.folder
    return open_log(Path(config.resolve(folder)) if folder else None, config.name)


def span_rows(config: PipelineConfig, number: int, types: Mapping[str, ColumnType]) -> Iterator[pa.RecordBatch]:
    """The rows of a span, read as ExampleGen would, with the types that the model takes.

    Args:
      config: the pipeline's configuration.
      number: the span.
      types: the types of the columns that the model takes, by name.

    Raises:
      UsageError: the data has no spans, or not this one.
      DataError: a file is damaged, or a column is of another type than the model's.
    """
    from components.example_gen.spans import SingleSplit, find_spans
    from components.example_gen.table import open_table
    from pipeline.contracts.schema import Schema, SchemaFeature

    pattern = config.resolve(config.data.input)
    there = [span.number for span in find_spans(pattern)] if "{SPAN}" in pattern else []
    if number not in there:
        raise UsageError(
            f"There is no span {number}.",
            where=pattern,
            expected=f"one of {', '.join(map(str, there))}" if there else "a pattern with {SPAN} in data.input",
            seen=str(number),
            fix="Name a span that exists." if there else "Compare what was logged: conveyor monitor --rows log",
        )
    schema = Schema(tuple(SchemaFeature(name, "bytes" if kind == "string" else kind) for name, kind in types.items()))
    data = config.data.model_copy(update={"input": pattern, "newest_span": number})
    ignored = {config.label, *config.weights, *config.unread} - set(types)
    table = open_table(data, split=SingleSplit(), ignored=ignored, model=schema)
    return table.batches([name for name in table.kinds if name in types])
