"""The Flink cluster has one version of Flink and the Beam of the task image, and is where the configuration says."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from apache_beam.options.pipeline_options import FlinkRunnerOptions

from pipeline.config import Flink, Kubeflow
from tests.unit.manifests.conftest import MANIFESTS, Objects, find

REPOSITORY = MANIFESTS.parent
SETTINGS = Kubeflow()


@pytest.fixture
def objects(render: Callable[[Path], Objects]) -> Objects:
    return render(MANIFESTS / "flink")


def containers(objects: Objects, deployment: str) -> dict[str, dict[str, Any]]:
    pod = find(objects, "Deployment", deployment)["spec"]["template"]["spec"]
    return {container["name"]: container for container in pod["containers"]}


def test_versions_agree(objects: Objects) -> None:
    job_server = containers(objects, "beam-jobs")["job-server"]["image"]
    flink, beam = re.fullmatch(r"apache/beam_flink([\d.]+)_job_server:([\d.]+)", job_server).groups()
    images = {
        containers(objects, "flink-jobmanager")["jobmanager"]["image"],
        containers(objects, "flink-taskmanager")["taskmanager"]["image"],
    }
    (image,) = images

    assert image.startswith(f"flink:{flink}.")
    assert flink in FlinkRunnerOptions.PUBLISHED_FLINK_VERSIONS
    assert f'"apache-beam=={beam};' in (REPOSITORY / "pyproject.toml").read_text()
    # What the integration test runs.
    assert f"beam-runners-flink-{flink}<" in (REPOSITORY / "tests/integration/beam/pom.xml").read_text()


def test_python_runs_as_the_pods_of_runs_do(objects: Objects) -> None:
    python = containers(objects, "flink-taskmanager")["python"]

    assert python["image"] == SETTINGS.image
    assert python["securityContext"]["runAsUser"] == SETTINGS.user
    assert python["volumeMounts"] == [{"name": SETTINGS.volume, "mountPath": SETTINGS.mount_path}]


def test_flink_is_where_the_configuration_says(objects: Objects) -> None:
    (jobs,) = find(objects, "Service", "beam-jobs")["spec"]["ports"]
    (workers,) = containers(objects, "flink-taskmanager")["python"]["ports"]
    described = {name: str(field.description) for name, field in Flink.model_fields.items()}

    assert f"beam-jobs:{jobs['port']}" in described["job_server"]
    assert f"localhost:{workers['containerPort']}" in described["worker_pool"]
    assert find(objects, "Deployment", "flink-taskmanager")["spec"]["replicas"] == Flink().parallelism
