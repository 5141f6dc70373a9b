"""Input files: opening them, compressed or not, and the errors that any format can have."""

from __future__ import annotations

import gzip
import os
from typing import IO, cast

from pipeline.errors import ConfigError, DataError

FORMATS = ("csv", "parquet", "tfrecord")
_GZIP_MAGIC = b"\x1f\x8b"


def format_of(path: str) -> str:
    """The format that a file's name tells: `csv`, `parquet` or `tfrecord`, with or without `.gz`.

    Raises:
      ConfigError: the name tells none.
    """
    extension = os.path.splitext(path.lower().removesuffix(".gz"))[1].removeprefix(".")
    if extension not in FORMATS:
        raise ConfigError(
            "The format of the input cannot be told from the file's name.",
            where=path,
            expected="a name that ends in " + ", ".join(f".{name}" for name in FORMATS) + ", also followed by .gz",
            seen=os.path.basename(path),
            fix=f"set data.format to one of {', '.join(FORMATS)}",
        )
    return extension


def is_gzip(path: str) -> bool:
    """Whether the content, whatever the name, is compressed with gzip."""
    with open(path, "rb") as file:
        return file.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC


def open_binary(path: str) -> IO[bytes]:
    """Opens a file for reading, decompressed."""
    return cast("IO[bytes]", gzip.open(path, "rb")) if is_gzip(path) else open(path, "rb")


def require_content(path: str) -> None:
    """Refuses a file of zero bytes, and one that cannot be opened.

    Raises:
      DataError: it is either.
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
            fix="write the file again, or remove it",
        )


def unreadable(path: str, error: OSError) -> DataError:
    """The error for a file that the operating system does not let us read."""
    return DataError(
        "An input file cannot be read.",
        where=path,
        expected="a file that this user may read",
        seen=error.strerror or str(error),
        fix=f"check the file and its permissions: ls -lL {path}",
    )


def damaged(path: str, expected: str, seen: object, *, part: str = "") -> DataError:
    """The error for a file whose bytes are not what its format asks for.

    Args:
      path: the file.
      expected: the format.
      seen: what the reader said.
      part: the row, record or row group, where known.
    """
    return DataError(
        "An input file is damaged, or of another format.",
        where=f"{path}, {part}" if part else path,
        expected=expected,
        seen=str(seen).strip(),
        fix="write the file again; data.format must name its format when the name does not tell it",
    )
