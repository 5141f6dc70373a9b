"""A disk of a given size, on which tests run out of space."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[Path]:
    """Mounts a file system in memory; skips the test where nobody may mount one.

    Args:
      folder: where to mount it; it is made.
      size: its size in bytes, which the system rounds up to whole pages.

    Yields:
      The folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    as_root = [] if os.geteuid() == 0 else ["sudo", "--non-interactive"]
    mount = [*as_root, "mount", "-t", "tmpfs", "-o", f"size={size},mode=1777", "tmpfs", str(folder)]
    try:
        done = subprocess.run(mount, capture_output=True, check=False, text=True)
        is_mounted, seen = done.returncode == 0, done.stderr.strip()
    except FileNotFoundError as error:
        is_mounted, seen = False, str(error)
    if not is_mounted:
        pytest.skip(f"a small disk cannot be mounted ({seen}): run as root, or with a sudo that asks for no password")
    try:
        yield folder
    finally:
        subprocess.run([*as_root, "umount", "--lazy", str(folder)], check=True)


def fill(folder: Path, free: int) -> None:
    """Fills a small disk with a file, but for some bytes.

    Args:
      folder: a folder on the disk.
      free: the bytes that are left.
    """
    status = os.statvfs(folder)
    size = max(0, status.f_bavail * status.f_frsize - free)
    with (folder / "filler").open("wb") as file:
        if size:
            os.posix_fallocate(file.fileno(), 0, size)
