"""The manifests of the checkout: where they are, and as kustomize renders them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from pipeline.errors import UsageError
from pipeline.kubeflow import programs

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


def render(path: str, image: str) -> list[dict[str, Any]]:
    """The objects of a kustomization without a remote base.

    Args:
      path: of its folder, below manifests/.
      image: what pods run instead of the task image that the manifests name.

    Raises:
      UsageError: the manifests are not there.
      ProgramError: kubectl cannot render them.
    """
    text = programs.read("kubectl", "kustomize", str(manifest(path)))
    objects = [one for one in yaml.safe_load_all(text) if one]
    for one in objects:
        _replace_image(one, image)
    return objects


def _replace_image(value: Any, image: str) -> None:
    if isinstance(value, list):
        for item in value:
            _replace_image(item, image)
    elif isinstance(value, dict):
        named = value.get("image")
        if isinstance(named, str) and named.rpartition("/")[2].partition(":")[0] == _TASK_IMAGE:
            value["image"] = image
        for item in value.values():
            _replace_image(item, image)
