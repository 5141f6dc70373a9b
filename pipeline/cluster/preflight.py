"""Whether the cluster that a configuration names exists, answers, and can start runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console

from pipeline.cluster.kind import KindCluster, cluster_name
from pipeline.errors import ConveyorError, UsageError
from pipeline.util.kubectl import Kubectl
from pipeline.util.programs import ProgramError, check_program, read, require_programs

if TYPE_CHECKING:
    from pipeline.config import Kubeflow, PipelineConfig, SecretKey

PREPARE_JOB = "conveyor-prepare"
"""The Job that prepares the volume and the metadata database for runs."""

_UP = "conveyor cluster up"
_ANSWER_SECONDS = 20.0


def require_cluster(config: PipelineConfig) -> None:
    """Makes sure that runs can start: the namespace, the volume, the Secrets and the image exist where pods look for them.

    Objects that the user has no right to read are assumed to exist.

    Args:
      config: the configuration of the pipeline that is to run.

    Raises:
      UsageError: kubectl or its context is missing.
      ConveyorError: the cluster does not answer, or lacks something.
    """
    kubeflow = config.kubeflow
    kubectl = open_kubectl(kubeflow.context, kubeflow.namespace, Console())
    _require(kubectl, "namespace", kubeflow.namespace, field="kubeflow.namespace")
    claim = _require(kubectl, "persistentvolumeclaim", kubeflow.volume, field="kubeflow.volume")
    if claim and claim.get("status", {}).get("phase") == "Lost":
        raise _missing(kubectl, f"The volume of PersistentVolumeClaim {kubeflow.volume} is gone.", "kubeflow.volume")
    for field, key in _secrets(kubeflow).items():
        secret = _require(kubectl, "secret", key.secret, field=field)
        if secret and key.key not in secret.get("data", {}):
            raise _missing(kubectl, f"Secret {key.secret} has no key {key.key!r}.", field)
    _require_prepared(kubectl)
    _require_image(kubeflow)


def open_kubectl(context: str, namespace: str, console: Console) -> Kubectl:
    """Kubectl on a cluster that answers.

    Args:
      context: the cluster's context.
      namespace: the namespace of its calls.
      console: where command lines and their output are shown.

    Raises:
      UsageError: kubectl or the context is missing.
      ConveyorError: the cluster does not answer, or asks for a log-in.
    """
    require_programs("kubectl")
    require_context(context)
    kubectl = Kubectl(context, namespace, console)
    require_answer(kubectl)
    return kubectl


def require_context(context: str) -> None:
    """Makes sure that kubectl knows a context.

    Raises:
      UsageError: it does not.
    """
    known = contexts()
    if context not in known:
        raise UsageError(
            f"kubectl has no context {context!r}.",
            where="kubeflow.context",
            expected=", ".join(known) or "any context",
            seen=context,
            fix=f"Run: {_UP}" if cluster_name(context) else "Name one with --set kubeflow.context=CONTEXT",
        )


def require_answer(kubectl: Kubectl) -> None:
    """Makes sure that the API server answers.

    Raises:
      ConveyorError: it does not, or asks for a log-in.
    """
    try:
        kubectl.read("get", "--raw", "/version", "--request-timeout=10s", timeout=_ANSWER_SECONDS)
    except ProgramError as error:
        raise ConveyorError(
            "The cluster does not answer.",
            where=f"context {kubectl.context}, {server(kubectl.context)}",
            seen=error.stderr or error.what,
            fix=f"Start it: {_UP}"
            if cluster_name(kubectl.context)
            else f"Check the network and the log-in: kubectl cluster-info --context {kubectl.context}",
        ) from error


def contexts() -> list[str]:
    """The contexts that kubectl knows, in its order."""
    return read("kubectl", "config", "get-contexts", "--output=name").split()


def server(context: str) -> str:
    """The address of a context's API server."""
    return read(
        "kubectl", "config", "view", "--minify", "--context", context, "--output=jsonpath={.clusters[0].cluster.server}"
    )


def _secrets(kubeflow: Kubeflow) -> dict[str, SecretKey]:
    """The Secrets that pods read, by the field that names them."""
    named = {f"kubeflow.environment.{name}": key for name, key in kubeflow.environment.items()}
    if kubeflow.webhook:
        named["kubeflow.webhook"] = kubeflow.webhook
    return {"kubeflow.metadata": kubeflow.metadata, **named}


@contextmanager
def _if_allowed() -> Iterator[None]:
    """Leaves the block if the user may not read an object, which is then assumed to be as it should be."""
    try:
        yield
    except ProgramError as error:
        if "Forbidden" not in error.stderr:
            raise


def _require(kubectl: Kubectl, kind: str, name: str, *, field: str) -> dict[str, Any] | None:
    """An object that has to exist; None if the user may not read it."""
    with _if_allowed():
        found = kubectl.get(kind, name)
        if found is None:
            raise _missing(kubectl, f"There is no {kind} {name!r} in the cluster.", field)
        return found
    return None


def _missing(kubectl: Kubectl, what: str, field: str) -> ConveyorError:
    return ConveyorError(
        what,
        where=f"{field}; context {kubectl.context}, namespace {kubectl.namespace}",
        fix=f"`{_UP}` makes what Conveyor installs. For a name of your own, make the object or correct the configuration.",
    )


def _require_prepared(kubectl: Kubectl) -> None:
    job = None
    with _if_allowed():
        job = kubectl.get("job", PREPARE_JOB)
    # Without the Job, somebody else has provided the volume and the database.
    if job is not None and not job.get("status", {}).get("succeeded"):
        raise ConveyorError(
            "The volume and the metadata database are not ready for runs.",
            where=f"Job {PREPARE_JOB}; context {kubectl.context}, namespace {kubectl.namespace}",
            expected="one success",
            seen="it failed" if job.get("status", {}).get("failed") else "it has not ended",
            fix=f"`{_UP}` runs it again and says what it waits for.",
        )


def _require_image(kubeflow: Kubeflow) -> None:
    name = cluster_name(kubeflow.context)
    # Other clusters pull from a registry, and so does kind where the name has one.
    if name is None or "/" in kubeflow.image or not check_program("docker").ok:
        return
    if not KindCluster(name, Console()).has_image(kubeflow.image):
        raise ConveyorError(
            f"The cluster does not have the image {kubeflow.image}.",
            where="kubeflow.image",
            expected=f"an image of the kind cluster {name!r}",
            fix="Run: conveyor image build, then conveyor image load",
        )
