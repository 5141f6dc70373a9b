"""The objects of a loop in the cluster: right for the API server, and one pipeline's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.config import Kubeflow, PipelineConfig
from pipeline.config.loading import load_config
from pipeline.errors import ConfigError, UsageError
from pipeline.kubeflow.loop_objects import loop_objects
from pipeline.util import checkout
from serving.rollout import api_objects
from tests.unit.manifests.kubernetes_schema import problems
from tests.unit.manifests.pod_security import violations

FIELDS: dict[str, Any] = {
    "name": "flights",
    "label": "late",
    "data": {"input": "{workspace}/data/span-{SPAN}.csv"},
    "schema": {"path": "schema.pbtxt"},
    "loop": {"steps": [1, 50]},
    "kubeflow": {
        "namespace": "team",
        "image": "registry/conveyor:2",
        "image_pull_secrets": ["registry"],
        "metadata": {"secret": "database", "key": "address"},
        "environment": {"AWS_ACCESS_KEY_ID": {"secret": "bucket", "key": "id"}},
    },
}


def config(folder: Path, **fields: Any) -> PipelineConfig:
    (folder / "schema.pbtxt").write_text('feature { name: "late" }\n')
    (folder / "pipeline.yaml").write_text(yaml.safe_dump({**FIELDS, **fields}))
    return load_config(folder / "pipeline.yaml")


def by_kind(objects: list[dict[str, Any]], name: str = "conveyor-loop") -> dict[str, dict[str, Any]]:
    """The objects of a name by kind."""
    named = [one for one in objects if one["metadata"]["name"] == name]
    found = {one["kind"]: one for one in named}
    assert len(found) == len(named)
    return found


def test_the_api_server_takes_them(tmp_path: Path) -> None:
    objects = loop_objects(config(tmp_path), "a package")
    assert [problem for one in objects for problem in problems(one)] == []
    for one in objects:
        assert one["metadata"]["labels"]["app.kubernetes.io/part-of"] == "conveyor"


def test_the_pod_finds_the_configuration_with_the_paths_of_the_cluster(tmp_path: Path) -> None:
    files = by_kind(loop_objects(config(tmp_path), "a package"))["ConfigMap"]["data"]
    assert files.keys() == {"pipeline.yaml", "package.yaml", "schema.pbtxt"}
    assert files["package.yaml"] == "a package"
    there = tmp_path / "etc"
    there.mkdir()
    for name, text in files.items():
        (there / name).write_text(text)
    found = load_config(there / "pipeline.yaml")
    assert str(found.workspace_path) == "/conveyor"
    assert found.resolve(found.data.input) == "/conveyor/data/span-{SPAN}.csv"
    assert found.schema_source.path is not None
    assert Path(found.schema_source.path).read_text() == 'feature { name: "late" }\n'
    assert found.kubeflow.host == "http://ml-pipeline.team:8888"
    assert found.loop.steps == (1, 50)
    assert str(tmp_path) not in files["pipeline.yaml"]


def test_its_objects_are_where_the_configuration_says(tmp_path: Path) -> None:
    found = by_kind(loop_objects(config(tmp_path), "a package"))
    assert {kind: one["metadata"]["namespace"] for kind, one in found.items()} == {
        "ConfigMap": "team",
        "CronJob": "team",
        "ServiceAccount": "team",
        "Role": "conveyor-serving",
        "RoleBinding": "conveyor-serving",
        "NetworkPolicy": "conveyor-serving",
    }
    assert found["RoleBinding"]["subjects"][0]["namespace"] == "team"
    (rule,) = found["NetworkPolicy"]["spec"]["ingress"]
    assert rule["from"][0]["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "team"}


def test_a_look_has_an_account_that_may_change_nothing(tmp_path: Path) -> None:
    found = by_kind(loop_objects(config(tmp_path), "a package"), "conveyor-monitor")
    assert {kind: one["metadata"]["namespace"] for kind, one in found.items()} == {
        "CronJob": "team",
        "ServiceAccount": "team",
        "Role": "conveyor-serving",
        "RoleBinding": "conveyor-serving",
    }
    pod = found["CronJob"]["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    account = found["ServiceAccount"]["metadata"]
    assert pod["serviceAccountName"] == account["name"]
    assert found["RoleBinding"]["subjects"] == [
        {"kind": "ServiceAccount", "name": account["name"], "namespace": account["namespace"]}
    ]
    assert found["RoleBinding"]["roleRef"]["name"] == found["Role"]["metadata"]["name"]
    assert {verb for rule in found["Role"]["rules"] for verb in rule["verbs"]} == {"get"}


@pytest.mark.parametrize("name", ["conveyor-loop", "conveyor-monitor"])
def test_a_turn_and_a_look_are_pods_like_those_of_runs(tmp_path: Path, name: str) -> None:
    objects = loop_objects(config(tmp_path), "a package")
    cron = next(one["spec"] for one in objects if (one["kind"], one["metadata"]["name"]) == ("CronJob", name))
    assert cron["concurrencyPolicy"] == "Forbid"
    template = cron["jobTemplate"]["spec"]["template"]
    assert template["metadata"]["labels"]["app.kubernetes.io/part-of"] == "conveyor"
    pod = template["spec"]
    assert violations(pod, "restricted") == []
    assert pod["imagePullSecrets"] == [{"name": "registry"}]
    (container,) = pod["containers"]
    assert container["image"] == "registry/conveyor:2"
    assert {each["name"]: each["valueFrom"]["secretKeyRef"] for each in container["env"]} == {
        "CONVEYOR_METADATA": {"name": "database", "key": "address"},
        "AWS_ACCESS_KEY_ID": {"name": "bucket", "key": "id"},
    }
    paths = {mount["mountPath"] for mount in container["volumeMounts"]}
    assert {Path(each).parent for each in container["command"] + container["args"] if each.endswith(".yaml")} <= {
        Path(path) for path in paths
    }


@pytest.mark.parametrize("file", ["cronjob.yaml", "monitor.yaml"])
def test_they_have_the_volume_of_runs_as_those_have_it(file: str) -> None:
    settings, cron = Kubeflow(), yaml.safe_load((checkout.ROOT / "manifests/loop" / file).read_text())
    pod = cron["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    (volume,) = (each for each in pod["volumes"] if "persistentVolumeClaim" in each)
    assert volume["persistentVolumeClaim"]["claimName"] == settings.volume
    assert {"name": volume["name"], "mountPath": settings.mount_path} in pod["containers"][0]["volumeMounts"]
    assert pod["securityContext"]["runAsUser"] == settings.user
    token = next(mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"] if mount["name"] == "token")
    assert Path(token) == api_objects.ACCOUNT


@pytest.mark.parametrize(
    ("fields", "error", "match"),
    [
        ({"data": {"input": "/data/span-{SPAN}.csv"}}, ConfigError, "nothing but the volume"),
        ({"kubeflow": {"mount_path": "/other"}}, UsageError, "made for kubeflow.mount_path"),
        ({"kubeflow": {"auth": {"token_file": "token"}}}, UsageError, "a Kubeflow without profiles"),
        ({"schema": {"path": "gone.pbtxt"}}, UsageError, "cannot be read"),
        ({"schema": {"path": "binary.pbtxt"}}, UsageError, "cannot be read"),
        ({"schema": {"path": "two words.pbtxt"}}, UsageError, "cannot be that of a file"),
        ({"schema": {"path": "..pbtxt"}}, UsageError, "cannot be that of a file"),
        ({"schema": {"path": "other/package.yaml"}}, UsageError, "is that of another file"),
        ({"gateway": {"feature_schema": "other/schema.pbtxt"}}, UsageError, "is that of another file"),
        ({"gateway": {"feature_schema": "large.pbtxt"}}, UsageError, "too large"),
    ],
)
def test_what_cannot_be(tmp_path: Path, fields: dict[str, Any], error: type[Exception], match: str) -> None:
    (tmp_path / "other").mkdir()
    for name in ("two words.pbtxt", "..pbtxt", "other/package.yaml", "other/schema.pbtxt"):
        (tmp_path / name).write_text("")
    (tmp_path / "binary.pbtxt").write_bytes(b"\xff")
    (tmp_path / "large.pbtxt").write_text("#" * (1 << 20))
    with pytest.raises(error, match=match):
        loop_objects(config(tmp_path, **fields), "a package")


def test_one_file_may_be_named_twice(tmp_path: Path) -> None:
    found = by_kind(loop_objects(config(tmp_path, gateway={"feature_schema": "schema.pbtxt"}), "a package"))
    assert found["ConfigMap"]["data"].keys() == {"pipeline.yaml", "package.yaml", "schema.pbtxt"}
