"""`conveyor prune`: what nothing needs any more is deleted, and nothing else."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from ml_metadata.proto import metadata_store_pb2

from pipeline.local.runner import run_lock
from pipeline.runs.resolvers import latest_blessed_model


@pytest.fixture
def runs(workspace, config):
    """Five runs: the second and the fourth pushed a version, and the last two were refused."""
    names = ("first", "second", "third", "fourth", "fifth")
    for run in names:
        version = {"second": "1", "fourth": "2"}.get(run, "")
        workspace.run(run, f"-{run}", version=version, min_auc=0.9 if run in ("fourth", "fifth") else 0.7)
        for node, key in (("ExampleGen", "examples"), ("Pusher", "pushed_model")):
            name = f"examples-{run}" if key == "examples" else f"pushed-{run}"
            folder = workspace.folder(node, key, name)
            folder.mkdir(parents=True)
            (folder / "rows").write_bytes(b"0" * 1000)
        if version:
            (config.serving_path / version).mkdir(parents=True)
    return names


def large(config, run: str) -> set[str]:
    """The kinds of large outputs of a run that are on the disk."""
    return {path.parent.name for path in config.artifacts_path.glob(f"*/*/*-{run}") if path.parent.name in LARGE}


LARGE = {"examples", "model", "pushed_model"}


def test_without_yes_nothing_is_deleted(runs, config, conveyor):
    code, out, _ = conveyor("prune", "--keep", "1")
    assert code == 0
    assert "would be deleted. Next: conveyor prune --keep 1 --yes" in out
    assert all(large(config, run) == LARGE for run in runs)


def test_old_runs_lose_their_data_and_models_but_not_what_is_needed(runs, workspace, config, conveyor):
    shutil.rmtree(config.serving_path / "2")
    code, out, _ = conveyor("prune", "--keep", "1", "--yes", "--json")
    assert code == 0
    document = json.loads(out)
    assert (document["deleted"], document["bytes"] >= 4000) == (True, True)
    assert {(each["run"], each["type"]) for each in document["artifacts"]} == {
        (run, kind) for run in ("first", "fourth") for kind in ("Examples", "Model", "PushedModel")
    }
    left = {run: large(config, run) for run in runs}
    # Version 1 is there, the third run's model is the next baseline, and the fifth run is the newest.
    assert left == {"first": set(), "second": LARGE, "third": LARGE, "fourth": set(), "fifth": LARGE}
    assert workspace.folder("Evaluator", "evaluation", "evaluation-first").is_dir()
    gone = workspace.store.get_artifacts_by_id([workspace.made["model-first"]])[0]
    assert gone.state == metadata_store_pb2.Artifact.DELETED
    assert "Nothing to delete" in conveyor("prune", "--keep", "1", "--yes")[1]


def test_the_baseline_of_the_next_run_is_the_newest_model_that_was_blessed_whatever_came_after_it(
    runs, workspace, config, conveyor
):
    """Another validator may refuse a model that the Evaluator has blessed, and a later run may take an earlier model again."""
    workspace.run("sixth", "-sixth")
    workspace.execute("sixth", "InfraValidator", outputs={"blessing": "infra-sixth"}, properties={"blessed": 0})
    again = {"blessed": 1, "current_model_id": workspace.made["model-first"]}
    workspace.execute(
        "seventh", "Evaluator", outputs={"blessing": "again"}, types={"blessing": "ModelBlessing"}, properties=again
    )
    live = [each for each in workspace.store.get_artifacts() if each.state == metadata_store_pb2.Artifact.LIVE]
    assert latest_blessed_model(sorted(live, key=lambda each: each.id))["model"].id == workspace.made["model-sixth"]
    assert conveyor("prune", "--keep", "1", "--yes")[0] == 0
    assert "model" in large(config, "sixth")


def scored(workspace, config, names: Sequence[str]) -> list[Path]:
    """Runs that score tables, which the store has as a pipeline of their own; the folders with their rows."""
    other = replace(workspace, config=config.model_copy(update={"name": config.scoring_name}))
    folders = []
    for run in names:
        outputs = {"ExampleGen": ("examples", "Examples"), "BulkInferrer": ("inference_result", "InferenceResult")}
        for node, (key, kind) in outputs.items():
            other.execute(run, node, outputs={key: f"{key}-{run}"}, types={key: kind})
            folder = other.folder(node, key, f"{key}-{run}")
            folder.mkdir(parents=True)
            (folder / "rows").write_bytes(b"0" * 1000)
            folders.append(folder)
    return folders


def test_of_runs_that_score_tables_as_many_stay(runs, workspace, config, conveyor):
    folders = scored(workspace, config, ("score-1", "score-2", "score-3"))
    code, out, _ = conveyor("prune", "--keep", "2", "--yes", "--json")
    assert code == 0
    deleted = [each for each in json.loads(out)["artifacts"] if each["run"].startswith("score")]
    assert [(each["run"], each["type"]) for each in deleted] == [("score-1", "Examples"), ("score-1", "InferenceResult")]
    assert [folder.is_dir() for folder in folders] == [False, False, True, True, True, True]


def test_where_trainings_stand_that_nobody_came_back_for_is_deleted(runs, config, conveyor):
    place = config.artifacts_path / "Trainer" / ".system" / "checkpoints"
    for name, age in (("given-up", 3600.0), ("interrupted", -3600.0)):
        (place / name).mkdir(parents=True)
        (place / name / "network").write_bytes(b"0" * 100)
        for path in (place / name / "network", place / name):
            os.utime(path, (time.time() - age,) * 2)
    code, out, _ = conveyor("prune", "--keep", "5", "--yes", "--json")
    assert code == 0
    assert [(each["type"], each["node"], each["bytes"]) for each in json.loads(out)["artifacts"]] == [
        ("Checkpoint", "Trainer", 100)
    ]
    assert [path.name for path in place.iterdir()] == ["interrupted"]


def test_a_run_that_lost_its_model_is_shown_and_compared_all_the_same(runs, config, conveyor):
    assert conveyor("prune", "--keep", "1", "--yes")[0] == 0
    assert large(config, "first") == set()
    assert conveyor("show", "first")[0] == 0
    assert conveyor("compare", "first", "fifth")[0] == 0
    assert conveyor("verify")[0] == 0


def test_what_was_cut_off_is_deleted_by_the_next_call(runs, workspace, config, conveyor, monkeypatch):
    def fail(path: str) -> None:
        raise PermissionError(13, "Permission denied", path)

    with monkeypatch.context() as patch:
        patch.setattr("pipeline.runs.retention.shutil.rmtree", fail)
        code, _, err = conveyor("prune", "--keep", "1", "--yes")
    assert code == 1
    assert "What a run has made cannot be deleted." in err
    assert large(config, "first") == LARGE
    assert conveyor("prune", "--keep", "1", "--yes")[0] == 0
    assert large(config, "first") == set()


def test_what_is_not_below_the_pipelines_own_folder_is_not_deleted(runs, workspace, config, conveyor, tmp_path: Path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    artifact = workspace.store.get_artifacts_by_id([workspace.made["model-first"]])[0]
    artifact.uri = str(elsewhere)
    workspace.store.put_artifacts([artifact])
    assert conveyor("prune", "--keep", "1", "--yes")[0] == 0
    assert elsewhere.is_dir()


def test_nothing_is_deleted_while_a_run_is_at_work(runs, config, conveyor):
    with run_lock(config.runs_path):
        code, _, err = conveyor("prune", "--keep", "1", "--yes")
    assert code == 1
    assert "Another run of flights is at work." in err
    assert large(config, "first") == LARGE


def test_the_newest_run_has_to_stay(runs, conveyor):
    code, _, err = conveyor("prune", "--keep", "0")
    assert code == 2
    assert "The newest run has to stay." in err


def test_a_database_server_is_left_alone(config, conveyor, monkeypatch):
    monkeypatch.setenv("CONVEYOR_METADATA", "mysql://root@127.0.0.1:9/metadata")
    code, _, err = conveyor("prune")
    assert code == 2
    assert "Leave CONVEYOR_METADATA out." in err
