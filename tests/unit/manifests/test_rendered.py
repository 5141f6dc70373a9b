"""Every manifest that renders without a network: right for the API server, and whole."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.manifests.conftest import FOLDERS, MANIFESTS, Objects, find, pod_of
from tests.unit.manifests.kubernetes_schema import problems
from tests.unit.manifests.pod_security import containers, violations

Render = Callable[[Path], Objects]

OVERLAYS = [folder for folder in FOLDERS if folder.parent.name == "overlays"]
every_folder = pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: str(folder.relative_to(MANIFESTS)))
every_overlay = pytest.mark.parametrize("folder", OVERLAYS, ids=lambda folder: str(folder.relative_to(MANIFESTS)))


def pods(objects: Objects) -> list[tuple[str, dict[str, Any]]]:
    return [
        (f"{manifest['kind']} {manifest['metadata']['name']}", pod)
        for manifest in objects
        if (pod := pod_of(manifest)) is not None
    ]


def test_there_are_overlays_to_check() -> None:
    names = {str(folder.relative_to(MANIFESTS)) for folder in OVERLAYS}
    assert names >= {f"{part}/overlays/{where}" for part in ("conveyor", "serving") for where in ("kind", "cluster")}


@every_folder
def test_objects_are_right(folder: Path, render: Render) -> None:
    assert [problem for manifest in render(folder) for problem in problems(manifest)] == []


@every_folder
def test_objects_say_what_they_are_part_of(folder: Path, render: Render) -> None:
    for manifest in render(folder):
        labels = manifest["metadata"]["labels"]
        assert labels["app.kubernetes.io/part-of"] == "conveyor"
        assert "app.kubernetes.io/name" in labels
        pod = pod_of(manifest)
        if pod is not None:
            assert pod["metadata"]["labels"]["app.kubernetes.io/part-of"] == "conveyor"


@every_folder
def test_nothing_is_called_latest_or_holds_a_secret(folder: Path, render: Render) -> None:
    for manifest in render(folder):
        assert manifest["kind"] != "Secret"
    for name, pod in pods(render(folder)):
        for container in containers(pod["spec"]):
            tag = container["image"].rpartition("/")[2].partition(":")[2]
            assert tag not in ("", "latest"), f"{name}: {container['image']}"
            assert container["imagePullPolicy"] == "IfNotPresent", name


@every_folder
def test_pods_can_be_changed_and_outlive_their_machine(folder: Path, render: Render) -> None:
    """Of a Pod that is applied again, little more than the image may change; and nobody makes it anew elsewhere."""
    assert [manifest["metadata"]["name"] for manifest in render(folder) if manifest["kind"] == "Pod"] == []


@every_folder
def test_pods_are_safe(folder: Path, render: Render) -> None:
    for name, pod in pods(render(folder)):
        # Its init container gives a new volume to the user of the runs, which takes root.
        level = "baseline" if name == "Job conveyor-prepare" else "restricted"
        assert violations(pod["spec"], level) == [], name
        assert pod["spec"]["automountServiceAccountToken"] is False, name


def test_only_one_container_is_root(render: Render) -> None:
    pod = pod_of(find(render(MANIFESTS / "conveyor/base"), "Job", "conveyor-prepare"))
    assert pod is not None
    assert {violation.split(":")[0] for violation in violations(pod["spec"], "restricted")} == {"volume"}


@every_folder
def test_pods_reserve_what_they_need(folder: Path, render: Render) -> None:
    for name, pod in pods(render(folder)):
        for container in containers(pod["spec"]):
            assert container["resources"]["requests"].keys() == {"cpu", "memory"}, name
            assert "memory" in container["resources"]["limits"], name


@every_folder
def test_servers_are_probed(folder: Path, render: Render) -> None:
    for manifest in render(folder):
        if manifest["kind"] == "Deployment":
            for container in manifest["spec"]["template"]["spec"]["containers"]:
                assert {"startupProbe", "readinessProbe", "livenessProbe"} <= container.keys(), manifest["metadata"]["name"]


@every_folder
def test_mounts_and_named_ports_are_declared(folder: Path, render: Render) -> None:
    for name, pod in pods(render(folder)):
        volumes = {volume["name"] for volume in pod["spec"].get("volumes", [])}
        mounted = {mount["name"] for container in containers(pod["spec"]) for mount in container.get("volumeMounts", [])}
        assert mounted == volumes, name
        for container in containers(pod["spec"]):
            ports = {port["name"] for port in container.get("ports", [])}
            for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
                for action in ("httpGet", "tcpSocket"):
                    port = container.get(probe, {}).get(action, {}).get("port")
                    assert port is None or port in ports, f"{name}: {probe}"


@every_overlay
def test_references_lead_somewhere(folder: Path, render: Render) -> None:
    objects = render(folder)
    names = {(manifest["kind"], manifest["metadata"]["name"]) for manifest in objects}
    for _, pod in pods(objects):
        for volume in pod["spec"].get("volumes", []):
            if "persistentVolumeClaim" in volume:
                assert ("PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"]) in names
            sources = [volume, *volume.get("projected", {}).get("sources", [])]
            for config in (source["configMap"] for source in sources if "configMap" in source):
                assert config.get("optional") or ("ConfigMap", config["name"]) in names
    for manifest in objects:
        if manifest["kind"] == "PersistentVolume":
            claim = find(objects, "PersistentVolumeClaim", manifest["spec"]["claimRef"]["name"])
            assert claim["metadata"]["namespace"] == manifest["spec"]["claimRef"]["namespace"]
            assert claim["spec"]["volumeName"] == manifest["metadata"]["name"]
            assert claim["spec"]["storageClassName"] == manifest["spec"].get("storageClassName", "")
            assert claim["spec"]["accessModes"] == manifest["spec"]["accessModes"]
            assert claim["spec"]["resources"]["requests"]["storage"] == manifest["spec"]["capacity"]["storage"]


@every_overlay
def test_services_and_deployments_select_pods_that_are_there(folder: Path, render: Render) -> None:
    objects = render(folder)
    of_pods = [pod for _, pod in pods(objects)]
    for manifest in objects:
        if manifest["kind"] in ("Deployment", "StatefulSet"):
            wanted = manifest["spec"]["selector"]["matchLabels"].items()
            assert wanted <= manifest["spec"]["template"]["metadata"]["labels"].items()
        if manifest["kind"] == "Service":
            selected = [pod for pod in of_pods if manifest["spec"]["selector"].items() <= pod["metadata"]["labels"].items()]
            assert len(selected) == 1, manifest["metadata"]["name"]
            ports = {port["name"] for container in selected[0]["spec"]["containers"] for port in container["ports"]}
            assert {port["targetPort"] for port in manifest["spec"]["ports"]} <= ports


@every_overlay
def test_every_image_can_be_pinned_by_its_digest(folder: Path, render: Render, tmp_path: Path) -> None:
    """As docs/cluster-upkeep.md says: in a kustomization that has the overlay among its resources."""
    names = {container["image"].rpartition(":")[0] for _, pod in pods(render(folder)) for container in containers(pod["spec"])}
    digest = "sha256:" + "5" * 64
    pinned = {"resources": [os.path.relpath(folder, tmp_path)], "images": [{"name": each, "digest": digest} for each in names]}
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(pinned))
    for name, pod in pods(render(tmp_path)):
        for container in containers(pod["spec"]):
            assert container["image"].endswith(f"@{digest}"), name


def test_a_folder_that_cannot_be_rendered_is_an_error(tmp_path: Path, render: Render) -> None:
    (tmp_path / "kustomization.yaml").write_text("resources: [missing.yaml]\n")
    with pytest.raises(AssertionError, match=r"missing\.yaml"):
        render(tmp_path)
