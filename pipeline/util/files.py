"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

READABLE = 0o644


@contextmanager
def replacing(path: Path, mode: int = READABLE, suffix: str | None = None) -> Iterator[Path]:
    """A new file to write, which takes the place of another one when the block ends without an error.

    Whoever reads the path meets the old content or the new one, never a part of it, even after a power cut: the content reaches
    the disk before the name does.

    Args:
      path: the file to make or to replace. Its folder is made where it is missing.
      mode: the permissions of the file; others may read it by default, as servers run as users of their own.
      suffix: the suffix of the new file until it takes its place, for folders whose readers take every file with the path's own
        suffix; that one when None.

    Yields:
      The path of an empty file in the same folder, hidden, with that suffix.

    Raises:
      OSError: the file cannot be written or put in its place. The old one is then as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(
        prefix=f".{path.stem}.", suffix=path.suffix if suffix is None else suffix, dir=path.parent
    )
    os.close(descriptor)
    partial = Path(name)
    try:
        yield partial
        partial.chmod(mode)
        sync(partial)
        partial.replace(path)
        sync(path.parent)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def write(path: Path, content: str | bytes, mode: int = READABLE) -> None:
    """Writes a file whole or not at all; text as UTF-8.

    Args:
      path: the file to make or to replace.
      content: all of it.
      mode: the permissions of the file.

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
