"""Whether a disk is full, by what an error says or by trying it, and the error that tells a person so."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

from pipeline.errors import StorageError

_FULL = (errno.ENOSPC, errno.EDQUOT)
# As the C library words them, and SQLite, whose errors have no number by the time that they arrive.
_WORDS = (*map(os.strerror, _FULL), "database or disk is full")
# What a step of a run may need at least: a log's buffer, or the journal of a transaction in SQLite.
_LEAST_BYTES = 1 << 20


def says_full(error: BaseException) -> bool:
    """Whether an exception, of whatever library, says that the disk or the user's share of it is full."""
    return (isinstance(error, OSError) and error.errno in _FULL) or any(words in str(error) for words in _WORDS)


def is_full(folder: Path) -> bool:
    """Whether less than 1 MiB can be written below a folder.

    Only trying tells: a quota, or a lack of inodes, leaves the disk's own numbers as they are.

    Args:
      folder: a folder on the disk; where it does not exist, the nearest one above it counts.
    """
    there = next(each for each in (folder.absolute(), *folder.absolute().parents) if each.is_dir())
    try:
        with tempfile.TemporaryFile(dir=there) as file:
            os.posix_fallocate(file.fileno(), 0, _LEAST_BYTES)
    except OSError as error:
        return error.errno in _FULL
    return False


def full_disk(title: str, where: Path | str, seen: str) -> StorageError:
    """The error about a full disk.

    Args:
      title: what could not write, as the start of a sentence.
      where: the file or the folder.
      seen: what the system or a library said.
    """
    return StorageError(
        f"{title} could not write: the disk is full.",
        where=str(where),
        expected="free space for what a run makes",
        seen=seen,
        fix="Free some space, then run again: nodes that are complete are not repeated.",
    )
