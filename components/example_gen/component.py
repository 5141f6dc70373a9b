"""The ExampleGen node."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import ClassVar, Literal

from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import BaseChannel, channel, component_spec, standard_artifacts

from components.example_gen import properties
from components.example_gen.driver import Driver
from components.example_gen.executor import Executor
from components.example_gen.rules import ColumnRules
from components.example_gen.spans import SingleSplit
from pipeline.config import Csv, Split
from pipeline.util.paths import is_object, require_path


class ArrowExampleGenSpec(component_spec.ComponentSpec):
    """The node's inputs, outputs and parameters."""

    PARAMETERS: ClassVar = {
        properties.INPUT_PATTERN: component_spec.ExecutionParameter(type=str),
        properties.FILE_FORMAT: component_spec.ExecutionParameter(type=str),
        properties.CSV: component_spec.ExecutionParameter(type=str),
        properties.COLUMNS: component_spec.ExecutionParameter(type=str),
        properties.SPLIT: component_spec.ExecutionParameter(type=str),
        properties.COMPRESSION: component_spec.ExecutionParameter(type=str),
        properties.LABEL: component_spec.ExecutionParameter(type=str, optional=True),
        properties.UNLABELLED: component_spec.ExecutionParameter(type=str),
        properties.NEWEST_SPAN: component_spec.ExecutionParameter(type=int, optional=True),
        properties.UNNEEDED: component_spec.ExecutionParameter(type=str, optional=True),
        properties.DEMANDED: component_spec.ExecutionParameter(type=str),
    }
    INPUTS: ClassVar = {properties.SCHEMA: component_spec.ChannelParameter(type=standard_artifacts.Schema, optional=True)}
    OUTPUTS: ClassVar = {properties.EXAMPLES: component_spec.ChannelParameter(type=standard_artifacts.Examples)}


class ArrowExampleGen(base_component.BaseComponent):
    """Reads delimited text, JSON, Parquet or TFRecord files through Arrow into tf.Examples.

    Its output `examples` keeps the contract of TFX's stock ExampleGens (split names, span, version, fingerprint, payload
    and file format), so that every component reads it. The types of columns are those of the table in
    `components.shared.examples.kinds`.

    Args:
      input_pattern: `*` and `?` as in a shell, {SPAN} and {VERSION} for numbers; on a local or mounted file system, or
        s3:// or gs://.
      file_format: `csv` for delimited text, `json`, `parquet`, `tfrecord`, or `auto`, which goes by the files' names.
      csv: how delimited text is read.
      columns: what is known of columns besides their values.
      split: how rows are divided into `train` and `eval`, or into one split.
      label: the column that must be in the data; None for a table without a label.
      unlabelled: whether rows without a value of the label are an error for later components (`refuse`) or left out (`drop`).
      newest_span: the newest span to read; when None, the newest that exists.
      compression: how the files are compressed that are written: `gzip` or `none`.
      schema: the schema of the data that the model was trained on which is to score the table; columns are stored with
        its types.
      unneeded: columns of the schema that need not be in the data.
      demanded_fingerprint: the only content to read, as `input_fingerprint` of the examples has it; any when None.

    Raises:
      UsageError: `input_pattern` is an address with another scheme.

    Example:
      ArrowExampleGen("/data/flights/{SPAN}.parquet", split=Split(method="window", train_spans=9), label="late")
    """

    SPEC_CLASS = ArrowExampleGenSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)
    DRIVER_CLASS = Driver

    def __init__(
        self,
        input_pattern: str,
        file_format: str = "auto",
        csv: Csv = Csv(),  # noqa: B008 - frozen
        columns: ColumnRules = ColumnRules(),  # noqa: B008 - frozen
        split: Split | SingleSplit = Split(),  # noqa: B008 - frozen
        label: str | None = None,
        unlabelled: Literal["refuse", "drop"] = "refuse",
        newest_span: int | None = None,
        compression: str = "gzip",
        schema: BaseChannel | None = None,
        unneeded: Sequence[str] = (),
        demanded_fingerprint: str | None = None,
    ) -> None:
        if not is_object(input_pattern):
            require_path(input_pattern, where="data.input")
        super().__init__(
            ArrowExampleGenSpec(
                input_pattern=input_pattern,
                file_format=file_format,
                csv=csv.model_dump_json(exclude_none=True),
                columns=columns.model_dump_json(exclude_defaults=True),
                split=properties.split_to_json(split),
                label=label,
                unlabelled=unlabelled,
                newest_span=newest_span,
                compression=compression,
                schema=schema,
                unneeded=json.dumps(sorted(unneeded)) if schema else None,
                demanded_fingerprint=demanded_fingerprint or "",
                examples=channel.OutputChannel(
                    standard_artifacts.Examples, producer_component=self, output_key=properties.EXAMPLES
                ),
            )
        )
