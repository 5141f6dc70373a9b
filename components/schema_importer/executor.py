"""Writes the schema as an artifact."""

from __future__ import annotations

from typing import Any

from tfx import types
from tfx.components.schema_gen.executor import DEFAULT_FILE_NAME
from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils
from tfx.utils import io_utils


class Executor(base_executor.BaseExecutor):
    """Writes the text where SchemaGen writes its schema."""

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
        io_utils.write_string_file(f"{folder}/{DEFAULT_FILE_NAME}", exec_properties["schema_text"])
