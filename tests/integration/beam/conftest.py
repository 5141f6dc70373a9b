"""A project with one direct run, and Flink to repeat its nodes on."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.beam.session_cluster import JARS, SessionCluster
from tests.integration.conftest import Project


@pytest.fixture(scope="session")
def job_server_jar() -> Path:
    """Beam's job server for Flink, with Flink itself beside it."""
    jar = JARS / "job-server.jar"
    missing = []
    if shutil.which("java") is None:
        missing.append("apt-get install default-jre-headless maven")
    if not jar.exists():
        missing.append("mvn -q -f tests/integration/beam/pom.xml package")
    if missing:
        message = f"Flink is not here; get it with: {' && '.join(missing)}"
        if "CI" in os.environ:
            pytest.fail(message)
        pytest.skip(message)
    return jar


@pytest.fixture(scope="module")
def direct(job_server_jar: Path, project: Project) -> Project:
    """The project after a run in which Beam had nothing to do."""
    done = project.run("--to", "Evaluator")
    assert done.returncode == 0, done.stdout + done.stderr
    return project


@pytest.fixture(scope="module")
def cluster(job_server_jar: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SessionCluster]:
    cluster = SessionCluster(tmp_path_factory.mktemp("flink"))
    try:
        cluster.wait()
        yield cluster
    finally:
        cluster.stop()
