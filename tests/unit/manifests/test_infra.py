"""What infra/ makes of a cloud and lets Argo CD do, beside the manifests that it is for."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from ipaddress import ip_address, ip_network, summarize_address_range
from pathlib import Path

import pytest
import yaml

from pipeline.config import Kubeflow
from pipeline.util import checkout
from serving.rollout.cluster import CANARY_CONFIG, CANARY_DEPLOYMENT, STABLE_CONFIG, STATE
from tests.unit.manifests.conftest import MANIFESTS, Objects, find, pod_of

Render = Callable[[Path], Objects]
INFRA = checkout.ROOT / "infra"
RUNNER = "pipeline-runner"


@pytest.fixture
def objects(render: Render) -> Objects:
    """What `conveyor compile --manifests` renders."""
    return [one for part in ("conveyor", "serving", "gateway") for one in render(MANIFESTS / part / "overlays" / "cluster")]


def test_argo_cd_leaves_to_rollouts_what_is_theirs(objects: Objects) -> None:
    spec = yaml.safe_load((INFRA / "argocd" / "application.yaml").read_text())["spec"]

    left = {(each["kind"], each["name"], *each["jsonPointers"]) for each in spec["ignoreDifferences"]}
    assert left == {
        *(("ConfigMap", name, "/data") for name in (STATE, STABLE_CONFIG, CANARY_CONFIG)),
        ("Deployment", CANARY_DEPLOYMENT, "/spec/replicas"),
    }
    assert {"ServerSideApply=true", "RespectIgnoreDifferences=true"} <= set(spec["syncPolicy"]["syncOptions"])
    for each in spec["ignoreDifferences"]:
        found = find(objects, each["kind"], each["name"])
        assert found["metadata"]["namespace"] == each["namespace"]
        assert found["apiVersion"].rpartition("/")[0] == each["group"]


def test_autoscalers_and_manifests_do_not_both_set_the_number_of_pods(objects: Objects) -> None:
    scaled = [one["spec"]["scaleTargetRef"]["name"] for one in objects if one["kind"] == "HorizontalPodAutoscaler"]

    assert scaled
    assert not [name for name in scaled if "replicas" in find(objects, "Deployment", name)["spec"]]


def test_whoever_mounts_the_volume_may_use_the_bucket(objects: Objects, render: Render) -> None:
    mounting = {
        (one["metadata"]["namespace"], pod["spec"].get("serviceAccountName", "default"))
        for one in (*objects, *render(MANIFESTS / "loop"))
        if (pod := pod_of(one)) and any("persistentVolumeClaim" in volume for volume in pod["spec"].get("volumes", ()))
        # Its files are a database's, on a disk of its own.
        if one["metadata"]["name"] != "conveyor-metadata"
    }
    text = (INFRA / "gke" / "identities.tf").read_text().replace("${var.run_namespace}", Kubeflow().namespace)
    allowed = {tuple(each.split("/")) for each in re.findall(r'^ +"([\w-]+/[\w-]+)"', text, flags=re.MULTILINE)}

    assert allowed == {*mounting, (Kubeflow().namespace, RUNNER)}


@pytest.mark.parametrize(
    ("deployment", "account"), [("serving", "serving"), ("serving-canary", "serving"), ("gateway", "gateway")]
)
def test_a_server_may_do_with_the_bucket_what_its_mounts_can(objects: Objects, deployment: str, account: str) -> None:
    """An attacker in a pod has the rights of its account, whatever the mount is like."""
    spec = find(objects, "Deployment", deployment)["spec"]["template"]["spec"]
    (claim,) = [volume["persistentVolumeClaim"] for volume in spec["volumes"] if "persistentVolumeClaim" in volume]
    folder = find(objects, "PersistentVolume", claim["claimName"])["spec"]["nfs"]["path"].removeprefix("/conveyor/")
    role = "objectViewer" if claim.get("readOnly") else "objectUser"

    assert spec["serviceAccountName"] == account
    assert find(objects, "ServiceAccount", account)["automountServiceAccountToken"] is False
    granted = f'"conveyor-serving/{account}" = {{ folder = "{folder}", role = "roles/storage.{role}" }}'
    assert granted in (INFRA / "gke" / "identities.tf").read_text()


def test_servers_reach_the_bucket_and_nothing_else_of_the_internet(objects: Objects, render: Render) -> None:
    policy = find(render(MANIFESTS / "serving/gcsfuse"), "NetworkPolicy", "gcsfuse")
    (selected,) = policy["spec"]["podSelector"]["matchExpressions"]
    servers = {
        pod["metadata"]["labels"][selected["key"]]
        for one in (*objects, *render(MANIFESTS / "serving/overlays/blue-green"))
        if one["metadata"].get("namespace") == policy["metadata"]["namespace"] and (pod := pod_of(one))
    }
    assert set(selected["values"]) == servers
    storage, *metadata = [[ip_network(to["ipBlock"]["cidr"]) for to in rule["to"]] for rule in policy["spec"]["egress"]]
    (addresses,) = re.findall(r"rrdatas += \[(.*)\]", (INFRA / "gke" / "network.tf").read_text())
    assert storage == list(summarize_address_range(*(ip_address(each.strip('" ')) for each in addresses.split(",")[::3])))
    assert all(network.is_link_local for networks in metadata for network in networks)


def test_it_is_written_as_opentofu_formats_it() -> None:
    program = shutil.which("tofu") or shutil.which("terraform")
    if program is None:
        pytest.skip("neither tofu nor terraform is on the path")

    done = subprocess.run([program, "fmt", "-check", "-recursive", "-diff", str(INFRA)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
