"""A node that outputs a schema given as text."""

from __future__ import annotations

from typing import Any, ClassVar

from tfx import types
from tfx.dsl.components.base import base_component, base_executor, executor_spec
from tfx.types import Channel, ComponentSpec, artifact_utils, standard_artifacts
from tfx.types.component_spec import ChannelParameter, ExecutionParameter
from tfx.utils import io_utils

# As SchemaGen's, whose module would be imported with TensorFlow.
_FILE_NAME = "schema.pbtxt"


class Executor(base_executor.BaseExecutor):
    """Writes the text into the file that SchemaGen would write."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Writes `schema.pbtxt` into the output.

        Args:
          input_dict: empty.
          output_dict: `schema`.
          exec_properties: `schema_text`.
        """
        folder = artifact_utils.get_single_uri(output_dict["schema"])
        io_utils.write_string_file(f"{folder}/{_FILE_NAME}", exec_properties["schema_text"])


class SchemaImporterSpec(ComponentSpec):
    """The output is that of TFX's SchemaGen and ImportSchemaGen."""

    INPUTS: ClassVar[dict[str, ChannelParameter]] = {}
    OUTPUTS: ClassVar = {"schema": ChannelParameter(type=standard_artifacts.Schema)}
    PARAMETERS: ClassVar = {"schema_text": ExecutionParameter(type=str)}


class SchemaImporter(base_component.BaseComponent):
    """Outputs a curated schema.

    TFX's ImportSchemaGen takes a path: an edited schema would look unchanged to the cache, and the file would have to be on
    every machine that may run the node. The text itself has neither problem.

    Args:
      schema_text: a `Schema` in protobuf text format, as `read_curated_schema` has checked it.
    """

    SPEC_CLASS = SchemaImporterSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(self, schema_text: str) -> None:
        super().__init__(SchemaImporterSpec(schema_text=schema_text, schema=Channel(standard_artifacts.Schema)))
