"""What runs need in their namespace, which of it is not there, and the manifest that makes it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.cluster.manifests import preparation
from pipeline.config import Kubeflow
from pipeline.errors import ConveyorError
from pipeline.util.programs import ProgramError

if TYPE_CHECKING:
    from pipeline.util.kubectl import Kubectl

PREPARE_JOB = "conveyor-prepare"
"""The Job that prepares the volume and the metadata database for runs."""

PROFILE_ACCOUNT = "default-editor"
"""The ServiceAccount that runs have in the namespace of a profile."""

_UP = "conveyor cluster up"
_PROFILE_ROLE = "kubeflow-edit"
_VOLUME_SIZE = "50Gi"
_LABELS = {"app.kubernetes.io/part-of": "conveyor"}
_PLACEHOLDER_URL = "mysql://USER:PASSWORD@HOST:3306/DATABASE"


@dataclass(frozen=True)
class Lack:
    """Something without which runs cannot start.

    Attributes:
      error: what it is, and what to do.
      objects: the objects that make it; words in capital letters in them are to be replaced. Empty where none would.
    """

    error: ConveyorError
    objects: tuple[dict[str, Any], ...] = ()


class Requirements:
    """What the runs of a configuration need in their namespace. What the user has no right to read is taken to be there.

    Args:
      kubectl: on the cluster and the namespace of the runs.
      kubeflow: names what is needed.

    Attributes:
      unseen: what the user had no right to read, as kind and name.
    """

    def __init__(self, kubectl: Kubectl, kubeflow: Kubeflow) -> None:
        self._kubectl, self._kubeflow = kubectl, kubeflow
        self.unseen: list[str] = []

    def lacks(self) -> Iterator[Lack]:
        """What is not there, or not as it has to be, in the order in which it is needed.

        Raises:
          ProgramError: the cluster does not answer.
        """
        kubeflow = self._kubeflow
        yield from self._object("namespace", kubeflow.namespace, "kubeflow.namespace", _namespace(kubeflow))
        if kubeflow.auth is not None:
            account = _account(kubeflow.namespace)
            yield from self._object("serviceaccount", PROFILE_ACCOUNT, "kubeflow.namespace", *account)
        yield from self._volume()
        for name, keys in secrets_of(kubeflow).items():
            yield from self._secret(name, keys)
        yield from self._preparation()

    def _volume(self) -> Iterator[Lack]:
        name = self._kubeflow.volume
        claims: list[dict[str, Any]] = []
        made = (_claim(self._kubeflow), *preparation(self._kubeflow))
        yield from self._object("persistentvolumeclaim", name, "kubeflow.volume", *made, found=claims)
        if any(claim.get("status", {}).get("phase") == "Lost" for claim in claims):
            yield Lack(self._missing(f"The volume of PersistentVolumeClaim {name} is gone.", "kubeflow.volume"))

    def _secret(self, name: str, keys: Mapping[str, str]) -> Iterator[Lack]:
        secrets: list[dict[str, Any]] = []
        made = _secret(self._kubeflow, name, keys.values())
        yield from self._object("secret", name, next(iter(keys)), made, found=secrets)
        for field, key in keys.items():
            if any(key not in secret.get("data", {}) for secret in secrets):
                yield Lack(self._missing(f"Secret {name} has no key {key!r}.", field))

    def _preparation(self) -> Iterator[Lack]:
        job = None
        with self._if_allowed("job", PREPARE_JOB):
            job = self._kubectl.get("job", PREPARE_JOB)
        # Without the Job, somebody else has provided the volume and the database.
        if job is not None and not job.get("status", {}).get("succeeded"):
            yield Lack(
                ConveyorError(
                    "The volume and the metadata database are not ready for runs.",
                    where=f"Job {PREPARE_JOB}; context {self._kubectl.context}, namespace {self._kubectl.namespace}",
                    expected="one success",
                    seen="it failed" if job.get("status", {}).get("failed") else "it has not ended",
                    fix=f"`{_UP}` runs it again and says what it waits for."
                    if self._is_ours
                    else f"Its log says more: {self._command} logs job/{PREPARE_JOB} --all-containers",
                )
            )

    def _object(
        self, kind: str, name: str, field: str, *made: dict[str, Any], found: list[dict[str, Any]] | None = None
    ) -> Iterator[Lack]:
        """The lack of an object, if it is not there; into `found`, if it is."""
        with self._if_allowed(kind, name):
            seen = self._kubectl.get(kind, name)
            if seen is None:
                yield Lack(self._missing(f"There is no {kind} {name!r} in the cluster.", field), made)
            elif found is not None:
                found.append(seen)

    @contextmanager
    def _if_allowed(self, kind: str, name: str) -> Iterator[None]:
        """Leaves the block if the user may not read an object, which is then assumed to be as it should be."""
        try:
            yield
        except ProgramError as error:
            if not is_forbidden(error):
                raise
            self.unseen.append(f"{kind} {name}")

    def _missing(self, what: str, field: str) -> ConveyorError:
        return ConveyorError(
            what,
            where=f"{field}; context {self._kubectl.context}, namespace {self._kubectl.namespace}",
            fix=f"`{_UP}` makes what Conveyor installs. For a name of your own, make the object or correct the configuration."
            if self._is_ours
            else "`conveyor cluster status` prints the manifest of what is missing: apply it, or hand it to somebody who may.",
        )

    @property
    def _is_ours(self) -> bool:
        """Whether `cluster up` can make what is missing: it installs into the namespace of Kubeflow Pipelines itself."""
        return self._kubeflow.auth is None and self._kubeflow.namespace == Kubeflow.model_fields["namespace"].default

    @property
    def _command(self) -> str:
        return f"kubectl --context {self._kubectl.context} --namespace {self._kubectl.namespace}"


def is_forbidden(error: ProgramError) -> bool:
    """Whether kubectl failed because the user has no right to what it asked for."""
    return "Forbidden" in error.stderr


def secrets_of(kubeflow: Kubeflow) -> dict[str, dict[str, str]]:
    """The Secrets that pods read: by name, the keys by the field of the configuration that names them."""
    named = {"kubeflow.metadata": kubeflow.metadata}
    named |= {f"kubeflow.environment.{name}": key for name, key in kubeflow.environment.items()}
    if kubeflow.webhook:
        named["kubeflow.webhook"] = kubeflow.webhook
    found: dict[str, dict[str, str]] = {}
    for field, key in named.items():
        found.setdefault(key.secret, {})[field] = key.key
    return found


def _namespace(kubeflow: Kubeflow) -> dict[str, Any]:
    metadata = {"name": kubeflow.namespace}
    if kubeflow.auth is None:
        return {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}
    owner = {"kind": "User", "name": "USER@EXAMPLE.COM"}
    return {"apiVersion": "kubeflow.org/v1", "kind": "Profile", "metadata": metadata, "spec": {"owner": owner}}


def _account(namespace: str) -> tuple[dict[str, Any], ...]:
    """The ServiceAccount of a profile's runs and its role, as Kubeflow's profile controller makes them."""
    metadata = {"name": PROFILE_ACCOUNT, "namespace": namespace}
    group = "rbac.authorization.k8s.io"
    return (
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata},
        {
            "apiVersion": f"{group}/v1",
            "kind": "RoleBinding",
            "metadata": metadata,
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": _PROFILE_ROLE},
            "subjects": [{"kind": "ServiceAccount", **metadata}],
        },
    )


def _claim(kubeflow: Kubeflow) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": kubeflow.volume, "namespace": kubeflow.namespace, "labels": _LABELS},
        "spec": {
            "accessModes": ["ReadWriteMany"],
            "storageClassName": "STORAGE-CLASS",
            "resources": {"requests": {"storage": _VOLUME_SIZE}},
        },
    }


def _secret(kubeflow: Kubeflow, name: str, keys: Iterable[str]) -> dict[str, Any]:
    metadata = kubeflow.metadata
    values = {key: _PLACEHOLDER_URL if (name, key) == (metadata.secret, metadata.key) else "VALUE" for key in keys}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": kubeflow.namespace, "labels": _LABELS},
        "stringData": values,
    }
