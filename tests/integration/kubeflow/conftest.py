"""A cluster's volume as a folder, and packages whose tasks run as processes on it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from ml_metadata import MetadataStore
from ml_metadata.proto import metadata_store_pb2

from pipeline.runs import database
from pipeline.runs import metadata as recorded_run
from pipeline.runs.metadata import open_store
from pipeline.runs.status import RunOutcome
from tests.integration.conftest import REPOSITORY, Project
from tests.integration.database.servers import MariaDB
from tests.walker import IMAGE_ENVIRONMENT, Package, ProcessRunner, Run, walk

# The code is that of this checkout, as it is in the image.
ENVIRONMENT = {**IMAGE_ENVIRONMENT, "PYTHONPATH": str(REPOSITORY)}


@dataclass(frozen=True)
class Cluster(Project):
    """A volume with data, in which the tasks of packages run. Its folder is the workspace of every pod.

    Attributes:
      metadata: the URL of the metadata database.
      webhook: the URL that outcomes are posted to; none when empty.
    """

    metadata: str = ""
    webhook: str = ""

    @property
    def workspace(self) -> Path:
        return self.folder

    def compile(self, *settings: str) -> Package:
        """What `conveyor compile` makes of the example, for this volume."""
        path = self.folder / "package.yaml"
        ours = (f"kubeflow.mount_path={self.folder}", "kubeflow.retry.attempts=1", *settings)
        if self.webhook:
            ours += ("kubeflow.webhook.secret=webhook", "kubeflow.webhook.key=url")
        done = self.conveyor("compile", "--output", str(path), settings=ours)
        assert done.returncode == 0, done.stdout + done.stderr
        return Package.parse(path.read_text())

    def walk(self, package: Package, parameters: Mapping[str, Any] | None = None, runner: ProcessRunner | None = None) -> Run:
        """Runs a package on this volume, with the Secrets that `conveyor cluster up` makes."""
        return walk(
            package,
            self.folder.with_name(f"{self.folder.name}-pods"),
            parameters=parameters,
            secrets={"conveyor-metadata": {"url": self.metadata}, "webhook": {"url": self.webhook}},
            volumes={"conveyor": self.folder},
            run_pod=runner or ProcessRunner(ENVIRONMENT),
        )

    def prepare(self) -> None:
        """Runs what the Job conveyor-prepare does."""
        line = [sys.executable, "-m", "pipeline.kubeflow.pod.prepare", "--workspace", str(self.folder)]
        environment = {**os.environ, **ENVIRONMENT, "CONVEYOR_METADATA": self.metadata}
        subprocess.run(line, cwd=self.folder, env=environment, check=True, capture_output=True)

    def outcome(self, run: Run) -> RunOutcome:
        """What the run's exit task has written."""
        return RunOutcome.load(self.folder / "runs" / "flights" / run.id)

    def node_states(self, run: Run) -> dict[str, str]:
        """The state of each node, as the exit task has gathered them."""
        return {name: node.state.value for name, node in self.outcome(run).nodes.items()}

    def executions(self, run: Run, node: str) -> list[metadata_store_pb2.Execution]:
        """A node's executions in this run, as ML Metadata has them: one for each time that it was registered."""
        connection = database.parse(self.metadata)
        store = MetadataStore(connection) if connection.HasField("sqlite") else database.connect(connection)
        context = store.get_context_by_type_and_name("pipeline_run", run.id)
        executions = store.get_executions_by_context(context.id)
        nodes = {each.id: {context.name for context in store.get_contexts_by_execution(each.id)} for each in executions}
        return [each for each in executions if f"flights.{node}" in nodes[each.id]]

    def recorded(self, run: Run) -> recorded_run.Run:
        """The run as the metadata store has it."""
        with open_store(database.parse(self.metadata), "flights") as store:
            return store.run(run.id)


@dataclass
class Webhook:
    """A server that takes outcomes; `messages` are those it has been sent."""

    messages: list[dict[str, Any]] = field(default_factory=list)
    url: str = ""


@pytest.fixture(scope="module")
def webhook() -> Iterator[Webhook]:
    received = Webhook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.messages.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *arguments: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        received.url = f"http://127.0.0.1:{server.server_port}/outcomes"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield received
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def metadata() -> Iterator[str]:
    """The URL of a metadata database like the cluster's; empty where MariaDB is not installed: then it is SQLite."""
    if MariaDB.program() is None:
        yield ""
        return
    server = MariaDB()
    server.start()
    yield server.make_database("conveyor")
    server.remove()


def new_cluster(folder: Path, sample: Mapping[int, pa.Table], metadata: str = "", webhook: str = "") -> Cluster:
    """A volume with the spans of January to April; nothing has run on it."""
    cluster = Cluster(folder, metadata=metadata or f"sqlite:///{folder}/metadata.sqlite", webhook=webhook)
    for span in list(sample)[:4]:
        cluster.write_span(span, sample[span])
    if metadata:
        cluster.prepare()
    return cluster
