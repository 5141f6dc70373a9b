"""The data, its splits and its schema."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from pipeline.config.section import ConfigPath, Section


class Split(Section):
    """How rows are divided into the splits `train` and `eval`."""

    method: Literal["window", "hash"] = "hash"
    """`window`: train on the spans before the newest ones, evaluate on the newest. `hash`: by a hash of each row."""
    train_spans: Annotated[int, Field(ge=1)] = 9
    """window: how many spans before the evaluation spans to train on; fewer are used while fewer exist."""
    eval_spans: Annotated[int, Field(ge=1)] = 1
    """window: how many of the newest spans to evaluate on."""
    eval_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """hash: the share of rows in `eval`, between 0 and 1."""
    spans: Annotated[int, Field(ge=1)] | None = None
    """hash: how many of the newest spans to read; all of them when not given."""


class Data(Section):
    """Where the rows come from."""

    input: ConfigPath
    """A file pattern: `*` and `?` as in a shell, `{SPAN}` and optionally `{VERSION}` for numbers in the path, of which
    the newest are read (of each span, its newest version)."""
    format: Literal["auto", "csv", "parquet", "tfrecord"] = "auto"
    """`auto` decides by the file name: .csv, .parquet, .tfrecord, each also with .gz where the format allows it."""
    split: Split = Split()
    """How rows are divided into `train` and `eval`."""
    newest_span: Annotated[int, Field(ge=0)] | None = None
    """Pretend that no span after this one exists: to repeat an earlier run, or to try one span. Newest when not given."""
    compression: Literal["gzip", "none"] = "gzip"
    """Compression of the TFRecord files that ExampleGen writes."""


class SchemaSource(Section):
    """Where the schema comes from, and what happens to data that breaks it."""

    path: ConfigPath | None = None
    """A curated schema in protobuf text format (.pbtxt). Inferred from the training data when not given."""
    on_anomaly: Literal["stop", "warn"] = "stop"
    """`stop`: a run whose data breaks the schema ends before training. `warn`: it says so and goes on."""
