"""The flights example on a small sample, from data to pushed versions, with TFX itself."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tests.integration.conftest import CONFIG, CONVEYOR, ENVIRONMENT, OVERRIDES, Project

CHAIN = [
    *("ExampleGen", "StatisticsGen", "SchemaGen", "ExampleValidator", "Transform"),
    *("Trainer", "Evaluator", "InfraValidator", "Pusher"),
]


@dataclass(frozen=True)
class Ended:
    """A run, and what was there when it had ended."""

    done: subprocess.CompletedProcess[str]
    run_id: str
    states: dict[str, str]
    versions: list[str]
    lineage: dict[str, Any]


@pytest.fixture(scope="module")
def runs(project: Project) -> list[Ended]:
    """Three runs without a change between them."""
    ended = []
    for _ in range(3):
        done = project.run()
        assert done.returncode == 0, done.stdout + done.stderr
        lineage = json.loads(project.inspect("lineage", "--json"))
        ended.append(Ended(done, project.last_run()["run_id"], project.states(), project.versions, lineage))
    return ended


@pytest.fixture
def settled(project: Project, runs: list[Ended]) -> Project:
    """The project after the three runs, whatever other tests have run in it since."""
    return project


def test_a_first_run_ends_with_a_pushed_version_and_a_report(project: Project, runs: list[Ended]) -> None:
    first = runs[0]
    assert first.versions == ["1"]
    assert (project.workspace / "models" / "flights" / "1" / "saved_model.pb").is_file()
    assert {first.states[node] for node in CHAIN} == {"complete"}
    report = project.workspace / "runs" / "flights" / first.run_id / "report.html"
    page = report.read_text()
    assert page.startswith("<!doctype html>")
    assert "What the model relies on" in page
    card = project.workspace / "models" / "flights" / "1" / "model_card.md"
    assert card.read_text() == (report.parent / "model_card.md").read_text()
    assert "Traceback" not in first.done.stderr


def test_its_output_says_what_a_person_wants_to_know(runs: list[Ended]) -> None:
    printed = runs[0].done.stdout
    for node in CHAIN:
        assert node in printed
    for words in ("blessed", "version 1", "report.html", "auc", "divided by span, the newest 3 to evaluate on"):
        assert words in printed.lower()
    assert "conveyor " in printed, "the next command to type"


def test_the_pushed_model_answers_raw_features_without_this_project(settled: Project) -> None:
    assert 0 < settled.score("1") < 1


def test_a_second_run_judges_the_model_against_the_first_as_baseline(runs: list[Ended]) -> None:
    second = runs[1]
    assert {node for node in CHAIN if second.states[node] == "complete"} == {"Evaluator", "Pusher"}
    # The model is its own baseline here.
    assert second.lineage["baseline"].startswith("model ")
    assert "baseline" in second.done.stdout.lower()


def test_a_third_run_takes_everything_from_the_cache(runs: list[Ended]) -> None:
    third = runs[2]
    assert {third.states[node] for node in CHAIN} == {"cached"}
    assert third.versions == runs[1].versions


def test_a_deleted_push_is_made_again(settled: Project) -> None:
    newest = settled.workspace / "models" / "flights" / settled.versions[-1]
    newest.rename(newest.with_name("taken-away"))
    assert settled.run().returncode == 0
    assert settled.states()["Pusher"] == "complete"
    assert settled.states()["Trainer"] == "cached"
    assert (settled.workspace / "models" / "flights" / settled.versions[-1] / "saved_model.pb").is_file()


def test_a_new_month_is_picked_up(settled: Project, sample: dict[int, pa.Table]) -> None:
    settled.write_span(201305, sample[201305])
    done = settled.run()
    assert done.returncode == 0, done.stdout + done.stderr
    assert settled.states()["ExampleGen"] == "complete"
    assert settled.states()["Trainer"] == "complete"


def test_two_runs_with_the_same_inputs_give_the_same_metrics(settled: Project) -> None:
    def metrics() -> str:
        shown = settled.inspect("show", "latest", "--json")
        return json.dumps(json.loads(shown)["slices"], sort_keys=True)

    settled.run()
    before = metrics()
    assert settled.run("--no-cache").returncode == 0
    assert settled.states()["Trainer"] == "complete"
    assert metrics() == before


def test_a_model_below_its_threshold_is_not_pushed(settled: Project) -> None:
    versions = settled.versions
    done = settled.run(settings=("evaluation.thresholds.auc.min=0.99",))
    assert done.returncode == 4
    assert "not blessed" in done.stderr
    assert settled.versions == versions
    assert settled.last_run()["state"] == "not_blessed"


def test_a_partial_run_starts_where_it_is_told(settled: Project) -> None:
    assert settled.run("--from", "Evaluator").returncode == 0
    states = settled.states()
    assert states["Trainer"] == "skipped"
    assert states["Pusher"] in ("complete", "cached")


def test_a_run_killed_while_training_is_repeated_from_there(settled: Project) -> None:
    versions = settled.versions
    options = [f"data.input={settled.data}/span-{{SPAN}}/flights.*", *OVERRIDES, "training.epochs=200", "training.patience=0"]
    line = [str(CONVEYOR), "run", str(CONFIG), *(part for setting in options for part in ("--set", setting))]
    command = subprocess.Popen(line, cwd=settled.folder, env=ENVIRONMENT, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    known = {path.name for path in (settled.workspace / "runs" / "flights").iterdir()}
    while not _is_training(settled, known) and time.monotonic() < deadline:
        time.sleep(0.1)
    command.send_signal(signal.SIGKILL)
    command.wait()
    assert settled.versions == versions

    done = settled.run(settings=("training.epochs=2",))
    assert done.returncode == 0, done.stdout + done.stderr
    states = settled.states()
    assert {states[node] for node in ("ExampleGen", "StatisticsGen", "SchemaGen", "ExampleValidator", "Transform")} == {
        "cached"
    }
    folder: Path = settled.workspace / "models" / "flights"
    assert all((folder / version / "saved_model.pb").is_file() for version in settled.versions)


def test_a_run_after_old_ones_were_pruned_takes_all_from_the_cache(settled: Project) -> None:
    assert settled.run().returncode == 0
    settled.inspect("models", "prune", "--keep", "1", "--yes")
    pruned = json.loads(settled.inspect("prune", "--keep", "1", "--yes", "--json"))
    assert "PushedModel" in {each["type"] for each in pruned["artifacts"]}
    assert not any(Path(each["uri"]).exists() for each in pruned["artifacts"])
    settled.inspect("verify")

    done = settled.run()
    assert done.returncode == 0, done.stdout + done.stderr
    assert settled.states()["ExampleGen"] == settled.states()["Transform"] == settled.states()["Trainer"] == "cached"


def _is_training(project: Project, known: set[str]) -> bool:
    return project.last_run()["run_id"] not in known and project.states().get("Trainer") == "running"
