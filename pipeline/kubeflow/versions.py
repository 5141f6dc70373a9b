"""The versions of a pipeline: how a package is called, and as objects of Kubeflow's Kubernetes API (pipelines.kubeflow.org)."""

from __future__ import annotations

import hashlib
import re
from typing import Any

import yaml

from pipeline.errors import UsageError

_API_VERSION = "pipelines.kubeflow.org/v2beta1"
_DIGEST_LENGTH = 12
# RFC 1123, as Kubernetes checks the names of objects. A pipeline may end with a dash.
_OBJECT_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")


def version_name(pipeline: str, package: str) -> str:
    """The name of the version that a package makes: the same content has the same name.

    Args:
      pipeline: the pipeline's name.
      package: the YAML text that `compile_package` returns.
    """
    return f"{pipeline}-{hashlib.sha256(package.encode()).hexdigest()[:_DIGEST_LENGTH]}"


def version_objects(pipeline: str, package: str, namespace: str) -> list[dict[str, Any]]:
    """A package as a Pipeline and its PipelineVersion, as `kfp`'s compiler writes them.

    The API server finds them where it keeps pipelines in Kubernetes. `upload` of the same package finds the version, too.

    Args:
      pipeline: the pipeline's name.
      package: the YAML text that `compile_package` returns.
      namespace: the namespace of the objects.

    Raises:
      UsageError: the pipeline's name cannot be that of an object.
    """
    if not _OBJECT_NAME.fullmatch(pipeline):
        raise UsageError(
            "The pipeline's name cannot be that of an object in Kubernetes.",
            where="name",
            expected="lower-case letters, digits and dashes, the last no dash",
            seen=pipeline,
            fix=f"Write: name: {pipeline.rstrip('-')}",
        )
    spec, platform = yaml.load_all(package, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    name = version_name(pipeline, package)
    described = {"description": description} if (description := spec["pipelineInfo"].get("description")) else {}
    return [
        {
            "apiVersion": _API_VERSION,
            "kind": "Pipeline",
            "metadata": {"name": pipeline, "namespace": namespace},
            "spec": {"displayName": pipeline, **described},
        },
        {
            "apiVersion": _API_VERSION,
            "kind": "PipelineVersion",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {
                "displayName": name,
                "pipelineName": pipeline,
                "pipelineSpec": spec,
                "platformSpec": platform,
                **described,
            },
        },
    ]
