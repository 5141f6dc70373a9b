"""The splits of an `Examples` artifact, written span by span."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Executor as Pool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from tfx.types import Artifact, artifact_utils

from components.example_gen.inputs import InputSpan
from components.example_gen.table import Table
from components.shared.examples.stored_spans import StoredPart, StoredSpan, StoredSpans
from components.shared.examples.writer import SplitWriter

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Shards:
    """The place of a part of a span within its split."""

    split: str
    first: int
    end: int
    rows: int


class Output:
    """Writes rows into splits, and beside them the record of where each span's rows are.

    Args:
      artifact: the `Examples` artifact, with the names of its splits.
      compression: `gzip` or `none`.
      table: the table that the spans are from.
      splitter: all that decides how the rows of a span are divided.
      pool: the threads that write.
    """

    def __init__(self, artifact: Artifact, compression: str, table: Table, splitter: str, pool: Pool) -> None:
        self._uri = artifact.uri
        self._table = table
        self._splitter = splitter
        self._writers = {
            name: SplitWriter(artifact_utils.get_split_uri([artifact], name), compression, pool)
            for name in artifact_utils.decode_split_names(artifact.split_names)
        }
        self._spans: list[tuple[InputSpan, dict[str, _Shards]]] = []

    def write(self, span: InputSpan, targets: Mapping[str, str], batches: Iterable[Mapping[str, pa.Array]]) -> None:
        """Writes a span.

        Args:
          span: the span that the rows are from.
          targets: the split for each part.
          batches: serialized tf.Examples (large_binary) by part.

        Raises:
          StorageError: the output cannot be written.
        """
        with self._span(span, targets):
            for parts in batches:
                for part, rows in parts.items():
                    self._writers[targets[part]].write(rows)

    def take_over(self, span: InputSpan, targets: Mapping[str, str], folder: Path, stored: StoredSpan) -> None:
        """Takes over a span that an earlier run has stored in a folder.

        Raises:
          StorageError: the output cannot be written.
        """
        _LOG.info("Span %d: as in %s.", span.number, folder)
        with self._span(span, targets):
            for name, part in stored.parts.items():
                split = folder / f"Split-{part.split}"
                self._writers[targets[name]].take_over([split / file for file in part.files], part.rows)

    def close(self, settings: str) -> dict[str, int]:
        """Completes the splits.

        Args:
          settings: the digest of the settings and the code that the shards were made with.

        Returns:
          The number of rows by split.

        Raises:
          StorageError: the output cannot be written.
        """
        names = {split: writer.close() for split, writer in self._writers.items()}
        spans = [
            self._table.stored(
                span,
                {
                    part: StoredPart(split=shards.split, files=names[shards.split][shards.first : shards.end], rows=shards.rows)
                    for part, shards in parts.items()
                },
                self._splitter,
            )
            for span, parts in self._spans
        ]
        StoredSpans(settings=settings, spans=spans).save(self._uri)
        return {split: writer.rows for split, writer in self._writers.items()}

    @contextmanager
    def _span(self, span: InputSpan, targets: Mapping[str, str]) -> Iterator[None]:
        """Records the shards that are written meanwhile, which contain this span alone."""
        writers = {part: (split, self._writers[split]) for part, split in targets.items()}
        before = {part: (writer.end_shard(), writer.rows) for part, (_, writer) in writers.items()}
        yield
        self._spans.append(
            (
                span,
                {
                    part: _Shards(split, before[part][0], writer.end_shard(), writer.rows - before[part][1])
                    for part, (split, writer) in writers.items()
                },
            )
        )
