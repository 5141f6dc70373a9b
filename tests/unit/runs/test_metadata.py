"""Reading runs, artifacts and lineage from ML Metadata."""

from __future__ import annotations

import subprocess
import sys

import pytest
from ml_metadata.proto import metadata_store_pb2 as mlmd

from pipeline.errors import StorageError, UsageError
from pipeline.runs import database
from pipeline.runs.metadata import open_store
from pipeline.runs.status import NodeState


@pytest.fixture
def store(workspace, config):
    with open_store(database.sqlite(config.metadata_path), config.name) as opened:
        yield opened


def test_runs_are_known_with_their_nodes_states_and_artifacts(workspace, store):
    workspace.run("first", "-1", version="1")

    assert list(store.run_starts()) == ["first"]
    run = store.run("first")
    assert [execution.node for execution in run.executions.values()][:2] == ["ExampleGen", "StatisticsGen"]
    assert {execution.state for execution in run.executions.values()} == {NodeState.COMPLETE}
    examples = run.output("ExampleGen", "examples")
    assert examples is not None
    assert (examples.type, examples.properties["span"]) == ("Examples", 3)
    assert run.input("Trainer", "examples") == examples


def test_a_run_that_never_started_a_node_is_empty(store):
    assert store.run("unheard-of").executions == {}
    assert store.run_starts() == {}


def test_outputs_of_a_failed_node_do_not_count(workspace, store):
    workspace.execute("first", "Trainer", outputs={"model": "model"}, state=mlmd.Execution.FAILED)

    run = store.run("first")
    assert run.executions["Trainer"].state is NodeState.FAILED
    assert run.output("Trainer", "model") is None


def test_a_node_that_was_repeated_stands_as_it_stood_last(workspace, store):
    workspace.execute("first", "Trainer", state=mlmd.Execution.CANCELED)
    workspace.execute("first", "Trainer")

    assert store.run("first").executions["Trainer"].state is NodeState.COMPLETE


def test_lineage_leads_from_the_version_back_to_the_data(workspace, store):
    workspace.run("first", "-1", version="1")

    lineage = store.lineage(store.pushed("1"))
    assert [execution.node for execution in lineage.executions] == [
        "ExampleGen",
        "SchemaGen",
        "Trainer",
        "Evaluator",
        "Pusher",
    ]
    assert (lineage.version, lineage.runs) == ("1", ("first",))
    assert lineage.destination == str(workspace.config.serving_path / "1")
    assert lineage.baseline() is None


def test_lineage_names_the_baseline_but_not_its_history(workspace, store):
    workspace.run("first", "-1", version="1")
    workspace.run("second", "-2", baseline="model-1", version="2")

    lineage = store.lineage(store.pushed("2"))
    assert lineage.runs == ("second",)
    baseline = lineage.baseline()
    assert baseline is not None
    assert baseline.id == workspace.made["model-1"]


def test_lineage_names_an_earlier_search_but_not_its_data(workspace, store):
    workspace.execute("first", "ExampleGen", outputs={"examples": "old"})
    workspace.execute("first", "Tuner", inputs={"examples": "old"}, outputs={"best_hyperparameters": "found"})
    workspace.execute("second", "ExampleGen", outputs={"examples": "new"})
    workspace.execute("second", "Trainer", inputs={"examples": "new", "hyperparameters": "found"}, outputs={"model": "model"})

    model = store.run("second").output("Trainer", "model")
    lineage = store.lineage(model)
    assert [(each.node, *each.runs) for each in lineage.executions] == [
        ("Tuner", "first"),
        ("ExampleGen", "second"),
        ("Trainer", "second"),
    ]


@pytest.mark.parametrize(("versions", "newest"), [((), ""), (("3",), "3"), (("3", "4"), "4")])
def test_a_model_is_known_by_the_version_that_it_was_last_pushed_as(workspace, store, versions, newest):
    workspace.execute("first", "Trainer", outputs={"model": "model"})
    workspace.execute("first", "Pusher", inputs={"model": "model"}, outputs={"pushed_model": "none"}, properties={"pushed": 0})
    for version in versions:
        workspace.execute(
            f"run {version}",
            "Pusher",
            inputs={"model": "model"},
            outputs={"pushed_model": f"pushed {version}"},
            properties={"pushed": 1, "pushed_version": version},
        )

    assert store.version_of(store.run("first").output("Trainer", "model")) == newest


def test_lineage_names_the_run_that_did_the_work_not_the_one_that_took_it_from_the_cache(workspace, store):
    workspace.execute("first", "ExampleGen", outputs={"examples": "examples"})
    workspace.execute("second", "ExampleGen", outputs={"examples": "examples"}, state=mlmd.Execution.CACHED)
    workspace.execute("second", "Trainer", inputs={"examples": "examples"}, outputs={"model": "model"})

    model = store.run("second").output("Trainer", "model")
    assert model is not None
    assert [execution.runs for execution in store.lineage(model).executions] == [("first",), ("second",)]


def test_an_unknown_version_is_answered_with_those_there_are(workspace, store):
    workspace.run("first", "-1", version="1")
    with pytest.raises(UsageError, match="has not pushed a version 7") as caught:
        store.pushed("7")
    assert "one of 1" in caught.value.expected


def test_a_missing_store_is_not_created(tmp_path):
    path = tmp_path / "metadata.sqlite"
    with pytest.raises(UsageError, match="Nothing has run") as caught, open_store(database.sqlite(path), "flights"):
        pass
    assert "conveyor run" in caught.value.fix
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_store_is_said_to_be_none(tmp_path):
    path = tmp_path / "metadata.sqlite"
    path.write_text("not a database, for all its length " * 100)
    with pytest.raises(StorageError, match="is damaged"), open_store(database.sqlite(path), "flights") as store:
        store.run_starts()
    assert path.read_text().startswith("not a database")


def test_reading_needs_neither_tensorflow_nor_tfx(workspace, config):
    workspace.run("first", "-1", version="1")
    program = f"""
import sys
from pathlib import Path
from pipeline.config import PipelineConfig
from pipeline.report.read.run_details import read_run_details
config = PipelineConfig.model_validate({config.effective()!r})
assert read_run_details(config, "first").evaluation.overall.rows == 100
print([name for name in ("tensorflow", "tfx", "apache_beam") if name in sys.modules])
"""
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_a_transaction_that_a_killed_process_left_is_undone(workspace, config):
    workspace.run("first", "-1", version="1")
    path = config.metadata_path
    # The rows do not fit into the cache, so that some are in the file before the transaction ends.
    killed = """if True:
        import os, sqlite3, sys
        store = sqlite3.connect(sys.argv[1], isolation_level=None)
        store.execute("PRAGMA cache_size = 1")
        store.execute("BEGIN EXCLUSIVE")
        store.execute("DELETE FROM Execution")
        store.execute("CREATE TABLE filler (text)")
        store.executemany("INSERT INTO filler VALUES (?)", [("x" * 500,)] * 1000)
        os._exit(0)
    """
    subprocess.run([sys.executable, "-c", killed, path], check=True)
    assert path.with_name(f"{path.name}-journal").exists()

    with open_store(database.sqlite(path), config.name) as store:
        assert list(store.run_starts()) == ["first"]


def test_a_store_that_was_never_made_holds_no_runs(tmp_path):
    path = tmp_path / "metadata.sqlite"
    path.touch()
    with pytest.raises(UsageError, match="Nothing has run"), open_store(database.sqlite(path), "flights"):
        pass
