"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

READABLE = 0o644
"""For files that servers read, which run as users of their own."""


@contextmanager
def replacing(path: Path, mode: int | None = None, suffix: str | None = None) -> Iterator[Path]:
    """A new file to write, which takes the place of another one when the block ends without an error.

    Whoever reads the path meets the old content or the new one, never a part of it, even after a power cut: the content reaches
    the disk before the name does.

    Args:
      path: the file to make or to replace. Its folder is made where it is missing.
      mode: the permissions of the file; those of every new file of this process when None.
      suffix: the suffix of the new file until it takes its place, for folders whose readers take every file with the path's own
        suffix; that one when None.

    Yields:
      The path of an empty file in the same folder, hidden, with that suffix.

    Raises:
      OSError: the file cannot be written or put in its place. The old one is then as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.stem}.{secrets.token_hex(8)}{path.suffix if suffix is None else suffix}")
    os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    try:
        yield partial
        if mode is not None:
            partial.chmod(mode)
        sync(partial)
        partial.replace(path)
        # Some network volumes cannot sync a folder; the file is in its place by then.
        with suppress(OSError):
            sync(path.parent)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def write(path: Path, content: str | bytes, mode: int | None = None) -> None:
    """Writes a file whole or not at all; text as UTF-8.

    Args:
      path: the file to make or to replace.
      content: all of it.
      mode: the permissions of the file; those of every new file of this process when None.

    Raises:
      OSError: the file cannot be written. The old one is then as it was.
    """
    with replacing(path, mode) as partial:
        partial.write_bytes(content if isinstance(content, bytes) else content.encode())


def sync(path: Path) -> None:
    """Waits until a file, or the names in a folder, have reached the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
