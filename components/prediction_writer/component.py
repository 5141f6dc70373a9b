"""The node that writes BulkInferrer's output to a Parquet file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, ClassVar

from absl import logging
from tfx import types
from tfx.dsl.components.base import base_component, base_executor, executor_spec
from tfx.dsl.io import fileio
from tfx.types import BaseChannel, ComponentSpec, artifact_utils, standard_artifacts
from tfx.types.component_spec import ChannelParameter, ExecutionParameter

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


class PredictionWriterSpec(ComponentSpec):
    """The table is not an output artifact, since it belongs to whoever named its destination."""

    INPUTS: ClassVar = {
        "inference_result": ChannelParameter(type=standard_artifacts.InferenceResult),
        "pushed_model": ChannelParameter(type=standard_artifacts.PushedModel),
    }
    OUTPUTS: ClassVar[dict[str, ChannelParameter]] = {}
    PARAMETERS: ClassVar = {"destination": ExecutionParameter(type=str)}


class PredictionWriter(base_component.BaseComponent):
    """Writes one row for each row that was scored: its features, the model's outputs and the model's version.

    Features come first, by name; then the outputs of the model's signature `serving_default` (`labels`, `probabilities`,
    `score` or `predictions`) and `model_version`. One of these whose name a feature has already is `predicted_<name>`;
    the Parquet metadata of its column names the output under `conveyor.output`.
    Rows keep the order in which BulkInferrer wrote them. The file appears whole or not at all.

    Args:
      inference_result: BulkInferrer's output of that name, with one prediction log a row.
      pushed_model: the `PushedModel` of the model that BulkInferrer used.
      destination: the Parquet file to write or to replace, on a local or mounted file system.
    """

    SPEC_CLASS = PredictionWriterSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(self, inference_result: BaseChannel, pushed_model: BaseChannel, destination: str) -> None:
        super().__init__(
            PredictionWriterSpec(inference_result=inference_result, pushed_model=pushed_model, destination=destination)
        )
