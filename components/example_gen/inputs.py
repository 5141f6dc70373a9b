"""Finds out at run time what is to be read: spans, versions, files and their content's fingerprint. Without TFX."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from components.example_gen import properties
from components.example_gen.files import format_of
from components.example_gen.fingerprint import (
    digests_of_files,
    fingerprint_of_span,
    fingerprint_of_splits,
)
from components.example_gen.spans import at_or_below, find_spans, select
from components.shared.partial import digest_of_code
from pipeline.errors import ConfigError


@dataclass(frozen=True)
class InputSpan:
    """A span to read.

    Attributes:
      number: of the span.
      content: the fingerprint of its files.
      files: paths.
    """

    number: int
    content: str
    files: tuple[str, ...]


def resolve(exec_properties: Mapping[str, Any]) -> dict[str, Any]:
    """The execution properties that only the file system can tell, by name.

    Args:
      exec_properties: those that the component was made with.

    Raises:
      UsageError: no file matches, the span does not exist, or the window has too few spans.
      ConfigError: the files' format cannot be told.
      DataError: a file cannot be read.
    """
    spans = at_or_below(find_spans(exec_properties[properties.INPUT_PATTERN]), exec_properties.get(properties.NEWEST_SPAN))
    chosen = select(spans, properties.split_from_json(exec_properties[properties.SPLIT]))
    files = {name: [path for span in found for path in span.files] for name, found in chosen.items()}
    digests = digests_of_files(path for paths in files.values() for path in paths)
    contents = {name: [fingerprint_of_span(span.files, digests) for span in found] for name, found in chosen.items()}
    numbers = {
        name: [(span.number, content, len(span.files)) for span, content in zip(found, contents[name], strict=True)]
        for name, found in chosen.items()
    }
    newest = spans[-1]
    found: dict[str, Any] = {
        properties.INPUT_FILES: json.dumps(files),
        properties.INPUT_SPANS: json.dumps(numbers),
        properties.FILE_FORMAT: _format(exec_properties[properties.FILE_FORMAT], files),
        properties.FINGERPRINT: fingerprint_of_splits(contents),
        properties.CODE_FINGERPRINT: digest_of_code(__file__),
        properties.SPAN: newest.number,
    }
    if newest.version is not None:
        found[properties.VERSION] = newest.version
    return found


def input_spans(exec_properties: Mapping[str, Any]) -> dict[str, list[InputSpan]]:
    """The spans of each split, from what `resolve` has found."""
    files: dict[str, list[str]] = json.loads(exec_properties[properties.INPUT_FILES])
    spans = {}
    for name, numbers in json.loads(exec_properties[properties.INPUT_SPANS]).items():
        paths = iter(files[name])
        spans[name] = [InputSpan(number, content, tuple(islice(paths, count))) for number, content, count in numbers]
    return spans


def _format(file_format: str, files: dict[str, list[str]]) -> str:
    if file_format != "auto":
        return file_format
    by_format = {format_of(path): path for paths in files.values() for path in paths}
    if len(by_format) > 1:
        raise ConfigError(
            "The input pattern matches files of several formats.",
            where="data.input",
            expected="files of one format",
            seen=", ".join(by_format.values()),
            fix="narrow the pattern, for example with *.parquet at its end",
        )
    return next(iter(by_format))
