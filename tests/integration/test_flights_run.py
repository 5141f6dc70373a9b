"""The flights example on a small sample, from data to pushed versions, with TFX itself. The tests build on one another."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path

import pyarrow as pa
import pytest

from tests.integration.conftest import CONFIG, CONVEYOR, ENVIRONMENT, OVERRIDES, Project

CHAIN = [
    *("ExampleGen", "StatisticsGen", "SchemaGen", "ExampleValidator", "Transform"),
    *("Trainer", "Evaluator", "InfraValidator", "Pusher"),
]


@pytest.fixture(scope="module")
def first(project: Project) -> subprocess.CompletedProcess[str]:
    return project.run()


def test_a_first_run_ends_with_a_pushed_version_and_a_report(project: Project, first: subprocess.CompletedProcess[str]) -> None:
    assert first.returncode == 0, first.stdout + first.stderr
    assert project.versions == ["1"]
    assert (project.workspace / "models" / "flights" / "1" / "saved_model.pb").is_file()
    assert {project.states()[node] for node in CHAIN} == {"complete"}
    run_id = project.last_run()["run_id"]
    report = project.workspace / "runs" / "flights" / run_id / "report.html"
    assert report.read_text().startswith("<!doctype html>")
    assert "Traceback" not in first.stderr


def test_its_output_says_what_a_person_wants_to_know(project: Project, first: subprocess.CompletedProcess[str]) -> None:
    for node in CHAIN:
        assert node in first.stdout
    for words in ("blessed", "version 1", "report.html", "auc"):
        assert words in first.stdout.lower()
    assert "conveyor " in first.stdout, "the next command to type"


def test_the_pushed_model_answers_raw_features_without_this_project(
    project: Project, first: subprocess.CompletedProcess[str]
) -> None:
    assert 0 < project.score("1") < 1


def test_a_second_run_judges_the_model_against_the_first_as_baseline(
    project: Project, first: subprocess.CompletedProcess[str]
) -> None:
    second = project.run()
    assert second.returncode == 0, second.stdout + second.stderr
    states = project.states()
    repeated = {node for node in CHAIN if states[node] == "complete"}
    assert repeated == {"Evaluator", "Pusher"}
    # The model is its own baseline here.
    assert json.loads(project.inspect("lineage", "--json"))["baseline"].startswith("model ")
    assert "baseline" in second.stdout.lower()


def test_a_third_run_takes_everything_from_the_cache(project: Project, first: subprocess.CompletedProcess[str]) -> None:
    versions = project.versions
    assert project.run().returncode == 0
    assert {project.states()[node] for node in CHAIN} == {"cached"}
    assert project.versions == versions


def test_a_deleted_push_is_made_again(project: Project, first: subprocess.CompletedProcess[str]) -> None:
    newest = project.workspace / "models" / "flights" / project.versions[-1]
    newest.rename(newest.with_name("taken-away"))
    assert project.run().returncode == 0
    assert project.states()["Pusher"] == "complete"
    assert project.states()["Trainer"] == "cached"
    assert (project.workspace / "models" / "flights" / project.versions[-1] / "saved_model.pb").is_file()


def test_a_new_month_is_picked_up(
    project: Project, first: subprocess.CompletedProcess[str], sample: dict[int, pa.Table]
) -> None:
    project.write_span(201305, sample[201305])
    done = project.run()
    assert done.returncode == 0, done.stdout + done.stderr
    assert project.states()["ExampleGen"] == "complete"
    assert project.states()["Trainer"] == "complete"


def test_two_runs_with_the_same_inputs_give_the_same_metrics(project: Project, first: subprocess.CompletedProcess[str]) -> None:
    def metrics() -> str:
        shown = project.inspect("show", "latest", "--json")
        return json.dumps(json.loads(shown)["slices"], sort_keys=True)

    project.run()
    before = metrics()
    assert project.run("--no-cache").returncode == 0
    assert project.states()["Trainer"] == "complete"
    assert metrics() == before


def test_a_model_below_its_threshold_is_not_pushed(project: Project, first: subprocess.CompletedProcess[str]) -> None:
    versions = project.versions
    done = project.run(settings=("evaluation.thresholds.auc.min=0.99",))
    assert done.returncode == 4
    assert "not blessed" in done.stderr
    assert project.versions == versions
    assert project.last_run()["state"] == "not_blessed"


def test_a_partial_run_starts_where_it_is_told(project: Project, first: subprocess.CompletedProcess[str]) -> None:
    assert project.run("--from", "Evaluator").returncode == 0
    states = project.states()
    assert states["Trainer"] == "skipped"
    assert states["Pusher"] in ("complete", "cached")


def test_a_run_killed_while_training_is_repeated_from_there(project: Project, first: subprocess.CompletedProcess[str]) -> None:
    versions = project.versions
    options = [f"data.input={project.data}/span-{{SPAN}}/flights.*", *OVERRIDES, "training.epochs=200", "training.patience=0"]
    line = [str(CONVEYOR), "run", str(CONFIG), *(part for setting in options for part in ("--set", setting))]
    command = subprocess.Popen(line, cwd=project.folder, env=ENVIRONMENT, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    known = {path.name for path in (project.workspace / "runs" / "flights").iterdir()}
    while not _is_training(project, known) and time.monotonic() < deadline:
        time.sleep(0.1)
    command.send_signal(signal.SIGKILL)
    command.wait()
    assert project.versions == versions

    done = project.run(settings=("training.epochs=2",))
    assert done.returncode == 0, done.stdout + done.stderr
    states = project.states()
    assert {states[node] for node in ("ExampleGen", "StatisticsGen", "SchemaGen", "ExampleValidator", "Transform")} == {
        "cached"
    }
    folder: Path = project.workspace / "models" / "flights"
    assert all((folder / version / "saved_model.pb").is_file() for version in project.versions)


def _is_training(project: Project, known: set[str]) -> bool:
    return project.last_run()["run_id"] not in known and project.states().get("Trainer") == "running"
