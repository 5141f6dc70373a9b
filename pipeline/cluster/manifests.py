"""The manifests of the checkout: where they are, what they require of a configuration, and as kustomize renders them."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from pipeline.config import Kubeflow, PipelineConfig
from pipeline.errors import UsageError
from pipeline.util import checkout, programs

_PARTS = ("conveyor", "serving", "gateway")
_TASK_IMAGE = "conveyor"
# The fields of the configuration whose defaults the manifests repeat.
_NAMES = ("volume", "mount_path", "user")
# What is served in the manifests, the files that name it, and the schema that the gateway checks rows by.
_MODEL = "flights"
_NAMING = ("serving/base/default.config", "serving/server/deployment.yaml", "gateway/base/settings.yaml")
_SCHEMA = "gateway/base/schema.pbtxt"
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
    for field in _NAMES:
        expected, seen = _default(field), getattr(kubeflow, field)
        if seen != expected:
            raise UsageError(
                f"The manifests are made for kubeflow.{field} {expected!r} alone.",
                where=f"kubeflow.{field}",
                expected=str(expected),
                seen=str(seen),
                fix=f"Leave kubeflow.{field} out, or change manifests/conveyor and apply it with kubectl: docs/cluster-real.md",
            )


def render_all(overlay: str, config: PipelineConfig) -> list[dict[str, Any]]:
    """The objects that `cluster up` adds to Kubeflow Pipelines, as `render_parts` has them, in one list."""
    return [one for objects in render_parts(overlay, config, "conveyor cluster up").values() for one in objects]


def render_parts(overlay: str, config: PipelineConfig, command: str) -> dict[str, list[dict[str, Any]]]:
    """The objects that Conveyor adds to Kubeflow Pipelines, by part: volume and metadata database, model server, gateway.

    Args:
      overlay: `kind` or `cluster`.
      config: names the model that is served, its curated schema and the task image.
      command: the command that needs them, for the error.

    Raises:
      UsageError: the manifests are missing, or still have to be edited.
      ProgramError: kubectl cannot render them.
    """
    with _for_model(config) as manifests:
        rendered = {part: render(manifests / part / "overlays" / overlay, config.kubeflow) for part in _PARTS}
    for part, objects in rendered.items():
        unedited = [f"{one['kind']} {one['metadata']['name']}" for one in objects if _PLACEHOLDER in json.dumps(one)]
        if unedited:
            raise UsageError(
                "The manifests for this cluster still have to be edited: its file server.",
                where=str(manifest(f"{part}/overlays/{overlay}")),
                expected="your own values where they say EDIT",
                seen=f"{_PLACEHOLDER} in {', '.join(unedited)}",
                fix=f"Edit them as docs/cluster-real.md shows, then: {command}",
            )
    return rendered


@contextmanager
def _for_model(config: PipelineConfig) -> Iterator[Path]:
    """A copy of the manifests in which the model server and the gateway serve the pipeline's model, with its schema.

    The files are changed before kustomize renders them, because it names the gateway's settings by a hash of their content.
    """
    schema = config.gateway.feature_schema or config.schema_source.path
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(shutil.copytree(manifest("."), Path(folder) / "manifests"))
        for path in (copy / each for each in _NAMING):
            path.write_text(path.read_text().replace(_MODEL, config.name))
        # An empty schema demands nothing: the gateway checks types alone, as on a laptop.
        (copy / _SCHEMA).write_bytes(Path(config.resolve(schema)).read_bytes() if schema else b"")
        yield copy


def render(folder: Path, kubeflow: Kubeflow) -> list[dict[str, Any]]:
    """The objects of a kustomization without a remote base, with the task image that the configuration names.

    Args:
      folder: the kustomization's folder.
      kubeflow: names the task image, and says how it is pulled.

    Raises:
      ProgramError: kubectl cannot render them.
    """
    text = programs.read("kubectl", "kustomize", str(folder))
    objects = [one for one in yaml.safe_load_all(text) if one]
    for one in objects:
        template = one.get("spec", {}).get("template", one)
        set_image(template.get("spec", {}), kubeflow)
    return objects


def preparation(kubeflow: Kubeflow) -> tuple[dict[str, Any], ...]:
    """The Job that prepares the volume and the metadata database, in the namespace of the runs.

    Args:
      kubeflow: names the namespace and the task image.

    Returns:
      The Job; nothing where the manifests are missing, or made for other names than the configuration has.
    """
    path = checkout.ROOT / "manifests" / "conveyor" / "base" / "prepare.yaml"
    if not path.is_file() or any(getattr(kubeflow, field) != _default(field) for field in (*_NAMES, "metadata")):
        return ()
    job: dict[str, Any] = yaml.safe_load(path.read_text())
    job["metadata"]["namespace"] = kubeflow.namespace
    for one in (job, job["spec"]["template"]):
        one["metadata"]["labels"]["app.kubernetes.io/part-of"] = "conveyor"
    set_image(job["spec"]["template"]["spec"], kubeflow)
    return (job,)


def _default(field: str) -> Any:
    return Kubeflow.model_fields[field].default


def set_image(pod: dict[str, Any], kubeflow: Kubeflow) -> None:
    """Gives containers of a pod that run the task image the one that the configuration names, and says how it is pulled."""
    containers = [*pod.get("initContainers", ()), *pod.get("containers", ())]
    ours = [one for one in containers if one["image"].rpartition("/")[2].partition(":")[0] == _TASK_IMAGE]
    for container in ours:
        container.update(image=kubeflow.image, imagePullPolicy=kubeflow.image_pull_policy)
    if ours and kubeflow.image_pull_secrets:
        pod["imagePullSecrets"] = [{"name": name} for name in kubeflow.image_pull_secrets]
