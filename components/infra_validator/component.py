"""An InfraValidator that needs neither a Docker engine nor a cluster."""

from __future__ import annotations

from typing import ClassVar

from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import BaseChannel, Channel, ComponentSpec, standard_artifacts
from tfx.types.component_spec import ChannelParameter, ExecutionParameter

from components.infra_validator.executor import Executor


class ProcessInfraValidatorSpec(ComponentSpec):
    """Inputs and output are those of TFX's InfraValidator."""

    INPUTS: ClassVar = {
        "model": ChannelParameter(type=standard_artifacts.Model),
        "examples": ChannelParameter(type=standard_artifacts.Examples),
    }
    OUTPUTS: ClassVar = {"blessing": ChannelParameter(type=standard_artifacts.InfraBlessing)}
    PARAMETERS: ClassVar = {
        "requests": ExecutionParameter(type=int),
        "timeout_seconds": ExecutionParameter(type=int),
    }


class ProcessInfraValidator(base_component.BaseComponent):
    """Loads the candidate in a fresh process, as TensorFlow Serving does, and sends it real rows.

    A model that cannot be loaded, crashes, takes too long, or answers with numbers that are not finite, of a wrong shape or
    different from one signature to the other is not blessed; the node itself succeeds. Why, how long loading took and the
    latency of a request are custom properties of the output, an `InfraBlessing` as TFX's own.
    """

    SPEC_CLASS = ProcessInfraValidatorSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(self, model: BaseChannel, examples: BaseChannel, requests: int, timeout_seconds: int) -> None:
        """Makes the node.

        Args:
          model: the candidate, a `Model`.
          examples: where the requests are taken from, `Examples` with a split `eval`.
          requests: how many rows the candidate must answer.
          timeout_seconds: seconds to start the process, to load and to answer.
        """
        super().__init__(
            ProcessInfraValidatorSpec(
                model=model,
                examples=examples,
                requests=requests,
                timeout_seconds=timeout_seconds,
                blessing=Channel(standard_artifacts.InfraBlessing),
            )
        )
