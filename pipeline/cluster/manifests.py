"""The manifests of the checkout: where they are, what they require of a configuration, and as kustomize renders them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from pipeline.config import Kubeflow
from pipeline.errors import UsageError
from pipeline.util import checkout, programs

_PARTS = ("conveyor", "serving", "gateway")
_TASK_IMAGE = "conveyor"
# Manifests for a real cluster name a file server that does not exist, until they are edited.
_PLACEHOLDER = "example.com"


def manifest(path: str) -> Path:
    """A file or folder of manifests/.

    Args:
      path: relative to manifests/.

    Raises:
      UsageError: Conveyor does not run from a checkout.
    """
    return checkout.require_file(f"manifests/{path}", "conveyor cluster up")


def require_matching_names(kubeflow: Kubeflow) -> None:
    """Makes sure that a configuration names the volume, its path and its user as the manifests do.

    Packages are compiled for those of the configuration.

    Raises:
      UsageError: it names others.
    """
    for field in ("volume", "mount_path", "user"):
        expected, seen = Kubeflow.model_fields[field].default, getattr(kubeflow, field)
        if seen != expected:
            raise UsageError(
                f"The manifests are made for kubeflow.{field} {expected!r} alone.",
                where=f"kubeflow.{field}",
                expected=str(expected),
                seen=str(seen),
                fix=f"Leave kubeflow.{field} out, or change manifests/conveyor and apply it with kubectl: docs/cluster.md",
            )


def render_all(overlay: str, kubeflow: Kubeflow) -> list[dict[str, Any]]:
    """The objects that Conveyor adds to Kubeflow Pipelines: volume, metadata database, model server and gateway.

    Args:
      overlay: `kind` or `cluster`.
      kubeflow: names the task image, and says how it is pulled.

    Raises:
      UsageError: the manifests are missing, or still have to be edited.
      ProgramError: kubectl cannot render them.
    """
    rendered = {path: render(path, kubeflow) for path in (f"{part}/overlays/{overlay}" for part in _PARTS)}
    for path, objects in rendered.items():
        unedited = [f"{one['kind']} {one['metadata']['name']}" for one in objects if _PLACEHOLDER in json.dumps(one)]
        if unedited:
            raise UsageError(
                "The manifests for this cluster still have to be edited: its file server.",
                where=str(manifest(path)),
                expected="your own values where they say EDIT",
                seen=f"{_PLACEHOLDER} in {', '.join(unedited)}",
                fix="Edit them as docs/cluster.md shows, then: conveyor cluster up",
            )
    return [one for objects in rendered.values() for one in objects]


def render(path: str, kubeflow: Kubeflow) -> list[dict[str, Any]]:
    """The objects of a kustomization without a remote base, with the task image that the configuration names.

    Args:
      path: the kustomization's folder, relative to manifests/.
      kubeflow: names the task image, and says how it is pulled.

    Raises:
      UsageError: the manifests are missing.
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
