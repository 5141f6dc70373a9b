"""The InfraValidator that suits the settings and the machine: TFX's with a container, or one that needs only a process."""

from __future__ import annotations

from typing import ClassVar

from tfx.components.infra_validator.component import InfraValidator
from tfx.dsl.components.base import base_component, executor_spec
from tfx.dsl.components.base.base_component import BaseComponent
from tfx.proto import infra_validator_pb2
from tfx.types import BaseChannel, Channel, ComponentSpec, standard_artifacts
from tfx.types.component_spec import ChannelParameter, ExecutionParameter

from components.infra_validator.docker import serves_in_container
from components.infra_validator.executor import Executor
from pipeline import config
from pipeline.contracts.model import EXAMPLES_SIGNATURE


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
    different from one signature to the other is not blessed; the node itself succeeds. The reason, the seconds that loading
    took and the latency of a request are custom properties of the output, an `InfraBlessing` as TFX's own.

    Args:
      model: the candidate, a `Model`.
      examples: the `Examples` that the requests are taken from, with a split `eval`.
      requests: the number of rows that the candidate must answer.
      timeout_seconds: the time for each step, in seconds: to start the process, to load, to answer a request.
    """

    SPEC_CLASS = ProcessInfraValidatorSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(self, model: BaseChannel, examples: BaseChannel, requests: int, timeout_seconds: int) -> None:
        super().__init__(
            ProcessInfraValidatorSpec(
                model=model,
                examples=examples,
                requests=requests,
                timeout_seconds=timeout_seconds,
                blessing=Channel(standard_artifacts.InfraBlessing),
            )
        )


def infra_validator_for(settings: config.InfraValidator, model: BaseChannel, examples: BaseChannel) -> BaseComponent:
    """The InfraValidator that suits the settings and the machine.

    Args:
      settings: the section `infra_validator` of the configuration.
      model: the candidate, a `Model`.
      examples: the `Examples` that the requests are taken from, with a split `eval`.

    Returns:
      A node with the output `blessing`.

    Raises:
      ConfigError: the runner is `docker`, and no engine answers.
    """
    if serves_in_container(settings):
        return _in_container(settings, model, examples)
    return ProcessInfraValidator(
        model=model, examples=examples, requests=settings.requests, timeout_seconds=settings.timeout_seconds
    )


def _in_container(settings: config.InfraValidator, model: BaseChannel, examples: BaseChannel) -> InfraValidator:
    serving = infra_validator_pb2.TensorFlowServing()
    name, _, digest = settings.image.partition("@")
    if digest:
        serving.image_name = name
        serving.digests.append(digest)
    else:
        # A colon before the last slash belongs to the registry's port.
        path, colon, last = name.rpartition("/")
        image, _, tag = last.partition(":")
        serving.image_name = path + colon + image
        serving.tags.append(tag or "latest")
    return InfraValidator(
        model=model,
        examples=examples,
        serving_spec=infra_validator_pb2.ServingSpec(
            tensorflow_serving=serving, local_docker=infra_validator_pb2.LocalDockerConfig()
        ),
        validation_spec=infra_validator_pb2.ValidationSpec(max_loading_time_seconds=settings.timeout_seconds, num_tries=2),
        request_spec=infra_validator_pb2.RequestSpec(
            tensorflow_serving=infra_validator_pb2.TensorFlowServingRequestSpec(signature_names=[EXAMPLES_SIGNATURE]),
            split_name="eval",
            num_examples=settings.requests,
        ),
    )
