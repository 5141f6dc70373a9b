"""Compiles a pipeline to a KFP v2 package: one container task for each group of nodes, and one at the exit."""

from __future__ import annotations

import inspect
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import nodes, parameters
from pipeline.errors import ConfigError
from pipeline.kubeflow.groups import NodeGroup, group_nodes, groups_of
from pipeline.kubeflow.pod import dashboard
from pipeline.kubeflow.pod.finish import WEBHOOK_VARIABLE
from pipeline.kubeflow.pod.names import label_value
from pipeline.kubeflow.pod.payload import Payload
from pipeline.kubeflow.pod_config import in_cluster, without_folders
from pipeline.kubeflow.workflow_size import require_fitting_workflow
from pipeline.runs.database import ENVIRONMENT_VARIABLE
from pipeline.util.imports import heavy_imports
from pipeline.util.stderr import stderr_to
from pipeline.util.suggestions import did_you_mean

if TYPE_CHECKING:
    from kfp.dsl import PipelineTask
    from kfp.dsl.base_component import BaseComponent
    from tfx.proto.orchestration import pipeline_pb2

    from pipeline.config import PipelineConfig
    from pipeline.config.kubeflow import Retry

EXIT_TASK = "finish"
PIPELINE_LABEL, NODE_LABEL = "conveyor.dev/pipeline", "conveyor.dev/node"
"""The labels of each pod, by which what clusters count can be summed."""

_ATTEMPTS = 2

# KFP puts the task's inputs and outputs, as JSON, where this stands.
_EXECUTOR_INPUT = "{{$}}"


def compile_package(config: PipelineConfig) -> str:
    """Compiles a pipeline for Kubeflow.

    Args:
      config: the pipeline's configuration.

    Returns:
      The package: KFP's pipeline spec and, after `---`, its platform spec, as YAML. The same configuration and code give
      the same text.

    Raises:
      ConfigError: the configuration names something that cannot be read, or that pods cannot reach; a group of nodes cannot
        run; the pipeline is nested or too large.
    """
    settings = in_cluster(config)
    ir = _compile(settings)
    upstream = {entry.pipeline_node.node_info.id: list(entry.pipeline_node.upstream_nodes) for entry in ir.nodes}
    _check_nodes(config, upstream)
    payload = Payload.of(ir, without_folders(settings))
    package = _Package(settings, payload, group_nodes(upstream, groups_of(config.kubeflow, upstream)))
    require_fitting_workflow(package.arguments.values(), config.name)
    return package.text()


def names_of_pods(config: PipelineConfig, upstream: Iterable[str]) -> list[str]:
    """The names under which the configuration may give a pod resources of its own.

    Args:
      config: the pipeline's configuration.
      upstream: the ids of its nodes.
    """
    groups = config.kubeflow.groups
    return [*upstream, *(groups if isinstance(groups, dict) else ()), EXIT_TASK]


def _compile(config: PipelineConfig) -> pipeline_pb2.Pipeline:
    with _stderr_held_back(), heavy_imports():
        from tfx.dsl.compiler.compiler import Compiler

        from pipeline.graph import create_pipeline

    ir = Compiler().compile(create_pipeline(config))
    nested = [entry.sub_pipeline.pipeline_info.id for entry in ir.nodes if entry.HasField("sub_pipeline")]
    if nested:
        raise ConfigError(
            "A pipeline within a pipeline cannot run on Kubeflow.",
            where=", ".join(nested),
            expected="a pipeline of nodes alone",
            fix="Put the nodes of the inner pipeline into the outer one.",
        )
    return ir


@contextmanager
def _stderr_held_back() -> Iterator[None]:
    """Holds back what native code writes to stderr, unless an error follows.

    TensorFlow describes at its start the accelerators of a machine that will not run the pipeline, and no setting stops all
    of it.
    """
    with tempfile.TemporaryFile() as kept_back:
        try:
            with stderr_to(kept_back):
                yield
        except BaseException:
            kept_back.seek(0)
            os.write(2, kept_back.read())
            raise


def _check_nodes(config: PipelineConfig, upstream: Mapping[str, Sequence[str]]) -> None:
    known = names_of_pods(config, upstream)
    for name in config.kubeflow.nodes:
        if name not in known:
            raise ConfigError(
                f"There is no node {name!r} to ask resources for.",
                where=f"kubeflow.nodes.{name}",
                expected=", ".join(known),
                seen=name,
                fix=did_you_mean(name, known),
            )


class _Package:
    def __init__(self, config: PipelineConfig, payload: Payload, groups: Sequence[NodeGroup]) -> None:
        self.config, self.groups = config, groups
        # What each task is given, by its name: its own nodes of the pipeline, or their outline.
        self.arguments = {group.name: payload.of_nodes(group.nodes).arguments() for group in groups}
        self.arguments[EXIT_TASK] = payload.outline().arguments()
        self.parameters = parameters.parameters_of(config)

    def text(self) -> str:
        from kfp import compiler, dsl

        pipeline = dsl.pipeline(name=self.config.name)(self.pipeline_function())
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "package.yaml"
            compiler.Compiler().compile(pipeline, str(path))
            return path.read_text()

    def pipeline_function(self) -> Any:
        """The function that kfp's decorator takes, whose signature holds the parameters."""
        from kfp import dsl

        def pipeline(*values: Any) -> None:
            arguments = {"run_id": dsl.PIPELINE_JOB_ID_PLACEHOLDER, **dict(zip(self.parameters, values, strict=True))}
            at_exit = self.component(
                EXIT_TASK,
                self.config.kubeflow.image_of(EXIT_TASK),
                self.arguments[EXIT_TASK],
                {"report": "HTML"},
                status=dsl.PipelineTaskFinalStatus,
            )(**arguments)
            self.configure_pod(at_exit, EXIT_TASK, ())
            with dsl.ExitHandler(at_exit, name="nodes"):
                created: dict[str, PipelineTask] = {}
                for group in self.groups:
                    component = self.component(
                        group.component,
                        self.config.kubeflow.image_of(group.name),
                        [
                            *(part for node in group.nodes for part in ("--node", node)),
                            *self.arguments[group.name],
                        ],
                        dashboard.declared(group.nodes, self.config),
                    )
                    created[group.name] = component(**arguments).after(*(created[name] for name in group.upstream))
                    self.configure_pod(created[group.name], group.name, group.nodes)

        # kfp takes the descriptions from here, and the dashboard shows them beside the fields of its form.
        described = [f"  {parameter.name}: {parameter.description}" for parameter in self.parameters.values()]
        title = f"{self.config.task.value} of {self.config.label}: from a table to a pushed model."
        pipeline.__doc__ = "\n".join([title, "", "Args:", *described])
        pipeline.__signature__ = _signature(  # type: ignore[attr-defined]
            {parameter.name: type(parameter.default) for parameter in self.parameters.values()},
            {parameter.name: parameter.default for parameter in self.parameters.values()},
        )
        return pipeline

    def component(
        self, name: str, image: str, arguments: list[str], outputs: Mapping[str, str], **further: Any
    ) -> BaseComponent:
        """A container component. KFP merges components with equal containers, so the arguments name the nodes."""
        from kfp import dsl

        module = "finish" if name == EXIT_TASK else "entrypoint"
        spec = dsl.ContainerSpec(
            image=image,
            command=["python", "-m", f"pipeline.kubeflow.pod.{module}"],
            args=[*arguments, "--executor-input", _EXECUTOR_INPUT],
        )

        def container(*placeholders: Any) -> dsl.ContainerSpec:
            return spec

        inputs = {"run_id": str, **{parameter.name: type(parameter.default) for parameter in self.parameters.values()}}
        artifacts = {output: dsl.Output[getattr(dsl, kind)] for output, kind in outputs.items()}
        container.__name__ = name
        container.__signature__ = _signature({**inputs, **further, **artifacts}, {})  # type: ignore[attr-defined]
        return dsl.container_component(container)

    def configure_pod(self, task: PipelineTask, name: str, node_ids: Sequence[str]) -> None:
        """Sets a task's labels, volume, user, Secrets, resources and retries."""
        from kfp import kubernetes

        kubeflow = self.config.kubeflow
        task.set_display_name(name)
        # TFX has a cache of its own, which KFP's would bypass.
        task.set_caching_options(False)
        if attempts := _attempts(kubeflow.retry, node_ids):
            task.set_retry(
                attempts,
                backoff_duration=f"{kubeflow.retry.backoff_seconds}s",
                backoff_factor=kubeflow.retry.backoff_factor,
            )
        # Of the run, KFP itself tells by its label pipeline/runid.
        kubernetes.add_pod_label(task, PIPELINE_LABEL, self.config.name)
        kubernetes.add_pod_label(task, NODE_LABEL, label_value(name))
        kubernetes.mount_pvc(task, kubeflow.volume, kubeflow.mount_path)
        kubernetes.set_security_context(task, kubeflow.user, kubeflow.user, run_as_non_root=True)
        kubernetes.set_image_pull_policy(task, kubeflow.image_pull_policy)
        if kubeflow.image_pull_secrets:
            kubernetes.set_image_pull_secrets(task, list(kubeflow.image_pull_secrets))
        secrets = {ENVIRONMENT_VARIABLE: kubeflow.metadata, **kubeflow.environment}
        if kubeflow.webhook and name == EXIT_TASK:
            secrets[WEBHOOK_VARIABLE] = kubeflow.webhook
        for variable, secret in secrets.items():
            kubernetes.use_secret_as_env(task, secret.secret, {secret.key: variable})
        self.set_resources(task, name, num_nodes=max(len(node_ids), 1))

    def set_resources(self, task: PipelineTask, name: str, num_nodes: int) -> None:
        """Sets the resources that a task asks for, and the nodes of the cluster that it may run on."""
        from kfp import kubernetes

        resources = self.config.kubeflow.resources_of(name)
        for setter, quantity in (
            (task.set_cpu_request, resources.cpu_request),
            (task.set_cpu_limit, resources.cpu_limit),
            (task.set_memory_request, resources.memory_request),
            (task.set_memory_limit, resources.memory_limit),
        ):
            if quantity is not None:
                setter(quantity)
        if resources.accelerator is not None:
            task.set_accelerator_type(resources.accelerator)
            task.set_accelerator_limit(resources.accelerator_count)
        if resources.timeout_seconds is not None:
            kubernetes.set_timeout(task, resources.timeout_seconds * num_nodes)
        for label, value in resources.node_selector.items():
            kubernetes.add_node_selector(task, label, value)
        for toleration in resources.tolerations:
            kubernetes.add_toleration(task, toleration.key, toleration.operator, toleration.value or None, toleration.effect)


def _attempts(retry: Retry, node_ids: Sequence[str]) -> int:
    """How many times a task is tried again. A data error is met again each time, and waited for."""
    if retry.attempts is not None:
        return retry.attempts
    if nodes.EXAMPLE_VALIDATOR.id in node_ids:
        return 1 if len(node_ids) > 1 else 0
    return _ATTEMPTS


def _signature(annotations: Mapping[str, Any], defaults: Mapping[str, Any]) -> inspect.Signature:
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    return inspect.Signature(
        [
            inspect.Parameter(name, kind, annotation=annotation, default=defaults.get(name, inspect.Parameter.empty))
            for name, annotation in annotations.items()
        ]
    )
