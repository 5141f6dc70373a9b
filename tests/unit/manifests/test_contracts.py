"""Manifests, configuration and compiled package mean the same things by the same names."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.config import InfraValidator, Kubeflow
from pipeline.runs.database import ENVIRONMENT_VARIABLE, parse
from serving.rollout.model_folder import SHELL
from tests.unit.manifests.conftest import MANIFESTS, Objects, find, is_remote, pod_of
from tests.unit.manifests.pod_security import containers

Render = Callable[[Path], Objects]

SETTINGS = Kubeflow()
PACKAGE = Path(__file__).parents[1] / "kubeflow" / "golden" / "flights.yaml"
KIND = yaml.safe_load((MANIFESTS / "kind/cluster.yaml").read_text())


@pytest.fixture
def objects(render: Render) -> Objects:
    return render(MANIFESTS / "conveyor/overlays/kind")


@pytest.fixture
def serving(render: Render) -> Objects:
    return render(MANIFESTS / "serving/overlays/kind")


def pods(objects: Objects) -> dict[str, dict[str, Any]]:
    found = ((manifest["metadata"]["name"], pod_of(manifest)) for manifest in objects)
    return {name: pod["spec"] for name, pod in found if pod is not None}


def environment(container: dict[str, Any]) -> dict[str, Any]:
    return {variable["name"]: variable.get("value", variable.get("valueFrom")) for variable in container.get("env", [])}


def test_objects_are_where_runs_look_for_them(objects: Objects) -> None:
    names = {(manifest["kind"], manifest["metadata"]["name"]) for manifest in objects}
    assert ("PersistentVolumeClaim", SETTINGS.volume) in names
    assert {manifest["metadata"].get("namespace") for manifest in objects} == {SETTINGS.namespace, None}


def test_pods_mount_the_volume_where_runs_do(objects: Objects) -> None:
    for name in ("conveyor-prepare", "conveyor-shell", "conveyor-metadata-backup"):
        pod = pods(objects)[name]
        (volume,) = [volume["name"] for volume in pod["volumes"] if "persistentVolumeClaim" in volume]
        for container in containers(pod):
            assert {"name": volume, "mountPath": SETTINGS.mount_path} in container["volumeMounts"]


def test_commands_find_the_pod_with_the_volume_by_its_name(objects: Objects) -> None:
    name, _, number = SHELL.rpartition("-")
    shell = find(objects, "StatefulSet", name)["spec"]
    assert int(number) < shell.get("replicas", 1)
    # Otherwise the pod of a wrong image would be waited for, and stand in the way of the right one.
    assert shell["podManagementPolicy"] == "Parallel"


def test_pods_on_the_volume_are_one_user(objects: Objects) -> None:
    for name in ("conveyor-prepare", "conveyor-shell", "conveyor-metadata-backup"):
        pod = pods(objects)[name]
        for container in pod["containers"]:
            context = {**pod["securityContext"], **container["securityContext"]}
            assert (context["runAsUser"], context["runAsGroup"]) == (SETTINGS.user, SETTINGS.user)
    (volume,) = pods(objects)["conveyor-prepare"]["initContainers"]
    assert environment(volume) == {"VOLUME": SETTINGS.mount_path, "OWNER": str(SETTINGS.user)}


def test_pods_with_our_code_are_of_the_task_image(objects: Objects) -> None:
    images = {container["image"] for pod in pods(objects).values() for container in containers(pod)}
    assert images == {SETTINGS.image, "mysql:8.4"}


def test_the_secret_has_one_name_and_known_keys(objects: Objects) -> None:
    references = [
        (variable, source["secretKeyRef"])
        for pod in pods(objects).values()
        for container in containers(pod)
        for variable, source in environment(container).items()
        if isinstance(source, dict)
    ]
    assert {reference["name"] for _, reference in references} == {SETTINGS.metadata.secret}
    assert {reference["key"] for _, reference in references} == {SETTINGS.metadata.key, "password", "root-password"}
    urls = {variable for variable, reference in references if reference["key"] == SETTINGS.metadata.key}
    assert urls == {ENVIRONMENT_VARIABLE}


def test_the_url_of_the_secret_leads_to_the_database(objects: Objects) -> None:
    connection = parse("mysql://conveyor:secret@conveyor-metadata:3306/conveyor").mysql
    service = find(objects, "Service", connection.host)
    assert [port["port"] for port in service["spec"]["ports"]] == [connection.port]
    (server,) = pods(objects)["conveyor-metadata"]["containers"]
    assert environment(server)["MYSQL_DATABASE"] == connection.database
    assert environment(server)["MYSQL_USER"] == connection.user


def test_the_database_lets_in_runs_and_our_own_pods_alone(objects: Objects) -> None:
    policy = find(objects, "NetworkPolicy", "conveyor-metadata")["spec"]
    assert policy["podSelector"] == {"matchLabels": {"app.kubernetes.io/name": "conveyor-metadata"}}
    (rule,) = policy["ingress"]
    assert [peer["podSelector"]["matchLabels"] for peer in rule["from"]] == [
        {"pipelines.kubeflow.org/v2_component": "true"},
        {"app.kubernetes.io/part-of": "conveyor"},
    ]


def test_the_compiled_package_asks_for_what_is_there(objects: Objects) -> None:
    pipeline, platform = yaml.safe_load_all(PACKAGE.read_text())
    images = {executor["container"]["image"] for executor in pipeline["deploymentSpec"]["executors"].values()}
    assert images == {SETTINGS.image}
    for executor in platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"].values():
        (mount,) = executor["pvcMount"]
        assert find(objects, "PersistentVolumeClaim", mount["constant"])
        assert mount["mountPath"] == SETTINGS.mount_path
        assert {secret["secretName"] for secret in executor["secretAsEnv"]} == {SETTINGS.metadata.secret}
        assert executor["securityContext"]["runAsUser"] == str(SETTINGS.user)


def test_the_laptops_folder_is_the_volume(objects: Objects, serving: Objects) -> None:
    (node,) = KIND["nodes"]
    (mount,) = node["extraMounts"]
    assert mount["containerPath"] == SETTINGS.mount_path
    assert find(objects, "PersistentVolume", "conveyor")["spec"]["hostPath"]["path"] == mount["containerPath"]
    models = find(serving, "PersistentVolume", "conveyor-models")["spec"]["hostPath"]["path"]
    assert models == f"{mount['containerPath']}/models"


def test_ports_lead_from_the_laptop_to_the_services(serving: Objects) -> None:
    (node,) = KIND["nodes"]
    assert all(mapping["listenAddress"] == "127.0.0.1" for mapping in node["extraPortMappings"])
    of_laptop = {mapping["containerPort"]: mapping["hostPort"] for mapping in node["extraPortMappings"]}
    service = find(serving, "Service", "serving")["spec"]
    assert service["type"] == "NodePort"
    assert {port["name"]: of_laptop[port["nodePort"]] for port in service["ports"]} == {"grpc": 8500, "rest": 8501}
    dashboard = yaml.safe_load((MANIFESTS / "kubeflow/overlays/kind/dashboard.yaml").read_text())
    (port,) = dashboard["spec"]["ports"]
    assert f"http://localhost:{of_laptop[port['nodePort']]}" == SETTINGS.host


def test_kind_makes_the_cluster_that_the_configuration_names() -> None:
    assert KIND["apiVersion"] == "kind.x-k8s.io/v1alpha4"
    assert KIND["kind"] == "Cluster"
    assert f"kind-{KIND['name']}" == SETTINGS.context
    (node,) = KIND["nodes"]
    assert node.keys() <= {"role", "image", "extraMounts", "extraPortMappings"}
    name, _, version = node["image"].partition(":v")
    assert name == "kindest/node"
    assert tuple(int(part) for part in version.split(".")) >= (1, 33, 0)


def test_what_is_pushed_is_served(serving: Objects) -> None:
    pipeline, _ = yaml.safe_load_all(PACKAGE.read_text())
    destination = pipeline["root"]["inputDefinitions"]["parameters"]["push_destination"]["defaultValue"]
    pushed = Path(destination).relative_to(SETTINGS.mount_path)
    (server,) = pods(serving)["serving"]["containers"]
    (models,) = [mount["mountPath"] for mount in server["volumeMounts"] if mount["name"] == "models"]
    assert f"{models}/{pushed.name}" == "/models/flights"
    assert f'base_path: "{models}/{pushed.name}"' in find(serving, "ConfigMap", "serving-default")["data"]["models.config"]
    assert server["readinessProbe"]["httpGet"]["path"] == f"/v1/models/{pushed.name}/metadata"
    assert server["image"] == InfraValidator().image


def test_models_are_read_only_where_they_are_served(serving: Objects) -> None:
    pod = pods(serving)["serving"]
    (volume,) = [volume for volume in pod["volumes"] if volume["name"] == "models"]
    assert volume["persistentVolumeClaim"]["readOnly"] is True
    assert all(mount["readOnly"] for mount in pod["containers"][0]["volumeMounts"] if mount["name"] != "tmp")


def test_a_registry_takes_the_place_of_the_local_image(render: Render) -> None:
    of_cluster = pods(render(MANIFESTS / "conveyor/overlays/cluster"))
    images = {
        container["image"] for name in ("conveyor-prepare", "conveyor-shell") for container in containers(of_cluster[name])
    }
    assert images == {f"registry.example.com/{SETTINGS.image}"}


def test_every_remote_base_is_pinned_to_one_release() -> None:
    files = [path for path in MANIFESTS.rglob("kustomization.yaml") if is_remote(path.parent)]
    remote = [resource for path in files for resource in yaml.safe_load(path.read_text())["resources"] if "://" in resource]
    assert sorted(url.partition("?")[0].rpartition("/manifests/kustomize/")[2] for url in remote) == [
        "cluster-scoped-resources",
        "env/platform-agnostic",
    ]
    assert {url.partition("?ref=")[2].partition("&")[0] for url in remote} == {"2.17.0"}


def test_the_page_on_the_cluster_names_every_object(objects: Objects) -> None:
    page = (MANIFESTS.parent / "docs/cluster.md").read_text()
    missing = {manifest["metadata"]["name"] for manifest in objects} - set(re.findall(r"[a-z0-9-]+", page))
    assert missing == set()
