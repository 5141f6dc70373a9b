"""The model servers in the cluster: what they are told, who reaches them, and that no request is lost when they change."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from serving import GRPC_PORT, REST_PORT
from serving.modelserver.flags import parse_flags
from serving.modelserver.inference.batching import BatchParameters
from serving.modelserver.metrics import DEFAULT_PATH
from serving.modelserver.text_protos import MonitoringConfig
from tests.unit.manifests.conftest import MANIFESTS, Objects, find

Render = Callable[[Path], Objects]
NAME = "app.kubernetes.io/name"
STABLE, CANARY, GREEN = "serving", "serving-canary", "serving-green"


@pytest.fixture
def kind(render: Render) -> Objects:
    return render(MANIFESTS / "serving/overlays/kind")


@pytest.fixture
def cluster(render: Render) -> Objects:
    return render(MANIFESTS / "serving/overlays/cluster")


@pytest.fixture
def blue_green(render: Render) -> Objects:
    return render(MANIFESTS / "serving/overlays/blue-green")


def pod(objects: Objects, deployment: str) -> dict[str, Any]:
    return find(objects, "Deployment", deployment)["spec"]["template"]["spec"]


def config_maps(objects: Objects, deployment: str) -> list[dict[str, Any]]:
    """Those of the volume with models.config, the first one first."""
    (volume,) = [volume for volume in pod(objects, deployment)["volumes"] if volume["name"] == "config"]
    return [find(objects, "ConfigMap", source["configMap"]["name"]) for source in volume["projected"]["sources"]]


def models(config_map: dict[str, Any]) -> Any:
    text = config_map["data"]["models.config"]
    return text_format.Parse(text, model_server_config_pb2.ModelServerConfig()).model_config_list.config


def arguments(server: dict[str, Any]) -> dict[str, int]:
    """Those of the server's gRPC channels."""
    pairs = (pair.split("=") for pair in parse_flags(server["args"]).grpc_channel_arguments.split(","))
    return {key: int(value) for key, value in pairs}


@pytest.mark.parametrize("deployment", [STABLE, CANARY])
def test_the_server_understands_what_it_is_told(cluster: Objects, deployment: str) -> None:
    (server,) = pod(cluster, deployment)["containers"]
    flags = parse_flags(server["args"])
    ports = {port["name"]: port["containerPort"] for port in server["ports"]}

    assert flags.ignored == ()
    assert (flags.port, flags.rest_api_port) == (ports["grpc"], ports["rest"]) == (GRPC_PORT, REST_PORT)
    assert flags.model_config_file_poll_wait_seconds > 0
    assert flags.allow_version_labels_for_unavailable_models
    assert flags.enable_batching


@pytest.mark.parametrize("deployment", [STABLE, CANARY])
def test_the_files_are_where_the_flags_say(cluster: Objects, deployment: str, tmp_path: Path) -> None:
    spec = pod(cluster, deployment)
    (server,) = spec["containers"]
    flags, mounts = parse_flags(server["args"]), {mount["name"]: mount["mountPath"] for mount in server["volumeMounts"]}
    (settings,) = [volume["configMap"]["name"] for volume in spec["volumes"] if volume["name"] == "settings"]
    files = {f"{mounts['settings']}/{key}": text for key, text in find(cluster, "ConfigMap", settings)["data"].items()}

    assert flags.model_config_file == f"{mounts['config']}/models.config"
    (tmp_path / "batching.config").write_text(files[flags.batching_parameters_file])
    batching = BatchParameters.from_file(tmp_path / "batching.config")
    # A client sends more rows at once than a batch holds.
    assert batching.enable_large_batch_splitting
    assert batching.batch_timeout_micros == 0
    monitoring = text_format.Parse(files[flags.monitoring_config_file], MonitoringConfig()).prometheus_config
    assert (monitoring.enable, monitoring.path) == (True, DEFAULT_PATH)


@pytest.mark.parametrize("deployment", [STABLE, CANARY])
def test_prometheus_is_told_where_the_metrics_are(cluster: Objects, deployment: str) -> None:
    annotations = find(cluster, "Deployment", deployment)["spec"]["template"]["metadata"]["annotations"]
    assert annotations == {
        "prometheus.io/scrape": "true",
        "prometheus.io/port": str(REST_PORT),
        "prometheus.io/path": DEFAULT_PATH,
    }


def test_by_default_the_newest_version_is_served(kind: Objects) -> None:
    default, of_rollout = config_maps(kind, STABLE)
    (model,) = models(default)
    assert (model.name, model.model_platform) == ("flights", "tensorflow")
    assert model.model_version_policy.latest.num_versions == 1
    assert of_rollout["metadata"]["name"] == "serving-config"


@pytest.mark.parametrize("name", ["serving-config", "serving-canary-config", "serving-rollout"])
def test_applying_again_leaves_a_rollout_alone(kind: Objects, name: str) -> None:
    """What a manifest does not say, `kubectl apply` does not set back."""
    assert "data" not in find(kind, "ConfigMap", name)


def test_the_autoscaler_alone_says_how_many_stable_pods_there_are(cluster: Objects) -> None:
    autoscaler = find(cluster, "HorizontalPodAutoscaler", STABLE)["spec"]
    assert autoscaler["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": STABLE}
    assert "replicas" not in find(cluster, "Deployment", STABLE)["spec"]
    # Its measure is a share of what pods reserve.
    assert "cpu" in pod(cluster, STABLE)["containers"][0]["resources"]["requests"]


def test_the_autoscaler_goes_up_at_once_and_down_slowly(cluster: Objects) -> None:
    behavior = find(cluster, "HorizontalPodAutoscaler", STABLE)["spec"]["behavior"]
    assert behavior["scaleUp"]["stabilizationWindowSeconds"] == 0
    assert behavior["scaleDown"]["stabilizationWindowSeconds"] == 600
    assert behavior["scaleDown"]["policies"] == [{"type": "Pods", "value": 1, "periodSeconds": 120}]


def test_a_drained_node_leaves_pods_that_answer(cluster: Objects) -> None:
    budget = find(cluster, "PodDisruptionBudget", STABLE)["spec"]
    assert budget["maxUnavailable"] == 1
    assert budget["selector"] == find(cluster, "Deployment", STABLE)["spec"]["selector"]
    assert find(cluster, "HorizontalPodAutoscaler", STABLE)["spec"]["minReplicas"] >= 2


def test_kind_has_nothing_that_needs_a_metrics_server(kind: Objects) -> None:
    assert "HorizontalPodAutoscaler" not in {manifest["kind"] for manifest in kind}


@pytest.mark.parametrize("deployment", [STABLE, CANARY])
def test_an_update_loses_no_request(cluster: Objects, deployment: str) -> None:
    spec = pod(cluster, deployment)
    (server,) = spec["containers"]
    command, seconds = server["lifecycle"]["preStop"]["exec"]["command"]
    connection = arguments(server)

    assert find(cluster, "Deployment", deployment)["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    assert command == "sleep"
    # gRPC lengthens the age of a connection at random by up to a tenth. By then none leads to a pod that goes.
    longest = 1.1 * connection["grpc.max_connection_age_ms"] + connection["grpc.max_connection_age_grace_ms"]
    assert longest / 1000 < int(seconds) < spec["terminationGracePeriodSeconds"]


def test_before_the_first_push_a_pod_waits(kind: Objects) -> None:
    probe = pod(kind, STABLE)["containers"][0]["startupProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] == 24 * 3600


def test_the_canary_is_the_stable_server_with_a_configuration_of_its_own(cluster: Objects) -> None:
    stable, canary = pod(cluster, STABLE), pod(cluster, CANARY)
    assert canary["containers"] == stable["containers"]
    assert [config["metadata"]["name"] for config in config_maps(cluster, CANARY)] == ["serving-canary-config"]
    assert find(cluster, "Deployment", CANARY)["spec"]["replicas"] == 0
    assert find(cluster, "Service", CANARY)["spec"]["ports"] == find(cluster, "Service", STABLE)["spec"]["ports"]


def test_callers_of_the_service_get_stable_pods_alone(cluster: Objects) -> None:
    selector = find(cluster, "Service", STABLE)["spec"]["selector"]
    labels = {name: find(cluster, "Deployment", name)["spec"]["template"]["metadata"]["labels"] for name in (STABLE, CANARY)}
    assert selector.items() <= labels[STABLE].items()
    assert not selector.items() <= labels[CANARY].items()


@pytest.mark.parametrize("deployment", [STABLE, CANARY])
def test_the_gateway_and_monitoring_come_in_alone(cluster: Objects, deployment: str) -> None:
    policy = find(cluster, "NetworkPolicy", "serving")["spec"]
    labels = find(cluster, "Deployment", deployment)["spec"]["template"]["metadata"]["labels"]
    gateway, monitoring = policy["ingress"]

    assert policy["podSelector"]["matchLabels"].items() <= labels.items()
    assert gateway["from"] == [{"podSelector": {"matchLabels": {NAME: "gateway"}}}]
    assert monitoring == {
        "from": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}],
        "ports": [{"port": "rest", "protocol": "TCP"}],
    }
    assert [manifest["metadata"]["name"] for manifest in cluster if manifest["kind"] == "NetworkPolicy"] == [
        "default-deny",
        "serving",
    ]


def test_ports_of_the_laptop_pass_the_network_policy_and_other_pods_do_not(kind: Objects) -> None:
    policy = find(kind, "NetworkPolicy", "serving-laptop")["spec"]
    (rule,) = policy["ingress"]
    assert policy["podSelector"] == {"matchLabels": find(kind, "Service", STABLE)["spec"]["selector"]}
    assert rule["from"] == [
        {"ipBlock": {"cidr": "0.0.0.0/0", "except": ["10.244.0.0/16"]}},
        {"ipBlock": {"cidr": "10.244.0.1/32"}},
    ]


def test_the_role_is_enough_for_a_rollout_and_no_more(cluster: Objects) -> None:
    rules = find(cluster, "Role", "rollout")["rules"]
    written = {
        (resource, name)
        for rule in rules
        if {"patch", "update"} & set(rule["verbs"])
        for resource in rule["resources"]
        for name in rule.get("resourceNames", ["any"])
    }
    assert written == {
        ("configmaps", "serving-config"),
        ("configmaps", "serving-canary-config"),
        ("configmaps", "serving-rollout"),
        ("deployments/scale", STABLE),
        ("deployments/scale", CANARY),
    }
    assert {verb for rule in rules for verb in rule["verbs"]} == {"create", "get", "list", "patch", "update", "watch"}
    assert [rule["resources"] for rule in rules if "create" in rule["verbs"]] == [["pods/portforward"]]
    assert "secrets" not in {resource for rule in rules for resource in rule["resources"]}


class TestBlueGreen:
    """Two sets of pods of which the Service chooses one."""

    def test_each_set_has_a_version_of_its_own(self, blue_green: Objects) -> None:
        (blue,), (green,) = (models(config_maps(blue_green, name)[0]) for name in (STABLE, GREEN))
        assert list(blue.model_version_policy.specific.versions) == [1]
        assert list(green.model_version_policy.specific.versions) == [2]
        assert (blue.name, blue.base_path) == (green.name, green.base_path)

    def test_the_sets_are_alike(self, blue_green: Objects) -> None:
        assert pod(blue_green, STABLE)["containers"] == pod(blue_green, GREEN)["containers"]
        for kind in ("HorizontalPodAutoscaler", "PodDisruptionBudget"):
            assert find(blue_green, kind, GREEN)["spec"].keys() == find(blue_green, kind, STABLE)["spec"].keys()
        assert find(blue_green, "HorizontalPodAutoscaler", GREEN)["spec"]["scaleTargetRef"]["name"] == GREEN

    def test_the_service_chooses_by_name(self, blue_green: Objects) -> None:
        assert find(blue_green, "Service", STABLE)["spec"]["selector"] == {NAME: STABLE}
        for name in (STABLE, GREEN):
            assert find(blue_green, "Deployment", name)["spec"]["selector"]["matchLabels"] == {NAME: name}

    def test_there_is_no_canary(self, blue_green: Objects) -> None:
        assert not [manifest for manifest in blue_green if manifest["metadata"]["labels"][NAME] == CANARY]


def test_the_page_names_every_object(kind: Objects, cluster: Objects, blue_green: Objects) -> None:
    page = (MANIFESTS.parent / "docs/serving-cluster.md").read_text()
    # Without the hash of its content.
    names = {re.sub(r"-[a-z0-9]{10}$", "", manifest["metadata"]["name"]) for manifest in [*kind, *cluster, *blue_green]}
    assert names - set(re.findall(r"[a-z0-9-]+", page)) == set()
