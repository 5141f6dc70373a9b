"""`conveyor loop` in the cluster, turn by turn, with the runs that it starts walked as compiled packages."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import redirect_stdout
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
from tests.fakes.kfp_server import KfpServer, serve
from tests.fakes.serving_cluster import FakeCluster
from tests.integration.conftest import CONVEYOR
from tests.integration.kubeflow.conftest import ENVIRONMENT
from tests.integration.test_loop import CONFIG, write_span
from tests.walker import Package, ProcessRunner, walk
from tests.walker import State as RunState

pytestmark = pytest.mark.integration

NAME = "growing"


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

    def turn(self) -> str:
        """What a turn says. It keeps nothing in memory, so that the next one could be another process, as in the CronJob."""
        command = ["loop", str(self.mounted / "pipeline.yaml"), "--once", "--target", "cluster"]
        said = StringIO()
        with redirect_stdout(said), pytest.raises(SystemExit) as ended:
            main([*command, "--package", str(self.mounted / "package.yaml")])
        assert not ended.value.code
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
def volume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Volume]:
    FakeCluster(tmp_path / "cluster", tmp_path / "models", monkeypatch)
    folder, mounted = tmp_path / "volume", tmp_path / "etc"
    for each in (folder / "data", mounted):
        each.mkdir(parents=True)
    with serve() as server:
        server.stride = 0
        fields: dict[str, Any] = {
            **CONFIG,
            "data": {"input": "{workspace}/data/span-{SPAN}.csv"},
            "loop": {"settle_minutes": 0, "drift": False},
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


def test_a_new_span_leads_to_a_run_that_later_turns_find_and_to_a_version(volume: Volume) -> None:
    write_span(volume.folder / "data", 1)
    assert volume.turn().startswith("run: no version has been pushed: run ")
    volume.walk()
    assert volume.turn() == "there is no reason to run"

    write_span(volume.folder / "data", 2)
    told = volume.turn()
    run_id = list(volume.server.runs)[-1]
    assert told == f"run: span 2 has come: run {run_id} is at work"
    assert volume.turn() == f"run {run_id} is at work"
    volume.walk()
    assert volume.turn() == "there is no reason to run"

    assert len(volume.server.runs) == 2
    assert sorted(path.name for path in (volume.folder / "models" / NAME).glob("[0-9]*")) == ["1", "2"]
    last = volume.entries()[-1]
    assert (last.state, last.run, last.version, last.reason) == (State.ENDED, run_id, 2, "span 2 has come")
    outcome = json.loads((volume.folder / "runs" / NAME / run_id / "run.json").read_text())
    assert outcome["note"] == "span 2 has come"
