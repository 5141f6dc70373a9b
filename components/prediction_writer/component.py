"""The node that writes BulkInferrer's output to a Parquet file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
from absl import logging
from tfx import types
from tfx.dsl.components.base import base_component, base_executor, executor_spec
from tfx.dsl.io import fileio
from tfx.types import BaseChannel, ComponentSpec, artifact_utils, standard_artifacts
from tfx.types.component_spec import ChannelParameter, ExecutionParameter
from tfx.utils import path_utils

from components.example_gen import properties
from components.example_gen.as_read import RowsAsRead
from components.example_gen.spans import SingleSplit
from components.prediction_writer.answers import answers_in_order
from components.prediction_writer.predictions import PredictionColumns
from components.prediction_writer.table import changed, schema_of, write_table
from components.shared.examples.splits import split_files
from pipeline.config import Data
from pipeline.contracts.model_description import ModelDescription


class Executor(base_executor.BaseExecutor):
    """Writes a table with predictions to Parquet."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Writes the table.

        Args:
          input_dict: `inference_result`, `examples`, `model` and `pushed_model`.
          output_dict: empty.
          exec_properties: `data` and `destination`.

        Raises:
          DataError: the rows are no longer those that the examples are of.
          StorageError: the destination cannot be written to.
        """
        artifacts = {key: artifact_utils.get_single_instance(values) for key, values in input_dict.items()}
        examples, destination = artifacts["examples"], Path(exec_properties["destination"])
        # A later span may be there by now.
        at_scoring = {"newest_span": examples.get_int_custom_property(properties.SPAN)}
        table = RowsAsRead.open(Data.model_validate_json(exec_properties["data"]).model_copy(update=at_scoring), SingleSplit())

        def batches() -> Iterator[pa.RecordBatch]:
            yield from table.batches()
            if table.found.fingerprint() != examples.get_string_custom_property(properties.FINGERPRINT):
                raise changed(destination)

        schema = schema_of(batches)
        rows = write_table(
            batches,
            schema,
            answers_in_order(
                sorted(fileio.glob(f"{artifacts['inference_result'].uri}/*")),
                split_files(examples, SingleSplit().name),
            ),
            PredictionColumns(
                int(artifacts["pushed_model"].get_string_custom_property("pushed_version")),
                _description(artifacts["model"]).classes,
                schema.names,
            ),
            destination,
        )
        logging.info("Wrote %d rows to %s.", rows, destination)


def _description(model: types.Artifact) -> ModelDescription:
    return ModelDescription.of(path_utils.serving_model_path(model.uri))


class PredictionWriterSpec(ComponentSpec):
    """The table is not an output artifact, since it belongs to whoever named its destination."""

    INPUTS: ClassVar = {
        "inference_result": ChannelParameter(type=standard_artifacts.InferenceResult),
        "examples": ChannelParameter(type=standard_artifacts.Examples),
        "model": ChannelParameter(type=standard_artifacts.Model),
        "pushed_model": ChannelParameter(type=standard_artifacts.PushedModel),
    }
    OUTPUTS: ClassVar[dict[str, ChannelParameter]] = {}
    PARAMETERS: ClassVar = {"data": ExecutionParameter(type=str), "destination": ExecutionParameter(type=str)}


class PredictionWriter(base_component.BaseComponent):
    """Writes the table that was scored as it came, with predictions beside each row, in the table's order.

    The table's columns, the label and ignored ones among them, keep order, names and types; those of text files stay text.
    Behind them are `prediction`, for a classification `probability`, `score` and `probabilities`, and `model_version`, as
    `PredictionColumns` describes them. The file appears whole or not at all.

    Args:
      inference_result: BulkInferrer's output of that name, with one prediction log a row.
      examples: the examples that BulkInferrer was asked about.
      model: the model that answered, which knows its classes.
      pushed_model: the `PushedModel` of that model, which knows its version.
      data: where the table is, as ExampleGen read it.
      destination: the Parquet file to write or to replace, on a local or mounted file system.
    """

    SPEC_CLASS = PredictionWriterSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(
        self,
        inference_result: BaseChannel,
        examples: BaseChannel,
        model: BaseChannel,
        pushed_model: BaseChannel,
        data: Data,
        destination: str,
    ) -> None:
        super().__init__(
            PredictionWriterSpec(
                inference_result=inference_result,
                examples=examples,
                model=model,
                pushed_model=pushed_model,
                data=data.model_dump_json(),
                destination=destination,
            )
        )
