"""A cluster for tests: Kubeflow's API server over HTTP, and a kubectl that tells of pods."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import PipelineConfig
from pipeline.kubeflow.client import KubeflowClient
from tests.fakes.kfp_server import KfpServer, documents, serve
from tests.fakes.kubectl import FakeKubectl


@pytest.fixture(scope="session")
def package() -> str:
    """A compiled pipeline with a pod for each node, without the arguments that only its pods read."""
    return (Path(__file__).parent / "golden" / "flights.yaml").read_text()


@pytest.fixture(scope="session")
def grouped_package() -> str:
    """The same with all nodes in one pod."""
    return (Path(__file__).parent / "golden" / "grouped.yaml").read_text()


@pytest.fixture(scope="session")
def package_spec(package: str) -> dict[str, Any]:
    """The pipeline spec of the package."""
    spec: dict[str, Any] = documents(package)[0]
    return spec


@pytest.fixture
def server() -> Iterator[KfpServer]:
    """Kubeflow's API server, on which nothing has happened yet."""
    with serve() as state:
        yield state


@pytest.fixture
def cluster_config(server: KfpServer) -> PipelineConfig:
    """Of a pipeline that names the server."""
    return PipelineConfig.model_validate(
        {
            "name": "flights",
            "label": "late",
            "data": {"input": "{workspace}/data/span-{SPAN}.csv"},
            "kubeflow": {"host": server.host},
        }
    )


@pytest.fixture
def client(cluster_config: PipelineConfig) -> KubeflowClient:
    """Of the server."""
    return KubeflowClient(cluster_config)


@pytest.fixture
def kubectl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeKubectl:
    """The kubectl that is on the path; it knows of no pods yet."""
    return FakeKubectl(tmp_path / "kubectl", monkeypatch)
