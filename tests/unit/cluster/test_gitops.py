"""All that a cluster needs, as files of a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.cluster.gitops import committed_files
from pipeline.errors import UsageError
from tests.fakes.machine import Machine, configuration

PIPELINE = [{"apiVersion": "pipelines.kubeflow.org/v2beta1", "kind": "Pipeline", "metadata": {"name": "flights"}}]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """With manifests that are edited for a cluster."""
    made = Machine(tmp_path, monkeypatch)
    made.has_real_cluster()
    return made


def objects(files: dict[str, str]) -> list[dict[str, Any]]:
    return [one for name in yaml.safe_load(files["kustomization.yaml"])["resources"] for one in yaml.safe_load_all(files[name])]


def of(found: list[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    return next(one for one in found if (one["kind"], one["metadata"]["name"]) == (kind, name))


def test_the_folder_holds_the_pipeline_and_all_of_conveyor(machine: Machine) -> None:
    files = committed_files(configuration(image="registry/conveyor:2"), PIPELINE)

    found = objects(files)
    assert of(found, "Pipeline", "flights") == PIPELINE[0]
    assert {"conveyor-metadata", "serving", "gateway"} <= {
        one["metadata"]["name"] for one in found if one["kind"] == "Deployment"
    }
    job = of(found, "Job", "conveyor-prepare")
    assert {one["image"] for one in job["spec"]["template"]["spec"]["containers"]} == {"registry/conveyor:2"}
    assert job["metadata"]["annotations"]["argocd.argoproj.io/hook-delete-policy"] == "BeforeHookCreation"
    assert not any(one["kind"] == "Secret" for one in found)


def test_what_is_in_kubeflows_namespace_goes_to_that_of_the_profile(machine: Machine) -> None:
    machine.write(
        "conveyor-cluster.yaml",
        yaml.safe_dump_all(
            [
                {
                    "kind": "PersistentVolume",
                    "metadata": {"name": "v"},
                    "spec": {"claimRef": {"namespace": "kubeflow", "name": "c"}},
                },
                {"kind": "PersistentVolumeClaim", "metadata": {"name": "c", "namespace": "kubeflow"}, "spec": {}},
            ]
        ),
    )
    machine.write(
        "serving-cluster.yaml", yaml.safe_dump({"kind": "Service", "metadata": {"name": "s", "namespace": "conveyor-serving"}})
    )

    found = objects(committed_files(configuration(namespace="team"), PIPELINE))

    assert of(found, "PersistentVolume", "v")["spec"]["claimRef"] == {"namespace": "team", "name": "c"}
    assert of(found, "PersistentVolumeClaim", "c")["metadata"]["namespace"] == "team"
    assert (
        of(found, "PersistentVolumeClaim", "c")["metadata"]["annotations"]["argocd.argoproj.io/sync-options"] == "Prune=false"
    )
    assert of(found, "Service", "s")["metadata"]["namespace"] == "conveyor-serving"


def test_flux_makes_what_rollouts_change_once(machine: Machine) -> None:
    made = [("ConfigMap", "serving-rollout"), ("Deployment", "serving-canary"), ("Deployment", "serving")]
    found = [{"kind": kind, "metadata": {"name": name, "namespace": "conveyor-serving"}} for kind, name in made]
    machine.write("serving-cluster.yaml", yaml.safe_dump_all(found))

    committed = objects(committed_files(configuration(), PIPELINE))

    policies = [of(committed, *each)["metadata"].get("annotations", {}).get("kustomize.toolkit.fluxcd.io/ssa") for each in made]
    assert policies == ["IfNotPresent", "IfNotPresent", None]


def test_secrets_are_described_and_not_written(machine: Machine) -> None:
    keys = {"TOKEN": {"secret": "tokens", "key": "a"}, "OTHER": {"secret": "tokens", "key": "b"}}

    readme = committed_files(configuration(namespace="team", environment=keys), PIPELINE)["README.md"]

    assert "kubectl --namespace team create secret generic tokens --from-file=a=FILE --from-file=b=FILE" in readme
    assert "create secret generic conveyor-metadata --from-file=url=FILE" in readme


def test_manifests_that_are_not_edited_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Machine(tmp_path, monkeypatch)

    with pytest.raises(UsageError, match="still have to be edited") as caught:
        committed_files(configuration(), PIPELINE)

    assert "then: conveyor compile --manifests" in caught.value.fix


def test_names_of_ones_own_are_refused(machine: Machine) -> None:
    with pytest.raises(UsageError, match=r"made for kubeflow\.volume"):
        committed_files(configuration(volume="mine"), PIPELINE)
