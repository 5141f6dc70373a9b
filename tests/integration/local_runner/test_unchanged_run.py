"""A run of the flights example for which nothing has changed: TFX is not loaded, and one could not tell.

The tests build on one another.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from ml_metadata import MetadataStore

from pipeline.runs import database
from tests.integration.conftest import ENVIRONMENT, Project
from tests.integration.local_runner.recorded import artifacts_by_context, recorded

# Of no account for a run on this machine, but another configuration, so that TFX is asked.
ELSEWHERE = ("kubeflow.namespace=elsewhere",)
# Not imported by a run in which nothing is done.
_HEAVY = ("tensorflow", "tfx", "apache_beam", "tensorflow_data_validation", "numpy")


def metadata(project: Project) -> MetadataStore:
    return MetadataStore(database.sqlite(project.workspace / "metadata.sqlite"))


def folder(project: Project) -> Path:
    """Of the newest run."""
    return project.workspace / "runs" / "flights" / project.last_run()["run_id"]


def was_compiled(project: Project) -> bool:
    """Whether TFX was asked in the newest run."""
    return (folder(project) / "compile.log").exists()


def succeed(project: Project, *arguments: str, settings: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    done = project.run(*arguments, settings=settings)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def shown(project: Project, run: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(project.inspect("show", run, "--json"))
    content["artifacts"].sort(key=lambda artifact: (artifact["node"], artifact["output"]))
    return content


@contextmanager
def _imports_told() -> Iterator[None]:
    """Has Python tell on stderr what it imports."""
    ENVIRONMENT["PYTHONPROFILEIMPORTTIME"] = "1"
    try:
        yield
    finally:
        del ENVIRONMENT["PYTHONPROFILEIMPORTTIME"]


@pytest.fixture(scope="module")
def settled(project: Project) -> Project:
    """Two runs: the first model is the second one's baseline, and that of all after it."""
    succeed(project)
    succeed(project)
    assert was_compiled(project)
    assert project.states()["Evaluator"] == "complete"
    return project


@pytest.fixture(scope="module")
def unchanged(settled: Project) -> Project:
    """And a third one."""
    succeed(settled)
    return settled


def test_it_takes_everything_from_the_cache_and_starts_no_process(unchanged: Project) -> None:
    assert not was_compiled(unchanged)
    assert {state for node, state in unchanged.states().items() if node not in ("Resolver", "LatestHyperparameters")} == {
        "cached"
    }
    assert unchanged.last_run()["state"] == "complete"


def test_it_loads_neither_tfx_nor_tensorflow(unchanged: Project) -> None:
    with _imports_told():
        done = succeed(unchanged)
    assert not was_compiled(unchanged)
    imported = {
        line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines() if "import time:" in line
    }
    assert "ml_metadata" in imported
    assert not imported & set(_HEAVY)


def test_a_person_sees_what_they_see_after_any_run(unchanged: Project) -> None:
    done = succeed(unchanged)
    for words in ("ExampleGen", "cached", "is up to date", "report.html", "conveyor lineage 2", "auc"):
        assert words in done.stdout
    run_id = unchanged.last_run()["run_id"]
    report = (folder(unchanged) / "report.html").read_text()
    assert run_id in report
    assert "is up to date" in report


def test_metrics_and_lineage_are_those_of_the_run_that_did_the_work(unchanged: Project) -> None:
    runs = sorted(path.name for path in (unchanged.workspace / "runs" / "flights").iterdir() if path.is_dir())
    second, third = shown(unchanged, runs[1]), shown(unchanged, runs[2])
    for key in ("slices", "thresholds", "artifacts", "metric", "value", "data", "version"):
        assert third[key] == second[key], key
    lineage = json.loads(unchanged.inspect("lineage", "--json"))
    assert lineage["version"] == second["version"]
    assert set(lineage["runs"]) <= set(runs[:2])
    assert [line for line in unchanged.inspect("runs").splitlines() if runs[2] in line]


def test_a_part_of_the_pipeline_can_build_on_it(unchanged: Project) -> None:
    succeed(unchanged)
    assert not was_compiled(unchanged)
    succeed(unchanged, "--from", "Evaluator")
    assert was_compiled(unchanged)
    assert unchanged.states()["Pusher"] == "cached"


def test_it_is_recorded_as_tfx_records_it(unchanged: Project) -> None:
    # The last run was not a whole one.
    succeed(unchanged)
    assert was_compiled(unchanged)
    store = metadata(unchanged)
    before = artifacts_by_context(store)
    succeed(unchanged)
    ours = unchanged.last_run()["run_id"]
    assert not was_compiled(unchanged)
    assert artifacts_by_context(store) == before
    succeed(unchanged, settings=ELSEWHERE)
    theirs = unchanged.last_run()["run_id"]
    assert was_compiled(unchanged)
    assert recorded(store, ours) == recorded(store, theirs)
    assert artifacts_by_context(store) == before


def test_a_changed_setting_runs_again_from_where_it_counts(unchanged: Project) -> None:
    succeed(unchanged, settings=ELSEWHERE)
    assert not was_compiled(unchanged)
    succeed(unchanged, settings=(*ELSEWHERE, "training.seed=7"))
    states = unchanged.states()
    assert [states[node] for node in ("ExampleGen", "Transform", "Trainer", "Pusher")] == [
        "cached",
        "cached",
        "complete",
        "complete",
    ]


def test_without_the_cache_every_node_runs(unchanged: Project) -> None:
    succeed(unchanged, "--no-cache")
    assert set(unchanged.states().values()) == {"complete"}
