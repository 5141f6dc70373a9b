"""What the driver does before a task's pod: resolves the inputs and says where the outputs go."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf import json_format
from kfp.kubernetes import kubernetes_executor_config_pb2
from kfp.pipeline_spec import pipeline_spec_pb2

from tests.walker import placeholders, values
from tests.walker.package import Component
from tests.walker.results import TaskResult

_OUTPUT_PARAMETERS = "/tmp/kfp/outputs"
EXECUTOR_LOGS = "executor-logs"


class DriverError(Exception):
    """The driver would fail, and with it the task, before there is a pod."""


@dataclass(frozen=True)
class Job:
    """A run as its tasks may know it.

    Attributes:
      id: KFP's id of the run.
      name: of the workflow.
      display_name: that a person gave it.
      created: when, in UTC, as ISO 8601.
      root: of the object store, for this run.
    """

    id: str
    name: str
    display_name: str
    created: str
    root: str


@dataclass(frozen=True)
class Scope:
    """What the tasks of a DAG may refer to.

    Attributes:
      parameters: the DAG's own inputs.
      results: of the container tasks that have succeeded.
      final_states: of the tasks that have ended, as ML Metadata has them.
    """

    parameters: Mapping[str, Any]
    results: Mapping[str, TaskResult]
    final_states: Mapping[str, str]


@dataclass(frozen=True)
class Order:
    """What the driver hands on to the launcher.

    Attributes:
      arguments: command and arguments, with input parameters filled in.
      inputs: the executor input's, without defaults of the component.
      outputs: the executor input's.
    """

    arguments: list[str]
    inputs: dict[str, Any]
    outputs: dict[str, Any]


def prepare(name: str, task: pipeline_spec_pb2.PipelineTaskSpec, component: Component, scope: Scope, job: Job) -> Order:
    """Prepares a container task.

    Raises:
      DriverError: an input cannot be resolved.
    """
    container = component.container
    assert container is not None
    parameters = resolve_parameters(name, task, component.spec, scope, job)
    try:
        arguments = placeholders.fill_in_parameters([*container.command, *container.args], parameters)
    except placeholders.MissingParameterError as error:
        raise DriverError(f"{name}: {error}") from None
    artifacts = {key: _input_artifact(name, each, scope) for key, each in task.inputs.artifacts.items()}
    return Order(arguments, {"parameterValues": parameters, "artifacts": artifacts}, _outputs(name, component.spec, job))


def resolve_parameters(
    name: str, task: pipeline_spec_pb2.PipelineTaskSpec, component: pipeline_spec_pb2.ComponentSpec, scope: Scope, job: Job
) -> dict[str, Any]:
    """The input parameters of a task. Those of a DAG include its defaults, those of a container do not.

    Raises:
      DriverError: one has no value, or a value of another type.
    """
    resolved: dict[str, Any] = {}
    declared = component.input_definitions.parameters
    if component.HasField("dag"):
        for key, each in declared.items():
            if each.is_optional and key not in task.inputs.parameters:
                resolved[key] = values.from_proto(each.default_value) if each.HasField("default_value") else None
    for key, given in task.inputs.parameters.items():
        value = _parameter(name, task, given, scope, job)
        if value is not None:
            resolved[key] = value
        elif not declared[key].is_optional:
            raise DriverError(f"{name}: the parameter {key!r} is null and not optional")
    for key, each in declared.items():
        if key not in resolved:
            if not each.is_optional and not each.HasField("default_value"):
                raise DriverError(f"{name}: neither value nor default value provided for non-optional parameter {key!r}")
        elif each.parameter_type == values.Type.STRING and resolved[key] is not None:
            resolved[key] = values.text(resolved[key])
        elif resolved[key] is not None and not values.has_type(resolved[key], each.parameter_type):
            expected = values.Type.ParameterTypeEnum.Name(each.parameter_type)
            raise DriverError(f"{name}: input parameter {key!r} type mismatch: expect {expected}, got {resolved[key]!r}")
    return resolved


def resolve_secrets(
    platform: kubernetes_executor_config_pb2.KubernetesExecutorConfig, secrets: Mapping[str, Mapping[str, str]]
) -> dict[str, str]:
    """Environment variables from secrets.

    Raises:
      DriverError: a secret or its key is missing: the pod would wait for it for ever.
    """
    environment = {}
    for entry in platform.secret_as_env:
        secret = _constant(entry.secret_name_parameter) or entry.secret_name
        for pair in entry.key_to_env:
            if pair.secret_key in secrets.get(secret, {}):
                environment[pair.env_var] = secrets[secret][pair.secret_key]
            elif not entry.optional:
                raise DriverError(f"the pod never starts: no key {pair.secret_key!r} in a Secret {secret!r}")
    return environment


def resolve_mounts(
    platform: kubernetes_executor_config_pb2.KubernetesExecutorConfig, volumes: Mapping[str, Path]
) -> dict[str, Path]:
    """Folders of volumes by the path at which they are mounted.

    Raises:
      DriverError: there is no such claim: the pod would wait for it for ever.
    """
    mounts = {}
    for each in platform.pvc_mount:
        claim = _constant(each.pvc_name_parameter) or each.constant
        if claim not in volumes:
            raise DriverError(f"the pod never starts: no PersistentVolumeClaim {claim!r}")
        mounts[each.mount_path] = volumes[claim] / each.sub_path
    return mounts


def _constant(parameter: pipeline_spec_pb2.TaskInputsSpec.InputParameterSpec) -> str:
    return str(parameter.runtime_value.constant.string_value)


def _parameter(
    name: str,
    task: pipeline_spec_pb2.PipelineTaskSpec,
    given: pipeline_spec_pb2.TaskInputsSpec.InputParameterSpec,
    scope: Scope,
    job: Job,
) -> Any:
    kind = given.WhichOneof("kind")
    if given.parameter_expression_selector:
        raise DriverError(f"{name}: the walker does not know parameter expression selectors")
    if kind == "component_input_parameter":
        if given.component_input_parameter not in scope.parameters:
            raise DriverError(f"{name}: parent DAG does not have input parameter {given.component_input_parameter}")
        return scope.parameters[given.component_input_parameter]
    if kind == "task_output_parameter":
        output = given.task_output_parameter
        produced = scope.results[output.producer_task].parameters if output.producer_task in scope.results else {}
        if output.output_parameter_key not in produced:
            raise DriverError(f"{name}: {output.producer_task} has no output parameter {output.output_parameter_key!r}")
        return produced[output.output_parameter_key]
    if kind == "task_final_status":
        producer = task.dependent_tasks[0]
        return {
            "state": scope.final_states[producer],
            "pipelineJobResourceName": job.name,
            "pipelineTaskName": producer,
            "error": {},
        }
    constant = values.from_proto(given.runtime_value.constant)
    return _constants(name, job).get(constant, constant) if isinstance(constant, str) else constant


def _constants(name: str, job: Job) -> dict[str, str]:
    """Placeholders that hold as the whole value of an input parameter."""
    return {
        "{{$.pipeline_job_name}}": job.display_name,
        "{{$.pipeline_job_resource_name}}": job.name,
        "{{$.pipeline_job_uuid}}": job.id,
        "{{$.pipeline_task_name}}": name,
        "{{$.pipeline_job_create_time_utc}}": job.created,
    }


def _input_artifact(name: str, given: pipeline_spec_pb2.TaskInputsSpec.InputArtifactSpec, scope: Scope) -> dict[str, Any]:
    output = given.task_output_artifact
    produced = scope.results[output.producer_task].artifacts if output.producer_task in scope.results else {}
    if output.output_artifact_key not in produced:
        raise DriverError(f"{name}: no artifact {output.output_artifact_key!r} of a task {output.producer_task!r} before it")
    artifact = produced[output.output_artifact_key]
    described = {"name": output.output_artifact_key, "uri": artifact.uri, "metadata": artifact.metadata}
    return {"artifacts": [{**described, "type": {"schemaTitle": artifact.type}}]}


def _outputs(name: str, component: pipeline_spec_pb2.ComponentSpec, job: Job) -> dict[str, Any]:
    """Where outputs go (provisionOutputs). Every task has its log as one."""
    root = f"{job.root}/{name}/{uuid.uuid4()}"
    declared = {
        key: {"type": json_format.MessageToDict(each.artifact_type), "metadata": json_format.MessageToDict(each.metadata)}
        for key, each in component.output_definitions.artifacts.items()
    }
    declared[EXECUTOR_LOGS] = {"type": {"schemaTitle": "system.Artifact"}, "metadata": {}}
    return {
        "artifacts": {
            key: {"artifacts": [{"name": key, "uri": f"{root}/{key}", **described}]} for key, described in declared.items()
        },
        "parameters": {key: {"outputFile": f"{_OUTPUT_PARAMETERS}/{key}"} for key in component.output_definitions.parameters},
        "outputFile": f"{placeholders.local_path(root)}/output_metadata.json",
    }
