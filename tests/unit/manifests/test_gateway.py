"""The gateway in the cluster: it reads its settings, finds what it needs, and only who should comes in."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import Gateway, Kubeflow
from serving.client import Address
from serving.gateway.server import GRACE_SECONDS
from serving.gateway.settings import read_settings
from serving.gateway.shared_store import PASSWORD_FILE_VARIABLE
from serving.rollout.cluster import GATEWAY, STATE
from tests.unit.manifests.conftest import MANIFESTS, Objects, find

Render = Callable[[Path], Objects]
NAME = "app.kubernetes.io/name"
OVERLAYS = ("kind", "cluster")


@pytest.fixture(params=OVERLAYS)
def objects(request: pytest.FixtureRequest, render: Render) -> Objects:
    return render(MANIFESTS / f"gateway/overlays/{request.param}")


@pytest.fixture
def kind(render: Render) -> Objects:
    return render(MANIFESTS / "gateway/overlays/kind")


@pytest.fixture
def serving(render: Render) -> Objects:
    return render(MANIFESTS / "serving/overlays/cluster")


@pytest.fixture
def redis(render: Render) -> Objects:
    return render(MANIFESTS / "gateway/redis")


@pytest.fixture
def settings(tmp_path: Path, objects: Objects) -> Gateway:
    """As a pod reads them."""
    return read_settings(write(tmp_path, objects))


def write(folder: Path, objects: Objects) -> Path:
    for name, text in find(objects, "ConfigMap", volume(objects, "settings")["configMap"]["name"])["data"].items():
        (folder / name).write_text(text)
    return folder / "settings.yaml"


def pod(objects: Objects, deployment: str = "gateway") -> dict[str, Any]:
    return find(objects, "Deployment", deployment)["spec"]["template"]["spec"]


def volume(objects: Objects, name: str, deployment: str = "gateway") -> dict[str, Any]:
    (found,) = [volume for volume in pod(objects, deployment)["volumes"] if volume["name"] == name]
    return found


def mounts(objects: Objects) -> dict[str, str]:
    (container,) = pod(objects)["containers"]
    return {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}


def test_the_gateway_reads_its_settings_where_they_are(objects: Objects) -> None:
    (container,) = pod(objects)["containers"]
    assert [*container["command"], *container["args"]] == [
        "python",
        "-m",
        "serving.gateway",
        "--settings",
        f"{mounts(objects)['settings']}/settings.yaml",
    ]
    assert find(objects, "Deployment", GATEWAY)["spec"]["template"]["metadata"]["labels"][NAME] == GATEWAY


def test_it_runs_in_the_task_image_as_the_user_of_the_runs(objects: Objects) -> None:
    (container,) = pod(objects)["containers"]
    assert container["image"].removeprefix("registry.example.com/") == Kubeflow().image
    # What it logs, runs read and clean up.
    assert pod(objects)["securityContext"]["runAsUser"] == Kubeflow().user


def test_it_listens_where_it_is_looked_for(objects: Objects, settings: Gateway) -> None:
    (port,) = pod(objects)["containers"][0]["ports"]
    annotations = find(objects, "Deployment", "gateway")["spec"]["template"]["metadata"]["annotations"]
    assert (settings.host, settings.port) == ("0.0.0.0", port["containerPort"])
    assert annotations == {
        "prometheus.io/scrape": "true",
        "prometheus.io/port": str(settings.port),
        "prometheus.io/path": "/metrics",
    }


def test_it_asks_the_model_servers_that_are_there(settings: Gateway, serving: Objects) -> None:
    addresses = [Address.parse(address) for address in (settings.upstream.stable, settings.upstream.canary or "")]
    for address, name in zip(addresses, ("serving", "serving-canary"), strict=True):
        host, port = address.server.split(":")
        service = find(serving, "Service", host)
        assert (host, address.model) == (name, "flights")
        assert int(port) in [each["port"] for each in service["spec"]["ports"] if each["name"] == "grpc"]


def test_it_splits_traffic_by_the_state_that_rollouts_write(objects: Objects, settings: Gateway, serving: Objects) -> None:
    state = volume(objects, "rollout")["configMap"]
    assert find(serving, "ConfigMap", state["name"])["metadata"]["name"] == STATE
    assert settings.rollout == f"{mounts(objects)['rollout']}/rollout.json"
    # Kubernetes never changes a file that is mounted by its name alone.
    assert "subPath" not in str(pod(objects)["containers"][0]["volumeMounts"])


def test_it_knows_the_features_ranges(settings: Gateway) -> None:
    assert settings.feature_schema is not None
    curated = MANIFESTS.parent / "examples/flights/schema.pbtxt"
    assert Path(settings.feature_schema).read_text() == curated.read_text()


def test_it_logs_predictions_to_the_volume(objects: Objects, settings: Gateway) -> None:
    assert settings.log.folder == f"{mounts(objects)['predictions']}/flights"
    claim = find(objects, "PersistentVolumeClaim", volume(objects, "predictions")["persistentVolumeClaim"]["claimName"])
    # By all gateways at once.
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]


def test_runs_find_the_log_where_they_look_for_it(kind: Objects) -> None:
    path = find(kind, "PersistentVolume", "conveyor-predictions")["spec"]["hostPath"]["path"]
    assert f"{path}/flights" == str(Gateway().log.folder).format(workspace=Kubeflow().mount_path, name="flights")


def test_an_update_loses_no_request(objects: Objects) -> None:
    spec = pod(objects)
    (container,) = spec["containers"]
    _, seconds = container["lifecycle"]["preStop"]["exec"]["command"]
    assert find(objects, "Deployment", "gateway")["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    assert int(seconds) + GRACE_SECONDS < spec["terminationGracePeriodSeconds"]


def test_it_is_ready_when_it_can_answer(objects: Objects) -> None:
    (container,) = pod(objects)["containers"]
    probes = {probe: container[probe]["httpGet"]["path"] for probe in ("startupProbe", "readinessProbe", "livenessProbe")}
    assert probes == {"startupProbe": "/healthz", "readinessProbe": "/readyz", "livenessProbe": "/healthz"}


def test_the_autoscaler_alone_says_how_many_pods_there_are(render: Render) -> None:
    objects = render(MANIFESTS / "gateway/overlays/cluster")
    autoscaler = find(objects, "HorizontalPodAutoscaler", "gateway")["spec"]
    assert autoscaler["scaleTargetRef"]["name"] == "gateway"
    assert autoscaler["behavior"]["scaleDown"]["stabilizationWindowSeconds"] == 600
    assert "replicas" not in find(objects, "Deployment", "gateway")["spec"]
    assert find(objects, "PodDisruptionBudget", "gateway")["spec"]["maxUnavailable"] == 1


def test_namespaces_that_are_told_to_come_in_to_its_one_port(objects: Objects) -> None:
    (rule,) = find(objects, "NetworkPolicy", "gateway")["spec"]["ingress"]
    applications, monitoring, load_test = rule["from"]
    assert applications == {"namespaceSelector": {"matchLabels": {"conveyor.dev/calls-gateway": "true"}}}
    assert monitoring == {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
    assert load_test == {"podSelector": {"matchLabels": {NAME: "load-test"}}}
    assert rule["ports"] == [{"protocol": "TCP", "port": "http"}]


def test_it_may_call_the_model_servers_and_redis_alone(objects: Objects, serving: Objects, redis: Objects) -> None:
    servers, cache = find(objects, "NetworkPolicy", "gateway")["spec"]["egress"]
    ports = {port["name"] for port in pod(serving, "serving")["containers"][0]["ports"]}
    labels = find(serving, "Deployment", "serving")["spec"]["template"]["metadata"]["labels"]
    assert servers["to"][0]["podSelector"]["matchLabels"].items() <= labels.items()
    assert {port["port"] for port in servers["ports"]} == ports
    assert cache["to"][0]["podSelector"] == {"matchLabels": find(redis, "Service", "redis")["spec"]["selector"]}
    assert [port["port"] for port in cache["ports"]] == [pod(redis, "redis")["containers"][0]["ports"][0]["name"]]


@pytest.mark.parametrize(
    ("folder", "namespace"), [("serving/overlays/cluster", "conveyor-serving"), ("monitoring", "monitoring")]
)
def test_what_no_policy_admits_is_refused(render: Render, folder: str, namespace: str) -> None:
    manifests = render(MANIFESTS / folder)
    policy, space = find(manifests, "NetworkPolicy", "default-deny"), find(manifests, "Namespace", namespace)
    (dns,) = policy["spec"]["egress"]
    assert policy["metadata"]["namespace"] == namespace
    assert (policy["spec"]["podSelector"], policy["spec"]["policyTypes"]) == ({}, ["Ingress", "Egress"])
    assert {port["port"] for port in dns["ports"]} == {53}
    assert space["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_a_port_of_the_laptop_leads_in(kind: Objects) -> None:
    import yaml

    (node,) = yaml.safe_load((MANIFESTS / "kind/cluster.yaml").read_text())["nodes"]
    of_laptop = {mapping["containerPort"]: mapping["hostPort"] for mapping in node["extraPortMappings"]}
    service = find(kind, "Service", "gateway")["spec"]
    policy = find(kind, "NetworkPolicy", "gateway-laptop")["spec"]
    assert [of_laptop[port["nodePort"]] for port in service["ports"]] == [Gateway().port]
    assert policy["podSelector"]["matchLabels"] == service["selector"]
    assert policy["ingress"][0]["from"][0] == {"ipBlock": {"cidr": "0.0.0.0/0", "except": ["10.244.0.0/16"]}}


class TestRedis:
    """The cache that gateways share, if one wants it."""

    def test_it_is_where_the_settings_say(self, tmp_path: Path, kind: Objects, redis: Objects) -> None:
        path = write(tmp_path, kind)
        told = path.read_text().replace("# cache:\n#   redis:", "cache:\n  redis:")
        path.write_text(told)
        found = re.fullmatch(r"redis://(\w+):(\d+)/0", str(read_settings(path).cache.redis))
        assert found
        (port,) = find(redis, "Service", found[1])["spec"]["ports"]
        assert port["port"] == int(found[2])

    def test_the_gateway_alone_comes_in(self, redis: Objects) -> None:
        (rule,) = find(redis, "NetworkPolicy", "redis")["spec"]["ingress"]
        assert rule["from"] == [{"podSelector": {"matchLabels": {NAME: "gateway"}}}]

    def test_it_forgets_rather_than_fails_when_it_is_full(self, redis: Objects) -> None:
        (script,) = pod(redis, "redis")["containers"][0]["args"]
        arguments = shlex.split(script.splitlines()[-1].partition("redis.conf ")[2])
        options = dict(zip(arguments[::2], arguments[1::2], strict=True))
        assert options == {"--save": "", "--appendonly": "no", "--maxmemory": "256mb", "--maxmemory-policy": "allkeys-lru"}

    def test_without_it_a_gateway_starts_all_the_same(self, objects: Objects) -> None:
        assert volume(objects, "redis")["secret"]["optional"] is True

    def test_both_read_the_same_password(self, objects: Objects, redis: Objects) -> None:
        secrets = [volume(objects, "redis")["secret"], volume(redis, "password", "redis")["secret"]]
        assert [each["secretName"] for each in secrets] == ["gateway-redis"] * 2
        # As a file, which no child of the process inherits; readable by the pods' user.
        (variable,) = pod(objects)["containers"][0]["env"]
        (mount,) = [each for each in pod(objects)["containers"][0]["volumeMounts"] if each["name"] == "redis"]
        assert variable == {"name": PASSWORD_FILE_VARIABLE, "value": f"{mount['mountPath']}/password"}
        assert {each["defaultMode"] for each in secrets} == {0o444}


def test_an_ingress_shows_what_applications_need(render: Render) -> None:
    ingress = find(render(MANIFESTS / "gateway/ingress"), "Ingress", "gateway")["spec"]
    (rule,) = ingress["rules"]
    assert ingress["tls"][0]["hosts"] == [rule["host"]]
    assert [path["path"] for path in rule["http"]["paths"]] == ["/v1", "/docs", "/openapi.json", "/static-offline-docs"]
    services = {
        (path["backend"]["service"]["name"], path["backend"]["service"]["port"]["name"]) for path in rule["http"]["paths"]
    }
    assert services == {("gateway", "http")}


def test_the_load_test_asks_the_gateway(render: Render, kind: Objects) -> None:
    job = find(render(MANIFESTS / "gateway/load-test"), "Job", "load-test")["spec"]["template"]["spec"]
    (container,) = job["containers"]
    variables = {variable["name"]: variable.get("value") for variable in container["env"]}
    script = (MANIFESTS / "gateway/load-test/predict.js").read_text()
    assert variables["GATEWAY"] == f"http://{find(kind, 'Service', 'gateway')['metadata']['name']}"
    assert [port["port"] for port in find(kind, "Service", "gateway")["spec"]["ports"]] == [80]
    assert variables.keys() == set(re.findall(r"__ENV\.(\w+)", script))


@pytest.mark.skipif(not shutil.which("k6"), reason="k6 is not on the path: install it to check the load test")
def test_k6_takes_the_script() -> None:
    import subprocess

    script = MANIFESTS / "gateway/load-test/predict.js"
    done = subprocess.run(["k6", "inspect", str(script)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_the_page_names_every_object(render: Render) -> None:
    page = (MANIFESTS.parent / "docs/serving-cluster.md").read_text()
    folders = [
        *(f"gateway/overlays/{name}" for name in OVERLAYS),
        "gateway/redis",
        "gateway/ingress",
        "gateway/load-test",
        "monitoring",
    ]
    names = {manifest["metadata"]["name"] for folder in folders for manifest in render(MANIFESTS / folder)}
    names = {re.sub(r"-[a-z0-9]{10}$", "", name) for name in names}
    assert names - set(re.findall(r"[a-z0-9-]+", page)) == set()
