"""Finds out at run time what is to be read: spans, versions, files and their content's fingerprint. Without TFX."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from components.example_gen import properties
from components.example_gen.files import format_of
from components.example_gen.fingerprint import fingerprint_of_code, fingerprint_of_files
from components.example_gen.spans import at_or_below, find_spans, select
from pipeline.errors import ConfigError


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
    newest = spans[-1]
    found: dict[str, Any] = {
        properties.INPUT_FILES: json.dumps(files),
        properties.FILE_FORMAT: _format(exec_properties[properties.FILE_FORMAT], files),
        properties.FINGERPRINT: fingerprint_of_files(files),
        properties.CODE_FINGERPRINT: fingerprint_of_code(),
        properties.SPAN: newest.number,
    }
    if newest.version is not None:
        found[properties.VERSION] = newest.version
    return found


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
