"""Writing a split: TFRecord shards of a set size, framed and compressed side by side, the same bytes for the same rows."""

from __future__ import annotations

import errno
import gzip
from collections import deque
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import IO

import pyarrow as pa

from components.example_gen import tfrecord
from pipeline.errors import StorageError

SHARD_BYTES = 16 << 20
_GZIP_LEVEL = 1  # writes four times as fast as level 6, for files half as large again; reading takes the same time
_SHARDS_IN_FLIGHT = 2


class SplitWriter:
    """Writes the rows of one split, in order, into `data_tfrecord-00000-of-00002.gz` and so on, as stock TFX names them.

    Attributes:
      rows: how many were written.
    """

    def __init__(self, folder: str, compression: str, pool: Executor) -> None:
        """Makes a writer.

        Args:
          folder: of the split; made if absent.
          compression: `gzip` or `none`.
          pool: does the framing, compressing and writing.
        """
        self.rows = 0
        self._folder = Path(folder)
        self._compression = compression
        self._pool = pool
        self._waiting: list[pa.Array] = []
        self._waiting_bytes = 0
        self._shards: list[Path] = []
        self._running: deque[Future[None]] = deque()
        self._folder.mkdir(parents=True, exist_ok=True)

    def write(self, examples: pa.Array) -> None:
        """Takes serialized tf.Examples (large_binary).

        Raises:
          StorageError: an earlier shard could not be written.
        """
        self.rows += len(examples)
        self._waiting.append(examples)
        self._waiting_bytes += examples.nbytes
        if self._waiting_bytes >= SHARD_BYTES:
            self._start_shard()

    def close(self) -> None:
        """Writes what is left and gives the files their names.

        Raises:
          StorageError: a shard could not be written.
        """
        if any(len(examples) for examples in self._waiting):
            self._start_shard()
        while self._running:
            self._running.popleft().result()
        suffix = ".gz" if self._compression == "gzip" else ""
        for number, path in enumerate(self._shards):
            path.rename(self._folder / f"data_tfrecord-{number:05d}-of-{len(self._shards):05d}{suffix}")

    def _start_shard(self) -> None:
        while len(self._running) >= _SHARDS_IN_FLIGHT:
            self._running.popleft().result()
        path = self._folder / f"{len(self._shards):05d}.partial"
        self._shards.append(path)
        self._running.append(self._pool.submit(_write_shard, path, self._waiting, self._compression))
        self._waiting, self._waiting_bytes = [], 0


def _write_shard(path: Path, batches: list[pa.Array], compression: str) -> None:
    try:
        with open(path, "wb") as file:
            if compression == "gzip":
                # Neither a time nor a name: the same rows make the same file.
                with gzip.GzipFile(filename="", mode="wb", compresslevel=_GZIP_LEVEL, fileobj=file, mtime=0) as compressed:
                    _write_records(compressed, batches)
            else:
                _write_records(file, batches)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise StorageError(
            "The disk is full." if full else "The workspace cannot be written to.",
            where=str(path.parent),
            expected="room for the rows" if full else "a folder that this user may write to",
            seen=error.strerror or str(error),
            fix=f"free space on the disk: df -h {path.parent}" if full else "check the folder's permissions",
        ) from error


def _write_records(file: IO[bytes] | gzip.GzipFile, batches: list[pa.Array]) -> None:
    for batch in batches:
        if len(batch):
            file.write(tfrecord.frame(batch))
