"""The folder that model servers watch, with a folder for each version, named by its number."""

from __future__ import annotations

from pathlib import Path


def is_version(name: str) -> bool:
    """Whether a folder of that name is a version. TensorFlow Serving ignores names that are not numbers."""
    return name.isascii() and name.isdecimal()


def versions(folder: Path) -> list[int]:
    """The versions in a serving folder, in ascending order; none where the folder does not exist."""
    if not folder.is_dir():
        return []
    return sorted(int(entry.name) for entry in folder.iterdir() if is_version(entry.name))
