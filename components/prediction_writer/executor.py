"""Finds the prediction logs and the model's version, and writes the table."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from absl import logging
from tfx import types
from tfx.dsl.components.base import base_executor
from tfx.dsl.io import fileio
from tfx.types import artifact_utils

from components.prediction_writer.table import write_table


class Executor(base_executor.BaseExecutor):
    """Writes predictions to Parquet."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Writes the table.

        Args:
          input_dict: `inference_result` and `pushed_model`.
          output_dict: empty.
          exec_properties: `destination`.

        Raises:
          DataError: no row was scored.
          StorageError: the destination cannot be written to.
        """
        inference_result = artifact_utils.get_single_instance(input_dict["inference_result"])
        pushed_model = artifact_utils.get_single_instance(input_dict["pushed_model"])
        rows = write_table(
            sorted(fileio.glob(os.path.join(inference_result.uri, "*"))),
            int(pushed_model.get_string_custom_property("pushed_version")),
            Path(exec_properties["destination"]),
        )
        logging.info("Wrote %d rows to %s.", rows, exec_properties["destination"])
