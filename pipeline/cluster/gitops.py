"""All that a cluster needs for the runs of a pipeline, as files to be committed: Conveyor's objects and the pipeline's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import yaml

from pipeline.cluster.manifests import render_parts, require_matching_names
from pipeline.cluster.requirements import PREPARE_JOB, secrets_of
from pipeline.util.programs import require_programs
from serving.rollout.cluster import CANARY_CONFIG, CANARY_DEPLOYMENT, STABLE_CONFIG, STATE

if TYPE_CHECKING:
    from pipeline.config import Kubeflow, PipelineConfig

_KUBEFLOW_NAMESPACE = "kubeflow"
# A Job's template cannot be changed: Argo CD and Flux make it anew.
_REPLACED = {
    "argocd.argoproj.io/hook": "Sync",
    "argocd.argoproj.io/hook-delete-policy": "BeforeHookCreation",
    "kustomize.toolkit.fluxcd.io/force": "enabled",
}
# What a rollout changes: Flux would take it back, and end a canary. infra/argocd says the same to Argo CD.
_OF_ROLLOUTS = {
    ("ConfigMap", STATE),
    ("ConfigMap", STABLE_CONFIG),
    ("ConfigMap", CANARY_CONFIG),
    ("Deployment", CANARY_DEPLOYMENT),
}
_MADE_ONCE = {"kustomize.toolkit.fluxcd.io/ssa": "IfNotPresent"}
# The claim and the volume name each other; a deleted object of either would take data with it.
_KEPT = {"argocd.argoproj.io/sync-options": "Prune=false", "kustomize.toolkit.fluxcd.io/prune": "disabled"}


def committed_files(config: PipelineConfig, pipeline: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """The files of a folder that can be applied with `kubectl apply -k`, or by Argo CD or Flux.

    Args:
      config: names the model that is served, the namespace of the runs and the task image.
      pipeline: the pipeline's own objects.

    Returns:
      The content of each file, by its name. Secrets are not among them: a README says which there have to be.

    Raises:
      UsageError: kubectl or the manifests are missing, the manifests still have to be edited, or they are made for other names
        than the configuration has.
    """
    kubeflow = config.kubeflow
    require_matching_names(kubeflow)
    require_programs("kubectl")
    parts = render_parts("cluster", config, "conveyor compile --manifests")
    files = {f"{part}.yaml": as_yaml(_within(objects, kubeflow.namespace)) for part, objects in parts.items()}
    files["pipeline.yaml"] = as_yaml(pipeline)
    files["kustomization.yaml"] = yaml.safe_dump(
        {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": sorted(files)}, sort_keys=False
    )
    files["README.md"] = _readme(kubeflow)
    return files


def as_yaml(objects: Iterable[Mapping[str, Any]]) -> str:
    """Objects as a stream of YAML documents, in their order."""
    return yaml.dump_all(map(dict, objects), Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper), sort_keys=False, width=128)


def _within(objects: Iterable[dict[str, Any]], namespace: str) -> list[dict[str, Any]]:
    """The objects with those of Kubeflow's namespace in that of the runs."""
    found = []
    for one in objects:
        metadata = one["metadata"]
        if metadata.get("namespace") == _KUBEFLOW_NAMESPACE:
            metadata["namespace"] = namespace
        claim = one.get("spec", {}).get("claimRef", {})
        if claim.get("namespace") == _KUBEFLOW_NAMESPACE:
            claim["namespace"] = namespace
        if (one["kind"], metadata["name"]) == ("Job", PREPARE_JOB):
            metadata["annotations"] = {**metadata.get("annotations", {}), **_REPLACED}
        if one["kind"] in ("PersistentVolume", "PersistentVolumeClaim"):
            metadata["annotations"] = {**metadata.get("annotations", {}), **_KEPT}
        if (one["kind"], metadata["name"]) in _OF_ROLLOUTS:
            metadata["annotations"] = {**metadata.get("annotations", {}), **_MADE_ONCE}
        found.append(one)
    return found


def _readme(kubeflow: Kubeflow) -> str:
    lines = [
        "# Written by `conveyor compile --manifests`",
        "",
        "Apply with `kubectl apply --server-side -k .`, or let Argo CD or Flux do it. Server-side, since a package may be",
        "larger than the annotation in which kubectl keeps what it has applied. Not while a canary is tried:",
        "how many pods it has is not said here.",
        "",
        "Kubeflow Pipelines has to be there, and its API server has to keep pipelines in Kubernetes",
        "(`--pipelinesStoreKubernetes=true`). So have these Secrets, which do not belong in a repository:",
        "",
    ]
    for secret, keys in secrets_of(kubeflow).items():
        values = " ".join(f"--from-file={key}=FILE" for key in dict.fromkeys(keys.values()))
        lines.append(f"    kubectl --namespace {kubeflow.namespace} create secret generic {secret} {values}")
    lines += [
        "",
        "The database of `conveyor.yaml`, where it is used, also reads the keys `password` and `root-password` of its Secret.",
        "",
    ]
    return "\n".join(lines)
