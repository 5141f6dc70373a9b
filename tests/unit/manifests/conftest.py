"""Manifests as Kubernetes gets them: rendered by kustomize."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.util import checkout

MANIFESTS = checkout.ROOT / "manifests"

Objects = list[dict[str, Any]]


def is_remote(folder: Path) -> bool:
    """Whether a kustomization, or one that it builds on, is fetched from the network."""
    resources = yaml.safe_load((folder / "kustomization.yaml").read_text()).get("resources", [])
    return any("://" in resource or ((folder / resource).is_dir() and is_remote(folder / resource)) for resource in resources)


FOLDERS = [path.parent for path in sorted(MANIFESTS.rglob("kustomization.yaml")) if not is_remote(path.parent)]


@pytest.fixture(scope="session")
def render() -> Callable[[Path], Objects]:
    """Renders a folder with a kustomization to its objects."""
    commands = [command for command in (["kustomize", "build"], ["kubectl", "kustomize"]) if shutil.which(command[0])]
    if not commands:
        message = "neither kustomize nor kubectl is on the path: install one of them to check the manifests"
        if "CI" in os.environ:
            pytest.fail(message)
        pytest.skip(message)

    @cache
    def run(folder: Path) -> Objects:
        done = subprocess.run([*commands[0], str(folder)], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return [manifest for manifest in yaml.safe_load_all(done.stdout) if manifest]

    return run


def pod_of(manifest: dict[str, Any]) -> dict[str, Any] | None:
    """The pod, as a template with metadata and spec, that an object is or makes; None if it makes none."""
    if manifest["kind"] == "Pod":
        return manifest
    if manifest["kind"] == "CronJob":
        return manifest["spec"]["jobTemplate"]["spec"]["template"]
    if manifest["kind"] in ("Deployment", "Job", "StatefulSet"):
        return manifest["spec"]["template"]
    return None


def find(objects: Objects, kind: str, name: str) -> dict[str, Any]:
    """The one object of a kind and name."""
    (found,) = [manifest for manifest in objects if (manifest["kind"], manifest["metadata"]["name"]) == (kind, name)]
    return found
