"""compose.yaml: the same servers as in the cluster, told the same things, on one machine."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.config import Gateway, Kubeflow
from serving import GRPC_PORT, REST_PORT
from serving.client import Address
from serving.gateway.settings import read_settings
from serving.modelserver.flags import Flags, parse_flags
from serving.modelserver.metrics import DEFAULT_PATH
from tests.unit.manifests.conftest import MANIFESTS, Objects, find, pod_of

ROOT = MANIFESTS.parent
WORKSPACE = "${CONVEYOR_WORKSPACE:-${PWD}/.conveyor}"
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
EMBEDDED: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "compose.embedded.yaml").read_text())["services"]
every_service = pytest.mark.parametrize("name", sorted(SERVICES))


@pytest.fixture
def settings(tmp_path: Path) -> Gateway:
    shutil.copy(MANIFESTS / "compose/gateway.yaml", tmp_path / "settings.yaml")
    return read_settings(tmp_path / "settings.yaml")


@pytest.fixture
def serving(render: Callable[[Path], Objects]) -> Objects:
    return render(MANIFESTS / "serving/overlays/cluster")


def flags() -> Flags:
    return parse_flags(SERVICES["model-server"]["command"])


def ports(name: str) -> list[str]:
    return SERVICES[name].get("ports", [])


def bound(name: str) -> dict[str, str]:
    """The files of the repository that a service sees, by where it sees them."""
    volumes = [volume for volume in SERVICES[name].get("volumes", []) if isinstance(volume, str) and volume.startswith("./")]
    return {target: source for source, target, _ in (volume.split(":") for volume in volumes)}


def container(objects: Objects, deployment: str, name: str) -> dict[str, Any]:
    """A container of a Deployment's pods."""
    pod = pod_of(find(objects, "Deployment", deployment))
    assert pod is not None
    return next(each for each in pod["spec"]["containers"] if each["name"] == name)


@every_service
def test_containers_are_safe(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges"]
    # Their images say which user the others are.
    assert "user" in service or name in ("grafana", "prometheus")


@every_service
def test_nothing_is_called_latest(name: str) -> None:
    assert re.fullmatch(r".+:v?\d[\w.-]+", SERVICES[name]["image"])


@every_service
def test_only_this_machine_reaches_the_ports(name: str) -> None:
    for port in ports(name):
        assert port.startswith("127.0.0.1:")


@every_service
def test_what_is_mounted_is_there_and_cannot_be_changed(name: str) -> None:
    for volume in SERVICES[name].get("volumes", []):
        if isinstance(volume, str) and volume.startswith("./"):
            source, _, mode = volume.split(":")
            assert (ROOT / source).exists()
            assert mode == "ro"


@pytest.mark.parametrize(
    ("service", "folder", "deployment", "name"),
    [
        ("model-server", "serving/overlays/cluster", "serving", "serving"),
        ("redis", "gateway/redis", "redis", "redis"),
        ("prometheus", "monitoring", "monitoring", "prometheus"),
        ("grafana", "monitoring", "monitoring", "grafana"),
    ],
)
def test_versions_are_those_of_the_cluster(
    service: str, folder: str, deployment: str, name: str, render: Callable[[Path], Objects]
) -> None:
    assert SERVICES[service]["image"] == container(render(MANIFESTS / folder), deployment, name)["image"]


def test_redis_and_grafana_are_told_what_they_are_told_in_the_cluster(render: Callable[[Path], Objects]) -> None:
    redis = container(render(MANIFESTS / "gateway/redis"), "redis", "redis")
    grafana = container(render(MANIFESTS / "monitoring"), "monitoring", "grafana")
    # Compose makes one $ of two. There, the password is in a file.
    (there,), (here,) = redis["args"], SERVICES["redis"]["command"]
    assert SERVICES["redis"]["entrypoint"] == redis["command"]
    assert here.replace('"$$CONVEYOR_REDIS_PASSWORD"', '"$(cat /etc/redis/password)"') == "".join(
        there.splitlines(keepends=True)[1:]
    )
    # Here, Docker forwards the port to the container's own address.
    told = {variable["name"]: variable["value"] for variable in grafana["env"]}
    assert told.pop("GF_SERVER_HTTP_ADDR") == "127.0.0.1"
    assert SERVICES["grafana"]["environment"] == told
    # Files that it looks for: the same ones, in the same places.
    mounted = {mount["mountPath"] for mount in grafana["volumeMounts"] if mount["name"] == "grafana"}
    assert bound("grafana").keys() == mounted


def test_the_gateway_and_redis_have_the_same_password_and_there_is_no_other(tmp_path: Path) -> None:
    given = [SERVICES[name]["environment"]["CONVEYOR_REDIS_PASSWORD"] for name in ("gateway", "redis")]
    # Compose refuses to start without it, with these words.
    assert given == ["${CONVEYOR_REDIS_PASSWORD:?a password for the cache, such as openssl rand -hex 16 prints}"] * 2

    (script,) = SERVICES["redis"]["command"]
    server = tmp_path / "redis-server"
    server.write_text('#!/bin/sh\ncat "$1"\n')
    server.chmod(0o755)
    told = subprocess.run(
        [*SERVICES["redis"]["entrypoint"], script.replace("$$", "$").replace("/data", str(tmp_path))],
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}", "CONVEYOR_REDIS_PASSWORD": "0123abcd"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout == 'requirepass "0123abcd"\n'
    assert (tmp_path / "redis.conf").stat().st_mode & 0o777 == 0o600


def test_what_is_ours_runs_in_the_task_image() -> None:
    images = {SERVICES["gateway"]["image"], SERVICES["prepare"]["image"], EMBEDDED["model-server"]["image"]}
    assert images == {Kubeflow().image}


def test_the_model_server_is_told_what_it_is_told_in_the_cluster(serving: Objects) -> None:
    pod = pod_of(find(serving, "Deployment", "serving"))
    assert pod is not None
    in_cluster = parse_flags(pod["spec"]["containers"][0]["args"])
    # Where pods come and go, connections have to be short; and it takes longer until a file is brought there.
    differ = {"model_config_file", "model_config_file_poll_wait_seconds", "grpc_channel_arguments"}
    assert {name for name, value in vars(flags()).items() if value != getattr(in_cluster, name)} == differ


def test_the_model_server_reads_the_files_of_the_cluster() -> None:
    (folder,) = [target for target, source in bound("model-server").items() if source == "./manifests/serving/base"]
    for path in (flags().batching_parameters_file, flags().monitoring_config_file):
        assert (MANIFESTS / "serving/base" / Path(path).relative_to(folder)).is_file()


def test_the_model_server_follows_the_rollout_and_changes_nothing() -> None:
    assert flags().model_config_file == f"{WORKSPACE}/serving/flights/models.config"
    (workspace,) = [volume for volume in SERVICES["model-server"]["volumes"] if isinstance(volume, dict)]
    # The file names folders of this machine.
    assert workspace["source"] == workspace["target"] == WORKSPACE
    assert workspace["read_only"] is True


def test_before_the_first_rollout_the_file_is_made(tmp_path: Path) -> None:
    """Runs the program of the service `prepare`, which sees the example at /config."""
    _, *program, config, workspace = SERVICES["prepare"]["command"]
    assert workspace == WORKSPACE
    assert bound("prepare") == {"/config": "./examples/flights"}
    command = [sys.executable, *program, config.replace("/config/", f"{ROOT}/examples/flights/"), str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{tmp_path}/serving/flights/models.config\n"
    assert f'base_path: "{tmp_path}/models/flights"' in (tmp_path / "serving/flights/models.config").read_text()


def test_the_embedded_server_takes_the_place_of_the_other() -> None:
    """Same flags, same files: nothing else differs."""
    assert EMBEDDED.keys() == {"model-server"}
    assert EMBEDDED["model-server"].keys() == {"image", "entrypoint", "healthcheck"}
    assert EMBEDDED["model-server"]["entrypoint"] == ["python", "-m", "serving.modelserver"]
    assert flags().ignored == ()


def test_the_gateway_finds_the_others(settings: Gateway) -> None:
    stable = Address.parse(settings.upstream.stable)
    assert stable.server == f"model-server:{flags().port}"
    assert settings.cache.redis == "redis://redis:6379/0"
    assert SERVICES.keys() >= {"model-server", "redis"}
    # The one server has both versions of a rollout.
    assert settings.upstream.canary is None


def test_the_gateway_reads_and_writes_the_workspace_as_it_does_without_containers(settings: Gateway) -> None:
    (workspace,) = [volume for volume in SERVICES["gateway"]["volumes"] if isinstance(volume, dict)]
    assert workspace["source"] == WORKSPACE
    inside = {"workspace": workspace["target"], "name": "flights"}
    assert settings.rollout == str(Gateway().rollout).format(**inside)
    assert settings.log.folder == str(Gateway().log.folder).format(**inside)


def test_the_gateway_knows_the_features_ranges(settings: Gateway) -> None:
    assert settings.feature_schema is not None
    target = f"/etc/gateway/{Path(settings.feature_schema).name}"
    assert bound("gateway")[target] == "./examples/flights/schema.pbtxt"


def test_ports_are_those_that_commands_look_for() -> None:
    assert ports("model-server") == [f"127.0.0.1:{port}:{port}" for port in (GRPC_PORT, REST_PORT)]
    assert ports("gateway") == [f"127.0.0.1:{Gateway().port}:{Gateway().port}"]


def test_prometheus_asks_gateway_and_model_server(settings: Gateway) -> None:
    config = yaml.safe_load((MANIFESTS / "compose/prometheus.yml").read_text())
    jobs = {job["job_name"]: job for job in config["scrape_configs"]}
    targets = {name: job["static_configs"][0]["targets"] for name, job in jobs.items()}
    # By the names that pods have: the dashboard and the alerts are the same.
    assert targets == {"gateway": [f"gateway:{settings.port}"], "serving": [f"model-server:{flags().rest_api_port}"]}
    assert jobs["serving"]["metrics_path"] == DEFAULT_PATH


@pytest.mark.parametrize("files", [["compose.yaml"], ["compose.yaml", "compose.embedded.yaml"]])
def test_compose_understands_the_files(files: list[str], tmp_path: Path) -> None:
    commands = (["docker", "compose"], ["docker-compose"])
    command = next(
        (
            each
            for each in commands
            if shutil.which(each[0]) and subprocess.run([*each, "version"], capture_output=True).returncode == 0
        ),
        None,
    )
    if command is None:
        pytest.skip("docker compose is not there: install Docker's plugin to check compose.yaml")
    named = [argument for file in files for argument in ("--file", str(ROOT / file))]
    environment = {**os.environ, "CONVEYOR_WORKSPACE": str(tmp_path)}
    done = subprocess.run(
        [*command, *named, "config", "--format", "json"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    server = json.loads(done.stdout)["services"]["model-server"]
    assert parse_flags(server["command"]).model_config_file == f"{tmp_path}/serving/flights/models.config"
