"""A run of the flights example for which nothing has changed: TFX is not loaded, and the run looks like any other."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Step:
    """A run of the history, and what was there when it had ended.

    Attributes:
      done: the command's output; stderr lists what Python imported.
      folder: the run's folder.
      details: what run.json says.
      artifacts: the artifacts in the metadata store, by context.
      lineage: the lineage of the version that was pushed last.
    """

    done: subprocess.CompletedProcess[str]
    folder: Path
    details: dict[str, Any]
    artifacts: Any
    lineage: dict[str, Any]

    @property
    def run_id(self) -> str:
        return str(self.details["run_id"])

    @property
    def states(self) -> dict[str, str]:
        """The state of each node."""
        return {name: node["state"] for name, node in self.details["nodes"].items()}

    @property
    def was_compiled(self) -> bool:
        """Whether TFX was asked."""
        return (self.folder / "compile.log").exists()


def metadata(project: Project) -> MetadataStore:
    return MetadataStore(database.sqlite(project.workspace / "metadata.sqlite"))


def shown(project: Project, run: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(project.inspect("show", run, "--json"))
    content["artifacts"].sort(key=lambda artifact: (artifact["node"], artifact["output"]))
    return content


@pytest.fixture(scope="module")
def history(project: Project) -> dict[str, Step]:
    """Ten runs in a row, by name. Tests only read what they left behind."""

    def take(*arguments: str, settings: tuple[str, ...] = ()) -> Step:
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(ENVIRONMENT, "PYTHONPROFILEIMPORTTIME", "1")
            done = project.run(*arguments, settings=settings)
        assert done.returncode == 0, done.stdout + done.stderr
        details = project.last_run()
        folder = project.workspace / "runs" / "flights" / details["run_id"]
        lineage = json.loads(project.inspect("lineage", "--json"))
        return Step(done, folder, details, artifacts_by_context(metadata(project)), lineage)

    return {
        "first": take(),
        "compared": take(),  # the first model is its baseline, and that of all runs after it
        "unchanged": take(),
        "partial": take("--from", "Evaluator"),
        "whole again": take(),
        "ours": take(),
        "theirs": take(settings=ELSEWHERE),
        "theirs again": take(settings=ELSEWHERE),
        "other seed": take(settings=(*ELSEWHERE, "training.seed=7")),
        "without cache": take("--no-cache"),
    }


def test_the_second_run_compares_with_the_first_model(history: dict[str, Step]) -> None:
    assert history["compared"].was_compiled
    assert history["compared"].states["Evaluator"] == "complete"


def test_it_takes_everything_from_the_cache_and_starts_no_process(history: dict[str, Step]) -> None:
    run = history["unchanged"]
    assert not run.was_compiled
    assert {state for node, state in run.states.items() if node not in ("Resolver", "LatestHyperparameters")} == {"cached"}
    assert run.details["state"] == "complete"


def test_it_loads_neither_tfx_nor_tensorflow(history: dict[str, Step]) -> None:
    lines = history["unchanged"].done.stderr.splitlines()
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in lines if "import time:" in line}
    assert "ml_metadata" in imported
    assert not imported & set(_HEAVY)


def test_a_person_sees_what_they_see_after_any_run(history: dict[str, Step]) -> None:
    run = history["unchanged"]
    for words in ("ExampleGen", "cached", "is up to date", "report.html", "conveyor lineage 2", "auc"):
        assert words in run.done.stdout
    report = (run.folder / "report.html").read_text()
    assert run.run_id in report
    assert "is up to date" in report


def test_metrics_and_lineage_are_those_of_the_run_that_did_the_work(project: Project, history: dict[str, Step]) -> None:
    first, second, third = (history[name].run_id for name in ("first", "compared", "unchanged"))
    worked, unchanged = shown(project, second), shown(project, third)
    for key in ("slices", "thresholds", "artifacts", "metric", "value", "data", "version"):
        assert unchanged[key] == worked[key], key
    lineage = history["unchanged"].lineage
    assert lineage["version"] == worked["version"]
    assert set(lineage["runs"]) <= {first, second}
    assert third in project.inspect("runs")


def test_a_part_of_the_pipeline_can_build_on_it(history: dict[str, Step]) -> None:
    assert history["partial"].was_compiled
    assert history["partial"].states["Pusher"] == "cached"
    # What comes after a partial run is left to TFX.
    assert history["whole again"].was_compiled


def test_it_is_recorded_as_tfx_records_it(project: Project, history: dict[str, Step]) -> None:
    before, ours, theirs = (history[name] for name in ("whole again", "ours", "theirs"))
    assert (ours.was_compiled, theirs.was_compiled) == (False, True)
    assert ours.artifacts == theirs.artifacts == before.artifacts
    store = metadata(project)
    assert recorded(store, ours.run_id) == recorded(store, theirs.run_id)


def test_a_changed_setting_runs_again_from_where_it_counts(history: dict[str, Step]) -> None:
    assert not history["theirs again"].was_compiled
    states = history["other seed"].states
    assert [states[node] for node in ("ExampleGen", "Transform", "Trainer", "Pusher")] == [
        "cached",
        "cached",
        "complete",
        "complete",
    ]


def test_without_the_cache_every_node_runs(history: dict[str, Step]) -> None:
    assert set(history["without cache"].states.values()) == {"complete"}
