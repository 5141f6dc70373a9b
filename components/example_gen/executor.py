"""The executor of ExampleGen: from the files that the driver has chosen to the splits of an `Examples` artifact."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from tfx.dsl.components.base import base_executor
from tfx.types import Artifact, artifact_utils

from components.example_gen import properties
from components.example_gen.columns import require_columns, require_label
from components.example_gen.division import WHOLE, Source, divide
from components.example_gen.earlier_runs import EarlierRuns
from components.example_gen.inputs import InputSpan, input_spans, require_content
from components.example_gen.objects import local_copies, told_by_address
from components.example_gen.output import Output
from components.example_gen.readers import Reader, open_reader
from components.example_gen.rules import ColumnRules
from components.example_gen.spans import SingleSplit
from components.example_gen.splitter import Whole, identity
from components.example_gen.table import Table
from pipeline.config import Csv, Split
from pipeline.contracts.schema import FILE_NAME, Schema, read_schema
from pipeline.errors import DataError
from pipeline.util.notes import note
from pipeline.util.progress import RowProgress

_LOG = logging.getLogger(__name__)
_MOST_WORKERS = 8


class Executor(base_executor.BaseExecutor):
    """Reads, encodes, splits and writes batch by batch, so that memory does not grow with the number of rows.

    Spans that an earlier run has stored are taken over as they are.
    """

    def Do(
        self,
        input_dict: dict[str, list[Artifact]],
        output_dict: dict[str, list[Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Writes the artifact under the output key `examples`.

        Raises:
          DataError: the input is empty or damaged, or contains values that the pipeline cannot learn from.
          StorageError: the output cannot be written, or an object store does not answer.
        """
        spans = input_spans(exec_properties)
        copies = local_copies(path for of_split in spans.values() for span in of_split for path in span.files)
        with told_by_address(copies):
            self._ingest(
                {name: _copied(of_split, copies) for name, of_split in spans.items()}, input_dict, output_dict, exec_properties
            )

    def _ingest(
        self,
        spans: dict[str, list[InputSpan]],
        input_dict: dict[str, list[Artifact]],
        output_dict: dict[str, list[Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        artifact = artifact_utils.get_single_instance(output_dict[properties.EXAMPLES])
        split = properties.split_from_json(exec_properties[properties.SPLIT])
        artifact.split_names = artifact_utils.encode_split_names(list(spans))
        artifact.set_string_custom_property(properties.PAYLOAD_FORMAT, properties.TF_EXAMPLE)
        artifact.set_string_custom_property(properties.OUTPUT_FORMAT, properties.TFRECORDS)

        paths = dict.fromkeys(path for of_split in spans.values() for span in of_split for path in span.files)
        csv = Csv.model_validate_json(exec_properties[properties.CSV])
        reader = open_reader(exec_properties[properties.FILE_FORMAT], list(paths), csv)
        if reader.dialect and (found := str(reader.dialect)):
            note(f"The table is read with {found}. The settings under data.csv change that.")
        pattern = exec_properties[properties.INPUT_PATTERN]
        rules = ColumnRules.model_validate_json(exec_properties[properties.COLUMNS])
        schema = _schema(input_dict[properties.SCHEMA]) if input_dict.get(properties.SCHEMA) else None
        if schema is not None:
            rules = rules.with_schema_of_model(schema)
        label = exec_properties.get(properties.LABEL)
        required = label if exec_properties[properties.UNLABELLED] == "drop" else None
        settings = _settings(exec_properties, reader, rules, required)
        earlier = EarlierRuns(artifact.uri, settings)
        workers = min(_MOST_WORKERS, os.cpu_count() or 1)
        with ThreadPoolExecutor(workers) as pool:
            table = Table.scan(reader, spans, earlier, pool, rules, required)
            if schema is not None:
                unneeded = json.loads(exec_properties[properties.UNNEEDED])
                require_columns(table.kinds, schema, unneeded, pattern)
            if label:
                require_label(label, table.kinds, pattern)
                rules.require_known(table.names)
            for choice in table.choices.values():
                note(choice)
            source = Source(table, spans.get("train", ()), pool, workers, label or "", pattern)
            division = WHOLE if isinstance(split, SingleSplit) else divide(split, source, label, has_spans="{SPAN}" in pattern)
            splitter, divided_by = division.splitter, identity(division.splitter)
            output = Output(artifact, exec_properties[properties.COMPRESSION], table, divided_by, pool)
            sources = _sources(spans, split)
            read = []
            progress = RowProgress("reading", sum(table.rows_of(span) for span, _ in sources))
            for span, targets in sources:
                stored = earlier.stored(span, table.decisions, divided_by)
                if stored:
                    output.take_over(span, targets, *stored)
                    progress.add(table.rows_of(span))
                else:
                    read.append(span)
                    encoded = progress.through(table.encoded(span, pool, ahead=workers))
                    output.write(span, targets, map(splitter.split, encoded))
            require_content(read)
            rows = output.close(settings)
        unlabelled = sum(table.rows_of(span) for span, _ in sources) - sum(rows.values()) - division.between
        if unlabelled:
            note(f"{unlabelled:,} of {table.rows:,} rows have no value of the label {label!r} and are left out.")
        _require_rows(rows, split, unlabelled)
        artifact.set_string_custom_property(properties.ROWS, json.dumps(rows))
        artifact.set_string_custom_property(properties.DIVISION, division.description)
        artifact.set_string_custom_property(properties.BOUNDARY, division.boundary)
        for text in (*division.notes, *division.notes_on(rows)):
            note(text)
        _LOG.info("Rows: %s.", ", ".join(f"{name} {count:,}" for name, count in rows.items()))


def _copied(spans: Sequence[InputSpan], copies: Mapping[str, str]) -> list[InputSpan]:
    """The spans with files that can be opened."""
    return [replace(span, files=tuple(copies[path] for path in span.files)) for span in spans]


def _settings(exec_properties: Mapping[str, Any], reader: Reader, rules: ColumnRules, required: str | None) -> str:
    """A digest of all that shards depend on besides the spans' content, how their columns are read and the splitter."""
    names = (properties.CODE_FINGERPRINT, properties.FILE_FORMAT, properties.COMPRESSION)
    known = ([exec_properties[name] for name in names], reader.dialect, rules.ignored, required)
    return hashlib.sha256(repr(known).encode()).hexdigest()


def _sources(spans: Mapping[str, Sequence[InputSpan]], split: Split | SingleSplit) -> list[tuple[InputSpan, dict[str, str]]]:
    """The spans to read, and the split for each part that the splitter makes of them."""
    if isinstance(split, SingleSplit) or split.method == "window":
        return [(span, {Whole.PART: name}) for name, of_split in spans.items() for span in of_split]
    return [(span, {name: name for name in spans}) for span in spans["train"]]


def _schema(artifacts: list[Artifact]) -> Schema:
    return Schema.of(read_schema(Path(artifact_utils.get_single_uri(artifacts), FILE_NAME)))


def _require_rows(rows: Mapping[str, int], split: Split | SingleSplit, unlabelled: int) -> None:
    empty = [name for name, count in rows.items() if count == 0]
    if empty:
        method = "" if isinstance(split, SingleSplit) else split.method
        can_stratify = method == "hash" and isinstance(split, Split) and split.stratify is None
        left_out = f"; without a label, left out: {unlabelled:,}" if unlabelled else ""
        raise DataError(
            f"The split {empty[0]!r} has no rows.",
            where="data.split",
            expected="at least one row in every split",
            seen=", ".join(f"{name}: {count:,}" for name, count in rows.items()) + left_out,
            fix="Set data.newest_span to an earlier span, whose rows have labels."
            if method == "window" and unlabelled
            else "Set data.split.stratify to true, which gives both splits rows."
            if can_stratify
            else "Add rows, or change data.split.eval_fraction in the configuration.",
        )
