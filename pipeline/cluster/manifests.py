"""The manifests of the checkout: where they are, and as kustomize renders them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from pipeline.errors import UsageError
from pipeline.util import programs

if TYPE_CHECKING:
    from pipeline.config import Kubeflow

FOLDER = Path(__file__).resolve().parents[2] / "manifests"
"""Beside the package, which is installed in place."""

_TASK_IMAGE = "conveyor"


def manifest(path: str) -> Path:
    """A file or folder of manifests/.

    Args:
      path: below manifests/.

    Raises:
      UsageError: Conveyor does not run from a checkout.
    """
    found = FOLDER / path
    if not found.exists():
        raise UsageError(
            "The manifests of the cluster are not there.",
            where=str(found),
            expected="a checkout of Conveyor, with its folder manifests/",
            fix="clone the repository, then `make setup` and `conveyor cluster up` there",
        )
    return found


def render(path: str, kubeflow: Kubeflow) -> list[dict[str, Any]]:
    """The objects of a kustomization without a remote base; pods of the task image take it as the configuration says.

    Args:
      path: of its folder, below manifests/.
      kubeflow: which image, and how it is pulled.

    Raises:
      UsageError: the manifests are not there.
      ProgramError: kubectl cannot render them.
    """
    text = programs.read("kubectl", "kustomize", str(manifest(path)))
    objects = [one for one in yaml.safe_load_all(text) if one]
    for one in objects:
        template = one.get("spec", {}).get("template", one)
        _set_image(template.get("spec", {}), kubeflow)
    return objects


def _set_image(pod: dict[str, Any], kubeflow: Kubeflow) -> None:
    containers = [*pod.get("initContainers", ()), *pod.get("containers", ())]
    ours = [one for one in containers if one["image"].rpartition("/")[2].partition(":")[0] == _TASK_IMAGE]
    for container in ours:
        container.update(image=kubeflow.image, imagePullPolicy=kubeflow.image_pull_policy)
    if ours and kubeflow.image_pull_secrets:
        pod["imagePullSecrets"] = [{"name": name} for name in kubeflow.image_pull_secrets]
