"""The driver of ExampleGen, by which TFX's cache takes the content of the input files into account."""

from __future__ import annotations

import copy

from tfx.dsl.components.base import base_driver as node_driver
from tfx.orchestration import metadata
from tfx.orchestration.portable import base_driver, data_types
from tfx.proto.orchestration import driver_output_pb2

from components.example_gen import properties
from components.example_gen.inputs import resolve
from pipeline.errors import DataError


class Driver(node_driver.BaseDriver, base_driver.BaseDriver):
    """Adds what the output depends on to the execution's properties, which TFX's cache goes by.

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
          ConfigError: the files' format cannot be derived from their names.
          DataError: a file cannot be read, or the content is not the one that is demanded.
        """
        found = resolve(execution_info.exec_properties)
        demanded = execution_info.exec_properties[properties.DEMANDED]
        if demanded and demanded != found[properties.FINGERPRINT]:
            raise DataError(
                "The data is not the version that is demanded.",
                where="data.fingerprint",
                expected=demanded,
                seen=found[properties.FINGERPRINT],
                fix="`conveyor data verify RUN` says which spans are not as a run had them. Restore them, and name "
                "the newest span in data.newest_span if later ones have come; or leave data.fingerprint out.",
            )
        output = driver_output_pb2.DriverOutput()
        output.exec_properties[properties.DEMANDED].string_value = ""
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
