"""`conveyor loop` in the cluster, turn by turn, with the runs that it starts walked as compiled packages."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.cli.main import main
from pipeline.config import PipelineConfig
from pipeline.kubeflow.loop_objects import config_of_loop
from pipeline.loop.journal import Action, Entry, Journal, State
from serving.rollout import api_objects, verdict
from tests.fakes.api_server import api_server, write_account
from tests.fakes.identity import authority
from tests.fakes.kfp_server import KfpServer, serve
from tests.fakes.waiting import wait_until
from tests.integration.conftest import CONVEYOR
from tests.integration.kubeflow.conftest import ENVIRONMENT
from tests.integration.serving.gateway.running import gateway
from tests.integration.serving.modelserver.running import is_open
from tests.integration.serving.rollout.cluster import Cluster
from tests.integration.test_loop import CONFIG, Callers, write_span
from tests.walker import Package, ProcessRunner, walk
from tests.walker import State as RunState

pytestmark = pytest.mark.integration

# As the cluster's first configuration of its model servers has it.
NAME = "flights"


@dataclass
class Volume:
    """The volume of the runs, what is mounted beside it in the pod of a turn, and Kubeflow's API.

    Attributes:
      folder: the volume.
      mounted: the folder with the configuration and the package.
      server: Kubeflow's API server.
    """

    folder: Path
    mounted: Path
    server: KfpServer

    @property
    def metadata(self) -> str:
        return f"sqlite:///{self.folder}/metadata.sqlite"

    def turn(self, *, may_fail: bool = False) -> str:
        """What a turn says. It keeps nothing in memory, so that the next one could be another process, as in the CronJob."""
        command = ["loop", str(self.mounted / "pipeline.yaml"), "--once", "--target", "cluster"]
        said = StringIO()
        with redirect_stdout(said), pytest.raises(SystemExit) as ended:
            main([*command, "--package", str(self.mounted / "package.yaml")])
        assert may_fail or not ended.value.code
        return said.getvalue().partition("  ")[2].strip()

    def walk(self) -> None:
        """Carries out the run that was started last, to its end."""
        run_id = list(self.server.runs)[-1]
        run = walk(
            Package.parse((self.mounted / "package.yaml").read_text()),
            self.folder.with_name("pods"),
            run_id=run_id,
            parameters=self.server.runs[run_id]["runtime_config"]["parameters"],
            secrets={"conveyor-metadata": {"url": self.metadata}},
            volumes={"conveyor": self.folder},
            run_pod=ProcessRunner(ENVIRONMENT),
        )
        assert run.state is RunState.SUCCEEDED, run.describe()
        self.server.finish(run_id)

    def entries(self) -> list[Entry]:
        return [each for each in Journal(self.folder / "loop" / NAME).entries() if each.action is Action.RUN]


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """The namespace of the model servers, by its API server, with the account of the pod of a turn."""
    made = Cluster(tmp_path / "cluster", tmp_path / "volume" / "models", monkeypatch)
    trusted, context = authority(tmp_path)
    monkeypatch.setattr(api_objects, "ACCOUNT", write_account(tmp_path / "account", trusted))
    with api_server(made, context, []) as port:
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
        monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(port))
        yield made


@contextmanager
def serving(cluster: Cluster, folder: Path) -> Iterator[Callers]:
    """Model servers, a gateway before them, and callers who may ask it."""
    addresses = {name: f"grpc://127.0.0.1:{port}/{NAME}" for name, port in cluster.ports.items()}
    fields = {
        "upstream": {"stable": addresses["serving"], "canary": addresses["serving-canary"]},
        "rollout": str(cluster.rollout_file),
        "log": {"folder": None},
    }
    with cluster.running():
        wait_until(lambda: is_open(cluster.ports["serving"]))
        with gateway(folder, addresses["serving"], **fields) as running:
            wait_until(lambda: running.http.get("/readyz").status_code == 200)
            cluster.add_pod("gateway", int(running.url.rpartition(":")[2]))
            yield Callers(running.url)


@pytest.fixture
def volume(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Volume]:
    folder, mounted = tmp_path / "volume", tmp_path / "etc"
    for each in (folder / "data", mounted):
        each.mkdir(parents=True)
    with serve() as server:
        server.stride = 0
        fields: dict[str, Any] = {
            **CONFIG,
            "name": NAME,
            "data": {"input": "{workspace}/data/span-{SPAN}.csv"},
            "loop": {"settle_minutes": 0, "drift": False, "replay": False, "steps": [50], "bake_minutes": 0},
            "kubeflow": {"mount_path": str(folder), "host": server.host},
        }
        there, _ = config_of_loop(PipelineConfig.model_validate(fields))
        # The API server of the cluster has a name that only its pods know.
        there["kubeflow"]["host"] = server.host
        (mounted / "pipeline.yaml").write_text(yaml.safe_dump(there))
        line = [str(CONVEYOR), "compile", str(mounted / "pipeline.yaml"), "--output", str(mounted / "package.yaml")]
        subprocess.run(line, env=os.environ | {"PYTHONPATH": ENVIRONMENT["PYTHONPATH"]}, check=True, capture_output=True)
        made = Volume(folder, mounted, server)
        monkeypatch.setenv("CONVEYOR_METADATA", made.metadata)
        yield made


def test_a_new_span_leads_to_a_run_and_its_version_is_tried_and_stable(
    volume: Volume, cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # How long an answer takes is the machine's doing, and not what this is about.
    monkeypatch.setattr(verdict, "LATENCY_RATIOS", {})
    write_span(volume.folder / "data", 1)
    assert volume.turn().startswith("run: no version has been pushed: run ")
    volume.walk()
    assert volume.turn() == "there is no reason to run"

    with serving(cluster, tmp_path) as callers:
        write_span(volume.folder / "data", 2)
        # On a busy machine, a gateway may not answer in time: then the turn fails, and the next one looks again.
        wait_until(lambda: volume.turn(may_fail=True).startswith("adopt: span 2 has come, and version 1 serves"))
        told = volume.turn()
        run_id = list(volume.server.runs)[-1]
        assert told == f"run: span 2 has come: run {run_id} is at work"
        assert volume.turn() == f"run {run_id} is at work"
        volume.walk()
        with callers.asking():
            assert volume.turn() == "start: version 2 was pushed, and 1 serves: stable 1, canary 2 at 50 %"
            wait_until(lambda: volume.turn().startswith("promote: verdict pass"))
        assert callers.failures == []

    last = volume.entries()[-1]
    assert (last.state, last.run, last.version, last.reason) == (State.ENDED, run_id, 2, "span 2 has come")
    assert json.loads((volume.folder / "runs" / NAME / run_id / "run.json").read_text())["note"] == "span 2 has come"
    state = json.loads(cluster.data("serving-rollout")["rollout.json"])
    assert state["stable"] == 2
    assert [each["action"] for each in state["changes"]] == ["adopt", "start", "promote"]
    assert cluster.replicas("serving-canary") == 0
    assert len(volume.server.runs) == 2
