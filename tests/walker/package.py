"""A package: KFP's pipeline spec and platform spec, read strictly and checked for what the backend would refuse or mistake."""

from __future__ import annotations

import graphlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import yaml
from google.protobuf import json_format
from google.protobuf.message import Message
from kfp.kubernetes import kubernetes_executor_config_pb2
from kfp.pipeline_spec import pipeline_spec_pb2

SCHEMA_VERSION = "2.1.0"
MAX_ARGUMENT = 128 * 1024
"""Bytes of one argument of a Linux process, with the zero at its end (MAX_ARG_STRLEN)."""

_M = TypeVar("_M", bound=Message)
_KUBERNETES_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
# Argo fills in tags of its own in the same text; what begins with $ it leaves to KFP.
_ARGO_TAG = re.compile(r"\{\{(?!\$)")
# What the walker carries out, and what only says where and how a pod is scheduled.
_KNOWN_PLATFORM_FIELDS = {
    *("secret_as_env", "pvc_mount", "active_deadline_seconds", "security_context"),
    *(
        "image_pull_policy",
        "image_pull_secret",
        "node_selector",
        "tolerations",
        "pod_metadata",
        "node_affinity",
        "pod_affinity",
    ),
}


class PackageError(Exception):
    """The backend would refuse the package, or the walker does not know something that it uses."""


@dataclass(frozen=True)
class Component:
    """A component and, unless it is a DAG, how its pods look."""

    spec: pipeline_spec_pb2.ComponentSpec
    container: pipeline_spec_pb2.PipelineDeploymentConfig.PipelineContainerSpec | None
    platform: kubernetes_executor_config_pb2.KubernetesExecutorConfig


@dataclass(frozen=True)
class Package:
    """A package that the backend would accept.

    Attributes:
      spec: the pipeline.
      components: by name.
    """

    spec: pipeline_spec_pb2.PipelineSpec
    components: dict[str, Component]

    @classmethod
    def parse(cls, text: str) -> Package:
        """Reads a package and checks it.

        Args:
          text: what kfp's compiler writes: a YAML document with the pipeline and, where it has one, one with the platform.

        Raises:
          PackageError: the backend would not accept it or, worse, would run something else than what is meant.
        """
        documents = [document for document in yaml.safe_load_all(text) if document]
        pipelines = [document for document in documents if "pipelineInfo" in document]
        platforms = [document for document in documents if "platforms" in document]
        if len(pipelines) != 1 or len(platforms) > 1 or len(documents) != len(pipelines) + len(platforms):
            raise PackageError("a package is one pipeline spec and at most one platform spec")
        spec = _read(pipelines[0], pipeline_spec_pb2.PipelineSpec())
        executors = _read(
            json_format.MessageToDict(spec.deployment_spec), pipeline_spec_pb2.PipelineDeploymentConfig()
        ).executors
        platform = _read(platforms[0] if platforms else {}, pipeline_spec_pb2.PlatformSpec()).platforms["kubernetes"]
        components: dict[str, Component] = {}
        for name, component in spec.components.items():
            label = component.executor_label
            if label and not executors[label].HasField("container"):
                raise PackageError(f"{name}: no container for its executor {label!r}")
            components[name] = Component(
                component,
                executors[label].container if label else None,
                _read(
                    json_format.MessageToDict(platform.deployment_spec.executors[label]),
                    kubernetes_executor_config_pb2.KubernetesExecutorConfig(),
                ),
            )
        package = cls(spec, components)
        _check(package)
        return package

    def dags(self) -> Iterator[pipeline_spec_pb2.DagSpec]:
        """The pipeline itself and the DAGs within it."""
        yield self.spec.root.dag
        yield from (component.spec.dag for component in self.components.values() if component.container is None)


def upstream_of(task: pipeline_spec_pb2.PipelineTaskSpec) -> set[str]:
    """The tasks of the same DAG that a task waits for: those it names and those whose outputs it takes."""
    parameters = (each.task_output_parameter.producer_task for each in task.inputs.parameters.values())
    artifacts = (each.task_output_artifact.producer_task for each in task.inputs.artifacts.values())
    return {name for name in (*task.dependent_tasks, *parameters, *artifacts) if name}


def is_exit_task(task: pipeline_spec_pb2.PipelineTaskSpec) -> bool:
    """Whether a task runs when those before it have ended, however they did."""
    return task.trigger_policy.strategy == task.TriggerPolicy.ALL_UPSTREAM_TASKS_COMPLETED


def _read(content: dict[str, Any], message: _M) -> _M:
    try:
        return json_format.ParseDict(content, message)
    except json_format.ParseError as error:
        raise PackageError(f"not a {message.DESCRIPTOR.name}: {error}") from None


def _check(package: Package) -> None:
    if package.spec.schema_version != SCHEMA_VERSION:
        raise PackageError(f"KFP only supports schema version {SCHEMA_VERSION}, not {package.spec.schema_version!r}")
    if not _KUBERNETES_NAME.fullmatch(package.spec.pipeline_info.name):
        raise PackageError(f"{package.spec.pipeline_info.name!r}: Kubernetes could not give a run's objects this name")
    for dag in package.dags():
        _check_dag(package, dag)
    for name, component in package.components.items():
        if component.container is not None:
            _check_container(name, component.container)
            _check_platform(name, component.platform)
    _check_shared_containers(package.components)


def _check_dag(package: Package, dag: pipeline_spec_pb2.DagSpec) -> None:
    if all(is_exit_task(task) for task in dag.tasks.values()):
        raise PackageError("a DAG must contain one or more non-exit tasks")
    for name, task in dag.tasks.items():
        component = package.components.get(task.component_ref.name)
        if component is None:
            raise PackageError(f"{name}: no component {task.component_ref.name!r}")
        for unknown in ("artifact_iterator", "parameter_iterator"):
            if task.HasField(unknown):
                raise PackageError(f"{name}: the walker does not know {unknown}")
        if task.trigger_policy.condition:
            raise PackageError(f"{name}: the walker does not know conditions")
        if component.container is not None and task.caching_options.enable_cache:
            raise PackageError(f"{name}: KFP's cache is on, and would pass by what the task itself knows of its inputs")
        if missing := upstream_of(task) - set(dag.tasks):
            raise PackageError(f"{name}: waits for {', '.join(sorted(missing))}, which its DAG does not have")
        if not float(task.retry_policy.backoff_factor).is_integer():
            raise PackageError(f"{name}: Argo takes a whole backoff factor only, not {task.retry_policy.backoff_factor}")
    try:
        graphlib.TopologicalSorter({name: upstream_of(task) for name, task in dag.tasks.items()}).prepare()
    except graphlib.CycleError as error:
        raise PackageError(f"tasks wait for one another: {' <- '.join(error.args[1])}") from None


def _check_container(name: str, container: pipeline_spec_pb2.PipelineDeploymentConfig.PipelineContainerSpec) -> None:
    described = json.dumps(json_format.MessageToDict(container), separators=(",", ":")).encode()
    if len(described) >= MAX_ARGUMENT:
        raise PackageError(f"{name}: the driver gets the container as one argument, and {len(described)} bytes are too many")
    if not (container.command or container.args):
        raise PackageError(f"{name}: no command, and KFP's launcher does not use the image's own")
    if _ARGO_TAG.search(described.decode()):
        raise PackageError(f"{name}: Argo would take {{{{ in its container for a tag of its own")


def _check_platform(name: str, platform: kubernetes_executor_config_pb2.KubernetesExecutorConfig) -> None:
    unknown = {field.name for field, _ in platform.ListFields()} - _KNOWN_PLATFORM_FIELDS
    if unknown:
        raise PackageError(f"{name}: the walker does not know {', '.join(sorted(unknown))} of the platform spec")


def _check_shared_containers(components: dict[str, Component]) -> None:
    """The backend keeps component specs by a hash of the container alone: of two, the first one's is used for both."""
    first: dict[bytes, tuple[str, pipeline_spec_pb2.ComponentSpec]] = {}
    for name, component in sorted(components.items()):
        if component.container is None:
            continue
        interface = pipeline_spec_pb2.ComponentSpec()
        interface.CopyFrom(component.spec)
        interface.ClearField("executor_label")
        other, expected = first.setdefault(component.container.SerializeToString(deterministic=True), (name, interface))
        if interface != expected:
            raise PackageError(f"{name} has the same container as {other}, and would get its inputs and outputs")
