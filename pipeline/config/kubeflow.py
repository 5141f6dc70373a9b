"""How nodes run as pods."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Annotated, Any, Literal

from pydantic import Field, field_serializer, model_validator

from pipeline.config.addresses import HttpUrl
from pipeline.config.auth import Auth
from pipeline.config.flaws import Flaw, FlawedError, checked_by
from pipeline.config.kubernetes import (
    LARGEST,
    Cpu,
    DataKey,
    ExtendedResource,
    Image,
    LabelKey,
    LabelValue,
    Memory,
    Namespace,
    ObjectName,
    amount,
)
from pipeline.config.section import ConfigPath, Section
from pipeline.errors import UsageError

_KUBEFLOW = "kubeflow"
# Docker's smallest limit; less is a number without its unit.
_LEAST_MEMORY = 6 * 1024**2
# Folders of the image and of the system: a volume there would hide the code or what runs it.
_TAKEN_FOLDERS = ("bin", "boot", "dev", "etc", "lib", "lib64", "opt/conveyor", "proc", "run", "sbin", "sys", "usr", "var/run")


def _check_mount_path(path: str) -> None:
    parts = path.strip("/").split("/")
    if {".", ".."} & set(parts):
        raise UsageError(
            "The volume is mounted at a path without . and ..",
            seen=path,
            expected="such as /conveyor",
            fix="Write the whole path.",
        )
    taken = next(
        (
            folder
            for folder in _TAKEN_FOLDERS
            if f"{folder}/".startswith(f"{path.strip('/')}/") or path.strip("/").startswith(f"{folder}/")
        ),
        None,
    )
    if taken:
        raise UsageError(
            f"A volume there would hide /{taken} of the image.",
            expected="a folder that the image does not have",
            seen=path,
            fix="Write: mount_path: /conveyor",
        )


class Toleration(Section):
    """A taint of cluster nodes that a pod puts up with."""

    key: LabelKey
    """The taint's key."""
    operator: Literal["Equal", "Exists"] = "Equal"
    """`Equal`: the taint has this value. `Exists`: it has any."""
    value: LabelValue = ""
    """The taint's value, for `Equal`."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] = "NoSchedule"
    """The taint's effect."""

    @model_validator(mode="after")
    def _only_equal_has_a_value(self) -> Toleration:
        if self.operator == "Exists" and self.value:
            raise FlawedError(
                Flaw(
                    "A toleration with operator Exists has a value.",
                    ("value",),
                    "no value, since any is tolerated",
                    self.value,
                    "Remove the value, or write: operator: Equal",
                )
            )
        return self


class Resources(Section):
    """The resources of a pod. Quantities are written as Kubernetes writes them: 500m, 2, 4Gi."""

    cpu_request: Cpu | None = None
    """Cores that are set aside for the pod."""
    cpu_limit: Cpu | None = None
    """Cores that it may use at the most; not limited when not given."""
    memory_request: Memory | None = None
    """Memory that is set aside for the pod."""
    memory_limit: Memory | None = None
    """Memory at which it is killed."""
    accelerator: ExtendedResource | None = None
    """The name of the accelerator as a resource, such as nvidia.com/gpu."""
    accelerator_count: Annotated[int, Field(ge=1, le=LARGEST)] = 1
    """How many accelerators."""
    timeout_seconds: Annotated[int, Field(ge=1, le=LARGEST)] | None = None
    """Seconds after which the pod is ended and its attempt counts as failed; for each of the nodes that share the pod."""
    node_selector: dict[LabelKey, LabelValue] = Field(default_factory=dict)
    """Labels that the cluster's node must have."""
    tolerations: tuple[Toleration, ...] = ()
    """Taints that the cluster's node may have."""


class OwnPod(Resources):
    """The pod of a node or a group that is not like the others."""

    image: Image | None = None
    """Its image, such as one with libraries for GPUs, built from the same code; null: that of every pod."""


_Variable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", examples=["HTTPS_PROXY"])]


class SecretKey(Section):
    """A value in a Kubernetes Secret."""

    secret: ObjectName
    """The Secret's name, in the namespace of the runs."""
    key: DataKey
    """Which of its values."""


class Retry(Section):
    """How a pod that fails is tried again: the node goes on under the same execution."""

    attempts: Annotated[int, Field(ge=0, le=LARGEST)] | None = None
    """How many times to try again; null: twice. ExampleValidator fails for its data: a pod of its own is not tried again, and
    one that it shares once. Nothing is tried again an hour after the first attempt began, as Kubeflow has it."""
    backoff_seconds: Annotated[int, Field(ge=0, le=3600)] = 30
    """Seconds before the first new attempt."""
    backoff_factor: Annotated[int, Field(ge=1, le=LARGEST)] = 2
    """By how much the wait grows with each attempt."""


class Kubeflow(Section):
    """How nodes run as pods on Kubeflow Pipelines; `conveyor run` takes no notice of it."""

    host: HttpUrl = "http://localhost:8080"
    """Where the dashboard answers, and with it the API: on a Kubeflow with profiles, the address that ends in /pipeline."""
    auth: Auth | None = None
    """How Conveyor logs in there: token_file, command, cookie_file or service_account; null: not at all."""
    ca_file: Annotated[ConfigPath, Field(min_length=1)] | None = None
    """Certificates (PEM) of the authorities that vouch for an https host; null: those that browsers know."""
    context: Annotated[str, Field(min_length=1)] = "kind-conveyor"
    """The context of kubectl that names the cluster; no command touches another."""
    namespace: Namespace = _KUBEFLOW
    """The namespace of the runs; on a Kubeflow with profiles, that of your profile."""
    experiment: Annotated[str, Field(min_length=1, max_length=128)] = "{name}"
    """The experiment that runs are listed under; {name} stands for the pipeline's name."""
    image: Image = "conveyor:0.1.0"
    """The task image: `conveyor image build` makes it."""
    image_pull_policy: Literal["IfNotPresent", "Always", "Never"] = "IfNotPresent"
    """When the cluster fetches the image."""
    image_pull_secrets: tuple[ObjectName, ...] = ()
    """Secrets that open the image's registry."""
    volume: ObjectName = "conveyor"
    """The PersistentVolumeClaim with data, artifacts and models."""
    mount_path: Annotated[str, Field(pattern=r"^(/[A-Za-z0-9._-]+)+$"), checked_by(_check_mount_path)] = "/conveyor"
    """Where the volume is mounted in every pod; {workspace} stands for it there."""
    user: Annotated[int, Field(ge=1, le=LARGEST)] = 1000
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
    nodes: dict[str, OwnPod] = Field(default_factory=dict)
    """The resources, and the image, of the pods of single nodes or groups; whatever is not given here is as for every pod."""
    groups: Literal["auto"] | dict[str, Annotated[tuple[str, ...], Field(min_length=1)]] | None = "auto"
    """Nodes that share one pod, by the name of the group: each pod costs 20 seconds or more beside its work. `auto`: all that
    need no pod of their own; a node with an entry in `nodes` does, and the Tuner. null: each node has a pod of its own."""

    @field_serializer("nodes")
    def _as_given(self, nodes: dict[str, OwnPod]) -> dict[str, Any]:
        """What is given alone: a null would be in the place of what every pod has."""
        return {name: own.model_dump(mode="json", exclude_unset=True) for name, own in nodes.items()}

    @model_validator(mode="after")
    def _requests_are_within_limits(self) -> Kubeflow:
        flaws = list(_flaws_of(self.resources, ("resources",), given=self.resources.model_fields_set))
        for name, own in self.nodes.items():
            # What is not given for a node is that of every pod, and has been checked there unless the node's own changes it.
            flaws += _flaws_of(self.resources_of(name), ("nodes", name), given=own.model_fields_set)
        if flaws:
            raise FlawedError(*flaws)
        return self

    @model_validator(mode="after")
    def _names_are_free(self) -> Kubeflow:
        if taken := [name for name in self.environment if name.startswith("CONVEYOR_")]:
            raise ValueError(f"environment names {', '.join(taken)}: names that begin with CONVEYOR_ are taken")
        return self

    @property
    def system_namespace(self) -> str:
        """The namespace of Kubeflow Pipelines itself. Where one logs in, it is not that of the runs, which are in profiles."""
        return self.namespace if self.auth is None else _KUBEFLOW

    def resources_of(self, task: str) -> Resources:
        """The resources of the pod of a node or group."""
        own = self.nodes.get(task)
        given = {} if own is None else {field: getattr(own, field) for field in own.model_fields_set - {"image"}}
        return self.resources.model_copy(update=given)

    def image_of(self, task: str) -> str:
        """The image of the pod of a node or group."""
        own = self.nodes.get(task)
        return self.image if own is None or own.image is None else own.image

    @property
    def images(self) -> list[str]:
        """The images of all pods, that of most of them first."""
        return list(dict.fromkeys([self.image, *map(self.image_of, self.nodes)]))


def _flaws_of(resources: Resources, section: tuple[str, ...], given: Collection[str]) -> Iterator[Flaw]:
    """The quantities of a pod that Kubernetes refuses, as far as one of them is given in the section."""
    for kind in ("cpu", "memory"):
        request, limit = getattr(resources, f"{kind}_request"), getattr(resources, f"{kind}_limit")
        fields = [field for field in (f"{kind}_request", f"{kind}_limit") if field in given]
        if fields and request is not None and limit is not None and amount(request) > amount(limit):
            yield Flaw(
                f"More {kind} is requested than the limit allows.",
                (*section, fields[0]),
                f"{kind}_request of at most {kind}_limit, {limit}",
                request,
                f"Write: {kind}_limit: {request}",
            )
    limit = resources.memory_limit
    if limit is not None and "memory_limit" in given and amount(limit) < _LEAST_MEMORY:
        yield Flaw(
            "No container starts with so little memory.",
            (*section, "memory_limit"),
            "at least 6Mi",
            f"{limit}, which is {amount(limit):,} bytes",
            f"Give the unit: memory_limit: {limit.rstrip('KMGTPEi')}Gi",
        )
    if resources.accelerator is None and "accelerator_count" in given and resources.accelerator_count > 1:
        yield Flaw(
            "Accelerators are counted, but none is named.",
            (*section, "accelerator_count"),
            "the field accelerator beside it",
            str(resources.accelerator_count),
            "Name it, as in: accelerator: nvidia.com/gpu",
        )
