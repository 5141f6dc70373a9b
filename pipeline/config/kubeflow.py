"""How nodes run as pods."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from pipeline.config.section import Section


class Toleration(Section):
    """A taint of cluster nodes that a pod puts up with."""

    key: str
    """The taint's key."""
    operator: Literal["Equal", "Exists"] = "Equal"
    """`Equal`: the taint has this value. `Exists`: it has any."""
    value: str = ""
    """The taint's value, for `Equal`."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] = "NoSchedule"
    """The taint's effect."""


# YAML reads 2 as a number.
_Quantity = Annotated[
    str,
    BeforeValidator(lambda given: str(given) if type(given) in (int, float) else given, json_schema_input_type=str | float),
    Field(pattern=r"^\d+(\.\d+)?([kMGTPE]i?|m)?$", examples=["500m", "4Gi"]),
]


class Resources(Section):
    """The resources of a pod. Quantities are written as Kubernetes writes them: 500m, 2, 4Gi."""

    cpu_request: _Quantity | None = None
    """Cores that are set aside for the pod."""
    cpu_limit: _Quantity | None = None
    """Cores that it may use at the most; not limited when not given."""
    memory_request: _Quantity | None = None
    """Memory that is set aside for the pod."""
    memory_limit: _Quantity | None = None
    """Memory at which it is killed."""
    accelerator: str | None = None
    """The name of the accelerator as a resource, such as nvidia.com/gpu."""
    accelerator_count: Annotated[int, Field(ge=1)] = 1
    """How many accelerators."""
    timeout_seconds: Annotated[int, Field(ge=1)] | None = None
    """Seconds after which the pod is ended and its attempt counts as failed."""
    node_selector: dict[str, str] = Field(default_factory=dict)
    """Labels that the cluster's node must have."""
    tolerations: tuple[Toleration, ...] = ()
    """Taints that the cluster's node may have."""


_Variable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", examples=["HTTPS_PROXY"])]


class SecretKey(Section):
    """A value in a Kubernetes Secret."""

    secret: str
    """The Secret's name, in the namespace of the runs."""
    key: str
    """Which of its values."""


class Retry(Section):
    """How a pod that fails is tried again: the node goes on under the same execution."""

    attempts: Annotated[int, Field(ge=0)] = 2
    """How many times to try again; nothing is tried again an hour after the first attempt began, as Kubeflow has it."""
    backoff_seconds: Annotated[int, Field(ge=0)] = 30
    """Seconds before the first new attempt."""
    backoff_factor: Annotated[int, Field(ge=1)] = 2
    """By how much the wait grows with each attempt."""


class Kubeflow(Section):
    """How nodes run as pods on Kubeflow Pipelines; `conveyor run` takes no notice of it."""

    host: str = "http://localhost:8080"
    """Where the dashboard answers, and with it the API."""
    context: str = "kind-conveyor"
    """The context of kubectl that names the cluster; no command touches another."""
    namespace: str = "kubeflow"
    """The namespace of the runs."""
    experiment: str = "{name}"
    """The experiment that runs are listed under; {name} stands for the pipeline's name."""
    image: str = "conveyor:0.1.0"
    """The task image: `conveyor image build` makes it."""
    image_pull_policy: Literal["IfNotPresent", "Always", "Never"] = "IfNotPresent"
    """When the cluster fetches the image."""
    image_pull_secrets: tuple[str, ...] = ()
    """Secrets that open the image's registry."""
    volume: str = "conveyor"
    """The PersistentVolumeClaim with data, artifacts and models."""
    mount_path: Annotated[str, Field(pattern=r"^(/[A-Za-z0-9._-]+)+$")] = "/conveyor"
    """Where the volume is mounted in every pod; {workspace} stands for it there."""
    user: Annotated[int, Field(ge=1)] = 1000
    """The user and group id of every pod. One for all, since pods run without the right to write other users' files."""
    metadata: SecretKey = SecretKey(secret="conveyor-metadata", key="url")
    """Where the address of the ML Metadata database is: mysql://USER:PASSWORD@HOST:PORT/DATABASE, or postgresql://."""
    webhook: SecretKey | None = None
    """Where the address is that the outcome of each run is posted to, as JSON."""
    environment: dict[_Variable, SecretKey] = Field(default_factory=dict)
    """Further environment variables of every pod, from Secrets. Names that begin with CONVEYOR_ are taken."""
    retry: Retry = Retry()
    """How a pod that fails is tried again."""
    resources: Resources = Resources(cpu_request="500m", memory_request="1Gi", memory_limit="4Gi", timeout_seconds=3600)
    """The resources of every pod."""
    nodes: dict[str, Resources] = Field(default_factory=dict)
    """The resources of the pods of single nodes or groups; whatever is not given here is as for every pod."""
    groups: dict[str, Annotated[tuple[str, ...], Field(min_length=1)]] = Field(default_factory=dict)
    """Nodes that share one pod, by the name of the group: each pod costs seconds to start."""

    @model_validator(mode="after")
    def _names_are_free(self) -> Kubeflow:
        if taken := [name for name in self.environment if name.startswith("CONVEYOR_")]:
            raise ValueError(f"environment names {', '.join(taken)}: names that begin with CONVEYOR_ are taken")
        return self

    def resources_of(self, task: str) -> Resources:
        """The resources of the pod of a node or group."""
        own = self.nodes.get(task)
        given = {} if own is None else {field: getattr(own, field) for field in own.model_fields_set}
        return self.resources.model_copy(update=given)
