"""Input files: opening them, compressed or not, and the errors that any format can have."""

from __future__ import annotations

import gzip
import os
from typing import IO, cast

from pipeline.errors import ConfigError, DataError

FORMATS = ("csv", "parquet", "tfrecord")
_GZIP_MAGIC = b"\x1f\x8b"


def format_of(path: str) -> str:
    """The format by the end of a file's name: `csv`, `parquet` or `tfrecord`, with or without `.gz`.

    Raises:
      ConfigError: the name ends in none of them.
    """
    extension = os.path.splitext(path.lower().removesuffix(".gz"))[1].removeprefix(".")
    if extension not in FORMATS:
        raise ConfigError(
            "The format of the input cannot be derived from the file's name.",
            where=path,
            expected="a name that ends in " + ", ".join(f".{name}" for name in FORMATS) + ", also followed by .gz",
            seen=os.path.basename(path),
            fix=f"Set data.format to one of {', '.join(FORMATS)}.",
        )
    return extension


def is_gzip(path: str) -> bool:
    """Whether a file is compressed with gzip, by its content, whatever its name."""
    with open(path, "rb") as file:
        return file.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC


def open_binary(path: str) -> IO[bytes]:
    """Opens a file for reading, decompressed."""
    return cast("IO[bytes]", gzip.open(path, "rb")) if is_gzip(path) else open(path, "rb")


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
        seen=str(seen).strip(),
        fix="Write the file again; data.format must name its format if the file's name does not.",
    )
