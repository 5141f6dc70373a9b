"""Runs of a loop on Kubeflow, by its API over HTTP."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from pipeline.errors import ConveyorError, NodeError
from pipeline.kubeflow.api_errors import ApiError
from pipeline.kubeflow.client import KubeflowClient, PipelineVersion
from pipeline.loop.journal import Action, Entry, State
from pipeline.loop.kubeflow_runs import KubeflowRuns
from pipeline.loop.turn import Actions, Loop
from pipeline.runs.status import Problem, RunOutcome, RunState
from pipeline.util import checkout
from tests.fakes.kfp_records import record
from tests.fakes.kfp_server import KfpServer, serve
from tests.fakes.workspace import Workspace
from tests.unit.loop.conftest import World

PACKAGE = (checkout.ROOT / "tests" / "unit" / "kubeflow" / "golden" / "flights.yaml").read_text()
BEGUN = Entry(number=3, at=1000.4, action=Action.RUN, key="span 4", reason="span 4 has come", state=State.BEGUN)


@pytest.fixture
def server() -> Iterator[KfpServer]:
    with serve() as state:
        yield state


@pytest.fixture
def client(workspace: Workspace, server: KfpServer) -> KubeflowClient:
    kubeflow = workspace.config.kubeflow.model_copy(update={"host": server.host})
    return KubeflowClient(workspace.config.model_copy(update={"kubeflow": kubeflow}))


@pytest.fixture
def runs(client: KubeflowClient) -> KubeflowRuns:
    return KubeflowRuns(client, PACKAGE)


def started(runs: KubeflowRuns) -> Entry:
    """The line of the journal after a run has started."""
    return BEGUN.model_copy(update={"run": runs.run(BEGUN).run})


def test_a_run_says_why_it_was_started_and_is_at_work(runs: KubeflowRuns, server: KfpServer) -> None:
    assert runs.at_work() == ""
    done = runs.run(BEGUN)
    (run,) = server.runs.values()
    assert (run["display_name"], run["description"]) == ("flights-loop-3-1000", "span 4 has come")
    assert run["runtime_config"]["parameters"] == {"run_note": "span 4 has come"}
    assert (done.run, done.at_work) == (run["run_id"], True)
    assert runs.at_work() == run["run_id"]
    assert len(server.versions) == 1


def test_the_package_is_uploaded_once(runs: KubeflowRuns, server: KfpServer) -> None:
    for _ in range(2):
        server.finish(runs.run(BEGUN).run)
    assert (len(server.versions), len(server.runs)) == (1, 2)


def test_one_that_has_ended_has_pushed_a_version(runs: KubeflowRuns, server: KfpServer, workspace: Workspace) -> None:
    begun = started(runs)
    assert (found := runs.found(begun)) is not None
    assert found.at_work
    server.finish(begun.run)
    workspace.run(begun.run, "-new", version="9")
    done = runs.found(begun)
    assert done is not None
    assert (done.result, done.run, done.version, done.at_work) == ("version 9 was pushed", begun.run, 9, False)
    assert runs.at_work() == ""


def test_one_whose_model_was_refused_has_pushed_nothing(runs: KubeflowRuns, server: KfpServer, workspace: Workspace) -> None:
    begun = started(runs)
    # To Kubeflow it is a success.
    server.replay(begun.run, record("refused").run)
    workspace.run(begun.run, "-worse")
    done = runs.found(begun)
    assert done is not None
    assert (done.result, done.version, done.problem) == ("nothing was pushed", None, None)


def test_one_that_a_turn_could_not_write_down_is_found_by_its_name(runs: KubeflowRuns) -> None:
    assert runs.found(BEGUN) is None
    run_id = runs.run(BEGUN).run
    found = runs.found(BEGUN)
    assert found is not None
    assert (found.run, found.at_work) == (run_id, True)
    assert runs.found(BEGUN.model_copy(update={"number": 4})) is None


def test_one_whose_answer_was_lost_is_at_work(runs: KubeflowRuns, server: KfpServer) -> None:
    server.lost.append("POST /runs")
    done = runs.run(BEGUN)
    assert (done.run, done.at_work) == (next(iter(server.runs)), True)
    assert server.lost == []


def test_one_of_which_nothing_is_known_yet_is_found_in_the_next_turn(
    runs: KubeflowRuns, server: KfpServer, client: KubeflowClient, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = client.start_run

    def away(*arguments: Any) -> Any:
        server.lost.append("POST /runs")
        try:
            return start(*arguments)
        finally:
            # As long as it waited for an answer.
            world.now += 60
            server.faults.append((503, "upstream connect error"))

    monkeypatch.setattr(client, "start_run", away)
    world.span = 2
    loop = Loop(client.config, lambda: world, cast(Actions, runs), lambda: world.now)
    assert loop.turn().action is Action.RUN
    told = loop.journal.entries()[-1]
    assert (told.state, told.run) == (State.BEGUN, "")
    assert "not known yet" in told.result
    (run_id,) = server.runs
    assert loop.turn().reason == f"run {run_id} is at work"
    assert loop.journal.entries()[-1].run == run_id


def test_one_that_the_server_refuses_has_failed(
    runs: KubeflowRuns, server: KfpServer, client: KubeflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = client.upload(PACKAGE)

    def upload(package: str) -> PipelineVersion:
        server.faults.append((400, '{"message": "Failed to create a run"}'))
        return version

    monkeypatch.setattr(client, "upload", upload)
    with pytest.raises(ApiError, match="refused"):
        runs.run(BEGUN)


def test_one_that_has_failed_says_why(runs: KubeflowRuns, server: KfpServer, client: KubeflowClient) -> None:
    server.fails = {"trainer"}
    begun = started(runs)
    server.finish(begun.run)
    done = runs.found(begun)
    assert done is not None
    assert isinstance(done.problem, NodeError)
    assert begun.run in done.problem.fix
    # The address of the API within the cluster leads to no page.
    assert server.host not in done.problem.fix
    # Its exit task has written it on the volume.
    problem = Problem.of(NodeError("The Trainer ran out of memory.", where="Trainer"))
    outcome = RunOutcome(run_id=begun.run, pipeline="flights", state=RunState.FAILED, problem=problem)
    outcome.save(client.config.runs_path / begun.run)
    done = runs.found(begun)
    assert done is not None
    assert isinstance(done.problem, ConveyorError)
    assert (done.result, done.problem.where) == ("The Trainer ran out of memory.", "Trainer")


def test_one_that_a_person_has_cancelled_is_no_failure(runs: KubeflowRuns, server: KfpServer, client: KubeflowClient) -> None:
    begun = started(runs)
    client.terminate(begun.run)
    server.finish(begun.run)
    done = runs.found(begun)
    assert done is not None
    assert (done.result, done.problem) == ("somebody cancelled it", None)


def test_one_that_was_deleted_is_not_known_any_more(runs: KubeflowRuns, server: KfpServer) -> None:
    begun = started(runs)
    server.runs.clear()
    assert runs.found(begun) is None


def test_where_the_api_does_not_answer_the_run_has_not_failed(runs: KubeflowRuns, server: KfpServer) -> None:
    begun = started(runs)
    server.faults.append((503, "upstream connect error"))
    with pytest.raises(ApiError):
        runs.found(begun)
    found = runs.found(begun)
    assert found is not None
    assert found.at_work


def test_the_image_has_what_a_turn_needs(tmp_path: Path) -> None:
    """Packages that the image leaves out cannot be imported here either."""
    excluded = [
        line.replace("-", "_")
        for line in (checkout.ROOT / "requirements-image.excludes").read_text().splitlines()
        if line.startswith("kfp")
    ]
    assert "kfp_server_api" not in excluded
    script = f"""
import sys
sys.modules |= dict.fromkeys({["kfp", *excluded]!r})
from pipeline.cli import loop
from pipeline.config import PipelineConfig
config = PipelineConfig.model_validate({{"name": "x", "label": "y", "data": {{"input": "a.csv"}}}})
open("package.yaml", "w").write("a package")
from pathlib import Path
loop._kubeflow_runs(config, Path("package.yaml"))
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
