"""Writes a split as TFRecord shards of a set size, in parallel, with the same bytes for the same rows."""

from __future__ import annotations

import errno
import gzip
import os
import shutil
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pyarrow as pa

from components.shared.examples import tfrecord
from pipeline.errors import StorageError

SHARD_BYTES = 16 << 20
_GZIP_LEVEL = 1  # writes four times as fast as level 6, for files half as large again; reading takes the same time
_SHARDS_IN_FLIGHT = 2


class SplitWriter:
    """Writes the rows of one split, in order, into `data_tfrecord-00000-of-00002.gz` and so on, as stock TFX names them.

    Args:
      folder: the split's folder, made if absent.
      compression: `gzip` or `none`.
      pool: the threads that frame, compress and write.

    Attributes:
      rows: how many were written.
    """

    def __init__(self, folder: str, compression: str, pool: Executor) -> None:
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
        """Adds serialized tf.Examples (large_binary).

        Raises:
          StorageError: an earlier shard could not be written.
        """
        self.rows += len(examples)
        self._waiting.append(examples)
        self._waiting_bytes += examples.nbytes
        if self._waiting_bytes >= SHARD_BYTES:
            self._start_shard()

    def take_over(self, shards: Sequence[Path], rows: int) -> None:
        """Adds the rows of another split's shards, which must have been written with the same compression.

        Raises:
          StorageError: an earlier shard could not be written.
        """
        self.rows += rows
        for shard in shards:
            self._start(_link_or_copy, shard)

    def end_shard(self) -> int:
        """Makes the next rows begin a new shard; returns how many shards there are until then.

        Raises:
          StorageError: an earlier shard could not be written.
        """
        if any(len(examples) for examples in self._waiting):
            self._start_shard()
        return len(self._shards)

    def close(self) -> list[str]:
        """Writes the remaining rows and gives the files their names, which are returned in order.

        Raises:
          StorageError: a shard could not be written.
        """
        self.end_shard()
        while self._running:
            self._running.popleft().result()
        suffix = ".gz" if self._compression == "gzip" else ""
        names = [f"data_tfrecord-{number:05d}-of-{len(self._shards):05d}{suffix}" for number in range(len(self._shards))]
        for path, name in zip(self._shards, names, strict=True):
            path.rename(self._folder / name)
        return names

    def _start_shard(self) -> None:
        batches, self._waiting, self._waiting_bytes = self._waiting, [], 0
        self._start(_write_shard, batches, self._compression)

    def _start(self, make: Callable[..., None], *arguments: object) -> None:
        while len(self._running) >= _SHARDS_IN_FLIGHT:
            self._running.popleft().result()
        path = self._folder / f"{len(self._shards):05d}.unnamed"
        self._shards.append(path)
        self._running.append(self._pool.submit(make, path, *arguments))


def _write_shard(path: Path, batches: list[pa.Array], compression: str) -> None:
    with _storage_errors(path), open(path, "wb") as file:
        if compression == "gzip":
            # Neither a time nor a name: the same rows make the same file.
            with gzip.GzipFile(filename="", mode="wb", compresslevel=_GZIP_LEVEL, fileobj=file, mtime=0) as compressed:
                _write_records(compressed, batches)
        else:
            _write_records(file, batches)


def _link_or_copy(path: Path, source: Path) -> None:
    try:
        os.link(source, path)
    except OSError:  # across file systems, and where there are no links, as in a mounted bucket
        with _storage_errors(path):
            shutil.copyfile(source, path)


@contextmanager
def _storage_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise StorageError(
            "The disk is full." if full else "The workspace cannot be written to.",
            where=str(path.parent),
            expected="room for the rows" if full else "a folder that this user may write to",
            seen=error.strerror or str(error),
            fix=f"Free space on the disk: df -h {path.parent}" if full else "Check the folder's permissions.",
        ) from error


def _write_records(file: IO[bytes] | gzip.GzipFile, batches: list[pa.Array]) -> None:
    for batch in batches:
        if len(batch):
            file.write(tfrecord.frame(batch))
