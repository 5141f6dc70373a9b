"""Manifests: the files of a finished artifact by name, size and checksum, kept in a file beside the artifact.

The checksum is CRC-32C, which processors compute at the speed of memory. It tells every flipped bit and nearly every other
damage; against somebody who forges files it is no help.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import google_crc32c

from pipeline.util import files

Thoroughness = Literal["whole", "sample"]
"""`whole`: names, sizes and all content; `sample`: names, sizes, the content of small files and of a tenth of the others."""

_SUFFIX = ".manifest.json"
_VERSION = 1
_CHUNK_BYTES = 1 << 20
_SMALL_BYTES = 1 << 20
_SAMPLED_ONE_IN = 10


class File(NamedTuple):
    """What a file is.

    Attributes:
      size: its size in bytes.
      checksum: the CRC-32C of its content, eight hexadecimal digits.
    """

    size: int
    checksum: str


@dataclass(frozen=True)
class Flaw:
    """A file that is not what it was when its artifact was finished.

    Attributes:
      path: the file.
      expected: what it was.
      seen: what it is.
      is_damage: whether it certainly is another; not so where it could not be read, which may pass.
    """

    path: Path
    expected: str
    seen: str
    is_damage: bool = True


@dataclass(frozen=True)
class Manifest:
    """The files of an artifact.

    Attributes:
      files: each by its path within the artifact's folder, with slashes; by `.` where the artifact is a file.
    """

    files: Mapping[str, File]

    @classmethod
    def of(cls, artifact: Path) -> Manifest:
        """The manifest of an artifact as it is now.

        Raises:
          OSError: a file cannot be read.
        """
        paths = {name: artifact / name for name in _names(artifact)}
        return cls({name: File(path.stat().st_size, _checksum(path)) for name, path in sorted(paths.items())})

    @property
    def size(self) -> int:
        """The size of all files together, in bytes."""
        return sum(file.size for file in self.files.values())

    def save(self, artifact: Path) -> str:
        """Writes the manifest beside its artifact, whole or not at all.

        Returns:
          The checksum of the manifest, by which `load` tells whether it is this one.

        Raises:
          OSError: it cannot be written.
        """
        content = json.dumps({"version": _VERSION, "files": self.files}, indent=0).encode()
        files.write(path_of(artifact), content)
        return _hexadecimal(google_crc32c.value(content))

    @classmethod
    def load(cls, artifact: Path, checksum: str | None = None) -> Manifest | Flaw:
        """The manifest of an artifact, or what is wrong with it.

        Args:
          artifact: the artifact's folder or file.
          checksum: the checksum that `save` returned; None where that is not known.
        """
        path, expected = path_of(artifact), "the manifest of the artifact"
        try:
            content = path.read_bytes()
        except OSError as error:
            return _unreadable(path, expected, error, artifact)
        seen = _hexadecimal(google_crc32c.value(content))
        if checksum is not None and checksum != seen:
            return Flaw(path, f"{expected}, with the CRC-32C {checksum}", f"the CRC-32C {seen}")
        try:
            document = json.loads(content)
            if document["version"] != _VERSION:
                return Flaw(path, f"{expected} in version {_VERSION}", f"version {document['version']}")
            return cls({name: File(int(size), str(each)) for name, (size, each) in document["files"].items()})
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            return Flaw(path, expected, f"{type(error).__name__}: {error}")

    def flaws(self, folder: Path, how: Thoroughness = "whole", *, only: Collection[str] | None = None) -> Iterator[Flaw]:
        """The files in a folder that are not those of this manifest, in the order of their names.

        Args:
          folder: the artifact's folder, or another that should have the same files.
          how: how much of the content is read.
          only: the names of the files that are looked at; None for all, and then there may be no others.
        """
        names = sorted(self.files if only is None else only)
        read = set(names) if how == "whole" else self._sample(names)
        for name in names:
            flaw = _flaw(folder, name, self.files.get(name), read=name in read)
            if flaw:
                yield flaw
        if only is None:
            for name in sorted(set(_names(folder)) - self.files.keys()):
                yield Flaw(folder / name, "no such file", "a file")

    def _sample(self, names: Collection[str]) -> set[str]:
        large = [name for name in names if name in self.files and self.files[name].size > _SMALL_BYTES]
        sampled = random.sample(large, math.ceil(len(large) / _SAMPLED_ONE_IN))
        return (set(names) - set(large)) | set(sampled)


def path_of(artifact: Path) -> Path:
    """The place of an artifact's manifest."""
    return artifact.with_name(artifact.name + _SUFFIX)


def _names(artifact: Path) -> list[str]:
    """The files of an artifact, by their paths within it."""
    if artifact.is_file():
        return ["."]
    return [path.relative_to(artifact).as_posix() for path in artifact.rglob("*") if path.is_file()]


def _flaw(folder: Path, name: str, file: File | None, *, read: bool) -> Flaw | None:
    path = folder / name
    if file is None:
        return Flaw(path, "no such file", "a file that the manifest does not have")
    expected = f"{file.size:,} bytes with the CRC-32C {file.checksum}"
    try:
        size = path.stat().st_size
        if size != file.size:
            return Flaw(path, expected, f"{size:,} bytes")
        checksum = _checksum(path) if read else file.checksum
    except OSError as error:
        return _unreadable(path, expected, error, folder)
    return None if checksum == file.checksum else Flaw(path, expected, f"the CRC-32C {checksum}")


def _unreadable(path: Path, expected: str, error: OSError, folder: Path) -> Flaw:
    # Where the whole folder is gone, a disk may not be mounted.
    return Flaw(path, expected, error.strerror or str(error), isinstance(error, FileNotFoundError) and folder.exists())


def _checksum(path: Path) -> str:
    checksum = 0
    with path.open("rb", buffering=0) as file:
        while chunk := file.read(_CHUNK_BYTES):
            checksum = google_crc32c.extend(checksum, chunk)
    return _hexadecimal(checksum)


def _hexadecimal(checksum: int) -> str:
    return f"{checksum:08x}"
