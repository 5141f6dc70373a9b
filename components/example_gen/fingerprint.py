"""What ExampleGen's output depends on besides its settings and code: the content of the input files.

TFX's stock fingerprint is made of names, sizes and modification times, so data that is copied, cloned or written anew is
ingested again, and everything after it repeated. The content costs little more: SHA-256 reads about 1 GB a second and core.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor

from components.example_gen.files import unreadable

_CHUNK_BYTES = 1 << 20


def digests_of_files(paths: Iterable[str]) -> dict[str, str]:
    """A digest of each file's content, by path.

    Raises:
      DataError: a file cannot be read.
    """
    paths = sorted(set(paths))
    with ThreadPoolExecutor() as pool:
        return dict(zip(paths, pool.map(_digest, paths), strict=True))


def fingerprint_of_span(files: Iterable[str], digests: Mapping[str, str]) -> str:
    """A digest of the files of a span, in their order: of their names and contents, not of folders and modification times.

    Args:
      files: paths.
      digests: of their contents, by path.
    """
    return _digest_of_lines(f"{os.path.basename(path)} {digests[path]}" for path in files)


def fingerprint_of_splits(spans: Mapping[str, Iterable[str]]) -> str:
    """A digest of which splits are made of which content.

    Args:
      spans: the fingerprints of each split's spans, in the order in which they are read.
    """
    return _digest_of_lines(f"{name} {span}" for name in sorted(spans) for span in spans[name])


def _digest_of_lines(lines: Iterable[str]) -> str:
    return "sha256:" + hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _digest(path: str) -> str:
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
    except OSError as error:
        raise unreadable(path, error) from error
    return digest.hexdigest()
