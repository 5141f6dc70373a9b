"""Finds out at run time what is to be read: spans, versions, files and their content's fingerprint."""

from __future__ import annotations

import copy
import json
from typing import Any

from tfx.dsl.components.base import base_driver as node_driver
from tfx.orchestration import metadata
from tfx.orchestration.portable import base_driver, data_types
from tfx.proto.orchestration import driver_output_pb2

from components.example_gen import properties
from components.example_gen.files import format_of
from components.example_gen.fingerprint import fingerprint_of_code, fingerprint_of_files
from components.example_gen.spans import at_or_below, find_spans, select
from pipeline.errors import ConfigError


class Driver(node_driver.BaseDriver, base_driver.BaseDriver):
    """Puts into the execution's properties what the output depends on, so that TFX's cache answers rightly.

    The launcher runs it as a portable driver; TFX's component classes insist on the older base class as well.
    """

    def __init__(self, metadata_handle: metadata.Metadata) -> None:
        node_driver.BaseDriver.__init__(self, metadata_handle)
        base_driver.BaseDriver.__init__(self, metadata_handle)

    def run(self, execution_info: data_types.ExecutionInfo) -> driver_output_pb2.DriverOutput:
        """Resolves the input.

        Returns:
          The execution properties found (files by split, format, fingerprints, span, version) and the output artifact with
          span, version and fingerprint, as TFX's stock ExampleGen sets them.

        Raises:
          UsageError: no file matches, the span does not exist, or the window has too few spans.
          ConfigError: the files' format cannot be told.
          DataError: a file cannot be read.
        """
        found = resolve(execution_info.exec_properties)
        output = driver_output_pb2.DriverOutput()
        for name, value in found.items():
            if isinstance(value, int):
                output.exec_properties[name].int_value = value
            else:
                output.exec_properties[name].string_value = value

        artifact = copy.deepcopy(execution_info.output_dict[properties.EXAMPLES][0].mlmd_artifact)
        artifact.custom_properties[properties.FINGERPRINT].string_value = found[properties.FINGERPRINT]
        artifact.custom_properties[properties.SPAN].int_value = found[properties.SPAN]
        if properties.VERSION in found:
            artifact.custom_properties[properties.VERSION].int_value = found[properties.VERSION]
        output.output_artifacts[properties.EXAMPLES].artifacts.append(artifact)
        return output


def resolve(exec_properties: dict[str, Any]) -> dict[str, Any]:
    """The execution properties that only the file system can tell, by name.

    Args:
      exec_properties: those that the component was made with.

    Raises:
      UsageError, ConfigError, DataError: as for `Driver.run`.
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
