"""A node that outputs a schema given as text."""

from __future__ import annotations

from typing import ClassVar

from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import Channel, ComponentSpec, standard_artifacts
from tfx.types.component_spec import ChannelParameter, ExecutionParameter

from components.schema_importer.executor import Executor


class SchemaImporterSpec(ComponentSpec):
    """The output is that of TFX's SchemaGen and ImportSchemaGen."""

    INPUTS: ClassVar[dict[str, ChannelParameter]] = {}
    OUTPUTS: ClassVar = {"schema": ChannelParameter(type=standard_artifacts.Schema)}
    PARAMETERS: ClassVar = {"schema_text": ExecutionParameter(type=str)}


class SchemaImporter(base_component.BaseComponent):
    """Outputs a curated schema.

    TFX's ImportSchemaGen takes a path: an edited schema would look unchanged to the cache, and the file would have to be
    there on whichever machine runs the node. The text itself has neither problem.
    """

    SPEC_CLASS = SchemaImporterSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(self, schema_text: str) -> None:
        """Makes the node.

        Args:
          schema_text: a `Schema` in protobuf text format, as `read_curated_schema` has checked it.
        """
        super().__init__(SchemaImporterSpec(schema_text=schema_text, schema=Channel(standard_artifacts.Schema)))
