"""Input files: opening them, compressed or not, and the errors that any format can have."""

from __future__ import annotations

import bz2
import gzip
import io
import zlib
from typing import IO, Literal, cast

from pipeline.errors import DataError

Compression = Literal["gzip", "bz2", "zstd"]
_MAGIC: dict[bytes, Compression] = {b"\x1f\x8b": "gzip", b"BZh91AY&SY": "bz2", b"\x28\xb5\x2f\xfd": "zstd"}
_MAGIC_BYTES = max(map(len, _MAGIC))

DECOMPRESSION_ERRORS = (EOFError, OSError, zlib.error)
"""What reading a compressed file raises that is cut short or damaged."""


def compression_of(path: str) -> Compression | None:
    """How a file is compressed, by its content, whatever its name; None where it is not."""
    with open(path, "rb") as file:
        head = file.read(_MAGIC_BYTES)
    return next((name for magic, name in _MAGIC.items() if head.startswith(magic)), None)


def open_binary(path: str) -> IO[bytes]:
    """Opens a file for reading, decompressed."""
    compression = compression_of(path)
    if compression == "gzip":
        return cast("IO[bytes]", gzip.open(path, "rb"))
    if compression == "bz2":
        return bz2.open(path, "rb")
    if compression == "zstd":
        import pyarrow as pa  # Brings NumPy, which a run for which nothing has changed does without.

        # Unlike the package zstandard, Arrow reads all frames of a file, and tells one that is cut short.
        return io.BufferedReader(cast("io.RawIOBase", pa.input_stream(path, compression=compression)))
    return open(path, "rb")


def read_head(path: str, size: int) -> bytes:
    """The first bytes of a file, decompressed.

    Args:
      path: the file.
      size: how many; fewer come from a shorter file.

    Raises:
      DataError: it cannot be opened, is empty, or is compressed and damaged.
    """
    require_content(path)
    try:
        with open_binary(path) as file:
            return file.read(size)
    except DECOMPRESSION_ERRORS as error:
        raise broken(path, error) from error


def read_beyond_ascii(path: str, size: int) -> bytes:
    """The first block of a file, decompressed, that has other bytes than ASCII's; empty where there is none.

    Args:
      path: the file.
      size: the bytes of a block.

    Raises:
      DataError: it is compressed and damaged.
    """
    try:
        with open_binary(path) as file:
            return next((block for block in iter(lambda: file.read(size), b"") if not block.isascii()), b"")
    except DECOMPRESSION_ERRORS as error:
        raise broken(path, error) from error


def require_content(path: str) -> None:
    """Checks that a file can be opened and is not empty.

    Raises:
      DataError: it cannot be opened, or has zero bytes.
    """
    try:
        with open(path, "rb") as file:
            empty = not file.read(1)
    except OSError as error:
        raise unreadable(path, error) from error
    if empty:
        raise DataError(
            "An input file is empty.",
            where=path,
            expected="rows of data",
            seen="0 bytes",
            fix="Write the file again, or remove it.",
        )


def unreadable(path: str, error: OSError) -> DataError:
    """The error for a file that the operating system cannot open."""
    return DataError(
        "An input file cannot be read.",
        where=path,
        expected="a file that this user may read",
        seen=error.strerror or str(error),
        fix=f"Check the file and its permissions: ls -lL {path}",
    )


def broken(path: str, error: Exception) -> DataError:
    """The error for a file that cannot be read to its end.

    Args:
      path: the file.
      error: one of DECOMPRESSION_ERRORS.
    """
    compression = compression_of(path)
    if compression is None and isinstance(error, OSError):
        return unreadable(path, error)
    return damaged(path, f"a whole {compression} file", error)


def damaged(path: str, expected: str, seen: object, *, part: str = "") -> DataError:
    """The error for a file that is not in its format.

    Args:
      path: the file.
      expected: the format.
      seen: the reader's message.
      part: the row, record or row group, where known.
    """
    return DataError(
        "An input file is damaged, or of another format.",
        where=f"{path}, {part}" if part else path,
        expected=expected,
        seen=str(seen).strip() or type(seen).__name__,
        fix="Write the file again; data.format must name its format if the file's name does not.",
    )
