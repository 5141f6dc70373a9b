"""From BulkInferrer's output to a Parquet file."""

from __future__ import annotations

from typing import ClassVar

from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import BaseChannel, ComponentSpec, standard_artifacts
from tfx.types.component_spec import ChannelParameter, ExecutionParameter

from components.prediction_writer.executor import Executor


class PredictionWriterSpec(ComponentSpec):
    """There is no output artifact: the table belongs to whoever named its destination."""

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
    """

    SPEC_CLASS = PredictionWriterSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(self, inference_result: BaseChannel, pushed_model: BaseChannel, destination: str) -> None:
        """Makes the node.

        Args:
          inference_result: BulkInferrer's output of that name, with one prediction log a row.
          pushed_model: the `PushedModel` of the model that BulkInferrer used.
          destination: the Parquet file to write, on a local or mounted file system. One that exists is replaced.
        """
        super().__init__(
            PredictionWriterSpec(inference_result=inference_result, pushed_model=pushed_model, destination=destination)
        )
