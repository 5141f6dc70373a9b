"""The input of a run, found at run time and without TFX: spans, versions, files and the fingerprint of their content.

TFX's stock fingerprint is made of names, sizes and modification times, so data that is copied, cloned or written anew is
ingested again, and everything after it repeated. The content costs little more: SHA-256 reads about 1 GB a second and core.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any

from components.example_gen import properties
from components.example_gen.files import unreadable
from components.example_gen.formats import format_of
from components.example_gen.objects import local_copies, told_by_address
from components.example_gen.spans import at_or_below, find_spans, select
from pipeline.errors import ConfigError, DataError
from pipeline.util import code

_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class InputSpan:
    """A span to read.

    Attributes:
      number: the span's number.
      content: the fingerprint of its files.
      files: their paths, or the addresses of objects.
    """

    number: int
    content: str
    files: tuple[str, ...]


def resolve(exec_properties: Mapping[str, Any]) -> dict[str, Any]:
    """The execution properties that depend on the files that exist, by name.

    Args:
      exec_properties: those that the component was made with.

    Raises:
      UsageError: no file matches, the span does not exist, or the window has too few spans.
      ConfigError: the files' format cannot be derived from their names.
      DataError: a file cannot be read.
      StorageError: an object store does not answer.
    """
    spans = at_or_below(find_spans(exec_properties[properties.INPUT_PATTERN]), exec_properties.get(properties.NEWEST_SPAN))
    chosen = select(spans, properties.split_from_json(exec_properties[properties.SPLIT]))
    files = {name: [path for span in found for path in span.files] for name, found in chosen.items()}
    copies = local_copies(path for paths in files.values() for path in paths)
    with told_by_address(copies):
        by_copy = digests_of_files(copies.values())
        file_format = format_of_files(exec_properties[properties.FILE_FORMAT], copies.values())
    digests = {path: by_copy[copy] for path, copy in copies.items()}
    contents = {name: [fingerprint_of_span(span.files, digests) for span in found] for name, found in chosen.items()}
    numbers = {
        name: [(span.number, content, len(span.files)) for span, content in zip(found, contents[name], strict=True)]
        for name, found in chosen.items()
    }
    newest = spans[-1]
    found: dict[str, Any] = {
        properties.INPUT_FILES: json.dumps(files),
        properties.INPUT_SPANS: json.dumps(numbers),
        properties.FILE_FORMAT: file_format,
        properties.FINGERPRINT: fingerprint_of_splits(contents),
        properties.CODE_FINGERPRINT: code.digest("components.example_gen.executor"),
        properties.SPAN: newest.number,
    }
    if newest.version is not None:
        found[properties.VERSION] = newest.version
    return found


def input_spans(exec_properties: Mapping[str, Any]) -> dict[str, list[InputSpan]]:
    """The spans of each split, from the execution properties that `resolve` has found."""
    files: dict[str, list[str]] = json.loads(exec_properties[properties.INPUT_FILES])
    spans = {}
    for name, numbers in json.loads(exec_properties[properties.INPUT_SPANS]).items():
        paths = iter(files[name])
        spans[name] = [InputSpan(number, content, tuple(islice(paths, count))) for number, content, count in numbers]
    return spans


def require_content(spans: Iterable[InputSpan]) -> None:
    """Checks, once files have been read, that they still are what the driver has found.

    Raises:
      DataError: a span has other content by now.
    """
    spans = list(spans)
    digests = digests_of_files(path for span in spans for path in span.files)
    for span in spans:
        if (content := fingerprint_of_span(span.files, digests)) != span.content:
            raise DataError(
                "The data has changed while it was read.",
                where=", ".join(span.files),
                expected=f"the content that the run has begun with, {span.content}",
                seen=content,
                fix="Run again when nothing writes to it.",
            )


def format_of_files(file_format: str, paths: Iterable[str]) -> str:
    """The format to read files in.

    Args:
      file_format: the one that was asked for, or `auto` to go by their names.
      paths: the files; at least one.

    Raises:
      ConfigError: it cannot be derived from their names, or differs between them.
    """
    if file_format != "auto":
        return file_format
    by_format = {format_of(path): path for path in paths}
    if len(by_format) > 1:
        raise ConfigError(
            "The input pattern matches files of several formats.",
            where="data.input",
            expected="files of one format",
            seen=", ".join(by_format.values()),
            fix="Narrow the pattern, for example with *.parquet at its end.",
        )
    return next(iter(by_format))


def digests_of_files(paths: Iterable[str]) -> dict[str, str]:
    """A digest of each file's content, by path.

    Raises:
      DataError: a file cannot be read.
    """
    paths = sorted(set(paths))
    with ThreadPoolExecutor() as pool:
        return dict(zip(paths, pool.map(_digest, paths), strict=True))


def fingerprint_of_span(files: Iterable[str], digests: Mapping[str, str]) -> str:
    """A digest of the names and contents of a span's files, in their order, without folders and modification times.

    Args:
      files: their paths.
      digests: the digests of their contents, by path.
    """
    return _digest_of_lines(f"{os.path.basename(path)} {digests[path]}" for path in files)


def fingerprint_of_splits(spans: Mapping[str, Iterable[str]]) -> str:
    """A digest of the content of all splits.

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
