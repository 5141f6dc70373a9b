"""Turns the files that the driver has chosen into the splits of an `Examples` artifact."""

from __future__ import annotations

import json
import logging
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor as Pool
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import pyarrow as pa
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx.dsl.components.base import base_executor
from tfx.types import Artifact, artifact_utils
from tfx.utils import io_utils

from components.example_gen import properties
from components.example_gen.columns import FileSummary, Kind, reconcile, require_label
from components.example_gen.conform import conform
from components.example_gen.encoder import ColumnError, encode
from components.example_gen.reader import READERS
from components.example_gen.spans import SingleSplit
from components.example_gen.splitter import Hashed, Splitter, Whole
from components.example_gen.writer import SplitWriter
from pipeline.config import Split
from pipeline.errors import DataError

_LOG = logging.getLogger(__name__)
_MOST_WORKERS = 8
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class Executor(base_executor.BaseExecutor):
    """Reads, encodes, splits and writes batch by batch, so that memory does not grow with the number of rows."""

    def Do(
        self,
        input_dict: dict[str, list[Artifact]],
        output_dict: dict[str, list[Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Writes the artifact under the output key `examples`.

        Raises:
          DataError: the input is empty, damaged, or holds what the pipeline cannot learn from.
          StorageError: the output cannot be written.
        """
        artifact = artifact_utils.get_single_instance(output_dict[properties.EXAMPLES])
        files: dict[str, list[str]] = json.loads(exec_properties[properties.INPUT_FILES])
        split = properties.split_from_json(exec_properties[properties.SPLIT])
        artifact.split_names = artifact_utils.encode_split_names(list(files))
        artifact.set_string_custom_property(properties.PAYLOAD_FORMAT, properties.TF_EXAMPLE)
        artifact.set_string_custom_property(properties.OUTPUT_FORMAT, properties.TFRECORDS)

        workers = min(_MOST_WORKERS, os.cpu_count() or 1)
        with ThreadPoolExecutor(workers) as pool:
            table = _Table.scan(exec_properties[properties.FILE_FORMAT], files, pool)
            if label := exec_properties.get(properties.LABEL):
                require_label(label, table.kinds, exec_properties[properties.INPUT_PATTERN])
            if schemas := input_dict.get(properties.SCHEMA):
                unneeded = json.loads(exec_properties[properties.UNNEEDED])
                table.kinds = conform(table.kinds, _read_schema(schemas), unneeded, exec_properties[properties.INPUT_PATTERN])
            writers = {
                name: SplitWriter(artifact_utils.get_split_uri([artifact], name), exec_properties[properties.COMPRESSION], pool)
                for name in files
            }
            for paths, splitter in _sources(files, split):
                for examples in _in_order(pool, table.encode, table.batches(paths), ahead=workers):
                    for name, rows in splitter.split(examples).items():
                        writers[name].write(rows)
            for writer in writers.values():
                writer.close()
        rows = {name: writer.rows for name, writer in writers.items()}
        _require_rows(rows)
        artifact.set_string_custom_property(properties.ROWS, json.dumps(rows))
        _LOG.info("Rows: %s.", ", ".join(f"{name} {count:,}" for name, count in rows.items()))


class _Table:
    """The rows of all files, with columns of one kind throughout."""

    def __init__(self, file_format: str, files: Sequence[FileSummary]) -> None:
        self._reader = READERS[file_format]
        self._files = {file.path: file for file in files}
        self.kinds = reconcile(files)
        for file in files:
            if absent := self.kinds.keys() - file.kinds.keys():
                _LOG.warning("%s has no column %s: null in its rows.", file.path, ", ".join(sorted(absent)))

    @classmethod
    def scan(cls, file_format: str, files: Mapping[str, Sequence[str]], pool: Pool) -> _Table:
        paths = dict.fromkeys(path for paths in files.values() for path in paths)
        table = cls(file_format, list(pool.map(READERS[file_format].scan, paths)))
        for file in table._files.values():
            if file.rows == 0:
                raise DataError(
                    "An input file has no rows.",
                    where=file.path,
                    expected="at least one row",
                    seen=f"{len(file.kinds)} columns, 0 rows",
                    fix="write the file again, or remove it",
                )
        return table

    def batches(self, paths: Iterable[str]) -> Iterator[tuple[str, pa.RecordBatch]]:
        for path in paths:
            for batch in self._reader.batches(path, self._files[path].kinds):
                yield path, batch

    def encode(self, source: tuple[str, pa.RecordBatch]) -> pa.Array:
        path, batch = source
        try:
            return encode(batch, self.kinds)
        except ColumnError as error:
            kind = self.kinds[error.column]
            raise DataError(
                f"The column {error.column!r} has a value that a tf.Example cannot hold.",
                where=path,
                expected=f"{kind.value} that fit into 64 bits" if kind is not Kind.FLOAT else "floats",
                seen=str(error),
                fix="correct the value, or write the column as text",
            ) from error


def _sources(files: Mapping[str, Sequence[str]], split: Split | SingleSplit) -> list[tuple[Sequence[str], Splitter]]:
    if isinstance(split, Split) and split.method == "hash":
        return [(files["train"], Hashed(split.eval_fraction))]
    return [(paths, Whole(name)) for name, paths in files.items()]


def _read_schema(artifacts: list[Artifact]) -> schema_pb2.Schema:
    uri = artifact_utils.get_single_uri(artifacts)
    return io_utils.parse_pbtxt_file(os.path.join(uri, "schema.pbtxt"), schema_pb2.Schema())


def _in_order(pool: Pool, function: Callable[[_Item], _Result], items: Iterable[_Item], *, ahead: int) -> Iterator[_Result]:
    """Maps side by side, a few items ahead: `Executor.map` would read the whole table first."""
    running: deque[Future[_Result]] = deque()
    for item in items:
        running.append(pool.submit(function, item))
        if len(running) > ahead:
            yield running.popleft().result()
    while running:
        yield running.popleft().result()


def _require_rows(rows: Mapping[str, int]) -> None:
    empty = [name for name, count in rows.items() if count == 0]
    if empty:
        raise DataError(
            f"The split {empty[0]!r} has no rows.",
            where="data.split",
            expected="at least one row in every split",
            seen=", ".join(f"{name}: {count:,}" for name, count in rows.items()),
            fix="add rows, or change data.split.eval_fraction in the configuration",
        )
