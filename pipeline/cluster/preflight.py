"""Whether the cluster that a configuration names exists, answers, and can start runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console

from pipeline.cluster.kind import KindCluster, cluster_name
from pipeline.cluster.requirements import Requirements
from pipeline.errors import ConveyorError, UsageError
from pipeline.util.kubectl import Kubectl
from pipeline.util.programs import ProgramError, check_program, read, require_programs

if TYPE_CHECKING:
    from pipeline.config import Kubeflow, PipelineConfig

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
    for lack in Requirements(kubectl, kubeflow).lacks():
        raise lack.error
    require_image(kubeflow)


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


def require_image(kubeflow: Kubeflow) -> None:
    """Makes sure that a local cluster has the images of all pods, unless it pulls them from a registry.

    Raises:
      ConveyorError: it does not.
    """
    name = cluster_name(kubeflow.context)
    # Other clusters pull from a registry, and so does kind where the name has one.
    local = [image for image in kubeflow.images if "/" not in image]
    if name is None or not local or not check_program("docker").ok:
        return
    for image in local:
        if not KindCluster(name, Console()).has_image(image):
            is_own = image != kubeflow.image
            named = f" --set kubeflow.image={image}" if is_own else ""
            raise ConveyorError(
                f"The cluster does not have the image {image}.",
                where="kubeflow.nodes" if is_own else "kubeflow.image",
                expected=f"an image of the kind cluster {name!r}",
                fix=f"Run: conveyor image build{named}, then conveyor image load{named}"
                + (". For GPUs, build it with --build-arg ACCELERATOR=gpu" if is_own else ""),
            )
