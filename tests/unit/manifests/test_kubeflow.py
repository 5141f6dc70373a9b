"""Our patches of Kubeflow Pipelines, on a stand-in for its base: the objects that they change, as the release names them.

The base itself is fetched from the network; .github/workflows/kind-e2e.yml applies the real one.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.cluster import retries
from tests.unit.manifests.conftest import MANIFESTS, Objects, find
from tests.unit.manifests.kubernetes_schema import problems

Render = Callable[[Path], Objects]


def deployment(name: str, container: str, **fields: Any) -> dict[str, Any]:
    labels = {"app": name}
    spec = {"containers": [{"name": container, "image": f"{name}:2.17.0", **fields}]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "kubeflow"},
        "spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": spec}},
    }


def claim(name: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "namespace": "kubeflow"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "20Gi"}}},
    }


# As in the release: with them, no pod of a run that fails is tried again.
RELEASED_DEFAULTS = {
    "spec": {
        "ttlStrategy": {"secondsAfterCompletion": 3600},
        "templateDefaults": {"retryStrategy": {"limit": "2", "retryPolicy": "OnError"}},
    }
}

RELEASED = [
    deployment(
        "ml-pipeline",
        "ml-pipeline-api-server",
        startupProbe={"httpGet": {"path": "/healthz", "port": 8888}, "failureThreshold": 12, "timeoutSeconds": 2},
        readinessProbe={"httpGet": {"path": "/healthz", "port": 8888}, "timeoutSeconds": 2},
        livenessProbe={"httpGet": {"path": "/healthz", "port": 8888}, "timeoutSeconds": 2},
    ),
    deployment("workflow-controller", "workflow-controller", env=[{"name": "TRANSIENT_ERROR_PATTERN", "value": "evict"}]),
    deployment("cache-deployer-deployment", "main", imagePullPolicy="Always"),
    deployment("cache-server", "server", imagePullPolicy="Always"),
    deployment("ml-pipeline-viewer-crd", "ml-pipeline-viewer-crd", imagePullPolicy="Always"),
    claim("mysql-pv-claim"),
    claim("seaweedfs-pvc"),
    {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "workflow-controller-configmap", "namespace": "kubeflow"},
        "data": {"executor": "imagePullPolicy: IfNotPresent\n", "workflowDefaults": yaml.safe_dump(RELEASED_DEFAULTS)},
    },
    {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "ml-pipeline-ui", "namespace": "kubeflow"},
        "spec": {"ports": [{"name": "http", "protocol": "TCP", "port": 80, "targetPort": 3000}]},
    },
    {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": "pipeline-runner", "namespace": "kubeflow"},
        "rules": [{"apiGroups": [""], "resources": ["secrets", "pods/exec"], "verbs": ["*"]}],
    },
]


@pytest.fixture(scope="module")
def rendered(render: Render, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Objects]:
    folder = tmp_path_factory.mktemp("kubeflow")
    copy = shutil.copytree(MANIFESTS / "kubeflow", folder / "manifests")
    (folder / "released").mkdir()
    (folder / "released/objects.yaml").write_text(yaml.safe_dump_all(RELEASED))
    (folder / "released/kustomization.yaml").write_text("resources: [objects.yaml]\n")
    base = copy / "base/kustomization.yaml"
    base.write_text(re.sub(r"https://github\.com\S+", "../../released", base.read_text()))
    return lambda overlay: render(copy / "overlays" / overlay)


@pytest.fixture(params=["kind", "cluster"])
def objects(request: pytest.FixtureRequest, rendered: Callable[[str], Objects]) -> Objects:
    return rendered(request.param)


def test_objects_stay_right(objects: Objects) -> None:
    assert len(objects) == len(RELEASED) + 1
    assert [problem for manifest in objects for problem in problems(manifest)] == []


def test_the_api_server_reads_a_configuration_without_mlflow(objects: Objects) -> None:
    pod = find(objects, "Deployment", "ml-pipeline")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    (mount,) = container["volumeMounts"]
    assert (mount["mountPath"], mount["subPath"]) == ("/config/config.json", "config.json")
    (volume,) = pod["volumes"]
    configuration = find(objects, "ConfigMap", volume["configMap"]["name"])
    settings = json.loads(configuration["data"]["config.json"])
    assert "plugins" not in settings
    # Without these two the server does not start.
    assert settings.keys() >= {"DBDriverName", "InitConnectionTimeout"}


def test_the_api_server_gets_time_to_start(objects: Objects) -> None:
    (container,) = find(objects, "Deployment", "ml-pipeline")["spec"]["template"]["spec"]["containers"]
    assert container["startupProbe"]["failureThreshold"] == 60
    assert {container[probe]["timeoutSeconds"] for probe in ("startupProbe", "readinessProbe", "livenessProbe")} == {5}
    assert all("httpGet" in container[probe] for probe in ("startupProbe", "readinessProbe", "livenessProbe"))


def test_a_run_may_do_three_things(objects: Objects) -> None:
    rules = find(objects, "Role", "pipeline-runner")["rules"]
    assert [(rule["resources"], rule.get("resourceNames"), rule["verbs"]) for rule in rules] == [
        (["workflowtaskresults"], None, ["create", "patch"]),
        (["configmaps"], ["kfp-launcher"], ["get"]),
        (["secrets"], ["mlpipeline-minio-artifact"], ["get"]),
    ]


def test_pods_stay_for_a_day(objects: Objects) -> None:
    settings = find(objects, "ConfigMap", "workflow-controller-configmap")["data"]
    assert yaml.safe_load(settings["workflowDefaults"])["spec"]["ttlStrategy"] == {"secondsAfterCompletion": 86400}
    assert "executor" in settings


def test_pods_that_fail_are_tried_again(objects: Objects) -> None:
    settings = find(objects, "ConfigMap", "workflow-controller-configmap")["data"]
    assert retries.defaults(settings) is None
    assert retries.defaults({"workflowDefaults": yaml.safe_dump(RELEASED_DEFAULTS)}) is not None


def test_argo_looks_at_runs_every_two_seconds(objects: Objects) -> None:
    (container,) = find(objects, "Deployment", "workflow-controller")["spec"]["template"]["spec"]["containers"]
    variables = {variable["name"]: variable["value"] for variable in container["env"]}
    assert variables == {"TRANSIENT_ERROR_PATTERN": "evict", "DEFAULT_REQUEUE_TIME": "2s"}


def test_images_are_fetched_once(objects: Objects) -> None:
    policies = {
        container.get("imagePullPolicy", "IfNotPresent")
        for manifest in objects
        if manifest["kind"] == "Deployment"
        for container in manifest["spec"]["template"]["spec"]["containers"]
    }
    assert policies == {"IfNotPresent"}


def test_kind_has_small_volumes_and_a_port_for_the_dashboard(rendered: Callable[[str], Objects]) -> None:
    objects = rendered("kind")
    for name in ("mysql-pv-claim", "seaweedfs-pvc"):
        assert find(objects, "PersistentVolumeClaim", name)["spec"]["resources"]["requests"]["storage"] == "2Gi"
    service = find(objects, "Service", "ml-pipeline-ui")["spec"]
    assert service["type"] == "NodePort"
    assert service["ports"] == [{"name": "http", "protocol": "TCP", "port": 80, "targetPort": 3000, "nodePort": 30080}]


def test_a_real_cluster_keeps_them_as_they_are(rendered: Callable[[str], Objects]) -> None:
    objects = rendered("cluster")
    assert find(objects, "PersistentVolumeClaim", "mysql-pv-claim") == claim("mysql-pv-claim")
    assert "type" not in find(objects, "Service", "ml-pipeline-ui")["spec"]
