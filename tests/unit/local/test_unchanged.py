"""When a run is recorded without TFX, and when it is not."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from ml_metadata.proto import metadata_store_pb2 as mlmd

from pipeline.local import unchanged
from pipeline.runs import database
from pipeline.runs.metadata import open_store
from pipeline.runs.status import NodeState
from pipeline.util.sealed import seal, unseal
from tests.unit.local.history import History


@pytest.fixture
def history(tmp_path: Path) -> History:
    """Two runs after which nothing would be done: the second judged the first one's model against itself."""
    history = History(tmp_path)
    history.first()
    history.second()
    return history


def test_a_run_for_which_nothing_has_changed_is_recorded_as_cached(history: History) -> None:
    nodes = history.repeat("3")
    assert {name: node.state for name, node in nodes.items()} == {
        "ExampleGen": NodeState.CACHED,
        "Resolver": NodeState.COMPLETE,
        "Trainer": NodeState.CACHED,
        "Evaluator": NodeState.CACHED,
        "Pusher": NodeState.CACHED,
    }
    assert nodes["Evaluator"].upstream == ["Trainer", "Resolver"]
    with open_store(history.connection, "tables") as store:
        second, third = store.run("2"), store.run("3")
        assert list(store.run_starts()) == ["1", "2", "3"]
    for name in ("ExampleGen", "Trainer", "Evaluator", "Pusher"):
        assert third.executions[name].state is NodeState.CACHED
        assert third.executions[name].inputs == second.executions[name].inputs
        assert third.executions[name].outputs == second.executions[name].outputs
        assert third.executions[name].properties == second.executions[name].properties
        assert third.executions[name].runs == ("3",)


def test_its_resolver_names_the_newest_blessing(history: History) -> None:
    history.repeat("3")
    with open_store(history.connection, "tables") as store:
        resolver = store.run("3").executions["Resolver"]
    assert resolver.state is NodeState.COMPLETE
    assert {key: [each.id for each in chosen] for key, chosen in resolver.inputs.items()} == {
        "model": [history.artifacts["model"].id],
        "model_blessing": [history.artifacts["blessing 2"].id],
    }


def test_its_executions_are_found_by_the_same_cache_keys(history: History) -> None:
    history.repeat("3")
    for key in ("ExampleGen", "Trainer", "Evaluator 2", "Pusher 2"):
        context = history.store.get_context_by_type_and_name("execution_cache", key)
        newest = max(history.store.get_executions_by_context(context.id), key=lambda execution: execution.id)
        assert newest.last_known_state == mlmd.Execution.CACHED
        assert "3" in [each.name for each in history.store.get_contexts_by_execution(newest.id)]


def test_such_a_run_can_be_the_last_one_for_the_next(history: History) -> None:
    for run in ("3", "4", "5"):
        history.repeat(run)
        history.save(run)
    with open_store(history.connection, "tables") as store:
        assert store.run("5").executions["Pusher"].state is NodeState.CACHED


def test_a_model_that_was_refused_stays_refused(tmp_path: Path) -> None:
    """No blessing, hence no baseline, as before."""
    history = History(tmp_path)
    history.first()
    history.artifacts["blessing 1"].custom_properties["blessed"].int_value = 0
    history.store.put_artifacts([history.artifacts["blessing 1"]])
    history.repeat_example_gen("2")
    history.execute("2", "Resolver")
    for node, inputs, outputs in (
        ("Trainer", {"examples": "examples"}, {"model": "model"}),
        ("Evaluator", {"model": "model"}, {"blessing": "blessing 1"}),
        ("Pusher", {"model": "model", "model_blessing": "blessing 1"}, {"pushed_model": "pushed 1"}),
    ):
        history.execute("2", node, inputs, outputs, state=mlmd.Execution.CACHED)
    history.save("2")
    assert history.repeat("3")["Pusher"].state is NodeState.CACHED


def add_rows(history: History) -> None:
    history.write_data("a,b\n1,2\n3,4\n")


def add_file(history: History) -> None:
    history.write_data("a,b\n1,2\n", "more.csv")


def remove_data(history: History) -> None:
    shutil.rmtree(history.folder / "data")


def remove_output(history: History) -> None:
    shutil.rmtree(history.artifacts["model"].uri)


def damage_output(history: History) -> None:
    (history.folder / "artifacts" / "model" / "content").write_bytes(b"mad!")


def damage_version(history: History) -> None:
    (history.served / "2" / "content").write_bytes(b"mad!")


def forget_manifest(history: History) -> None:
    model = history.artifacts["model"]
    del model.custom_properties["manifest"]
    history.store.put_artifacts([model])


def delete_output(history: History) -> None:
    history.delete("examples")


def remove_version(history: History) -> None:
    shutil.rmtree(history.served / "2")


def run_another_pipeline(history: History) -> None:
    history.execute("score", "ExampleGen", pipeline="tables-score")


def be_killed(history: History) -> None:
    history.execute("3", "Trainer", state=mlmd.Execution.RUNNING)


def run_a_part(history: History) -> None:
    history.execute("3", "Pusher", {"model": "model"}, {"pushed_model": "pushed 2"}, state=mlmd.Execution.CACHED)
    history.save("3", fingerprint="", Trainer=NodeState.SKIPPED)


def fail(history: History) -> None:
    history.execute("2", "Pusher", {"model": "model"}, state=mlmd.Execution.FAILED)


def bless_another_model(history: History) -> None:
    history.execute("2", "Trainer", {"examples": "examples"}, {"model": "better"}, cache="other settings")
    history.judge("2", "3", baseline=False, model="better")


def add_a_resolver(history: History) -> None:
    history.execute("2", "OtherResolver")
    outcome = history.runs / "2" / "run.json"
    content = unseal(outcome.read_bytes()).decode()
    outcome.write_text(seal(content.replace('"Resolver": {', '"OtherResolver": {}, "Resolver": {', 1)))


def damage_outcome(history: History) -> None:
    (history.runs / "2" / "run.json").write_text("{")


def remove_outcome(history: History) -> None:
    (history.runs / "2" / "run.json").unlink()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (add_rows, "the data is not that of the last run"),
        (add_file, "the data is not that of the last run"),
        (remove_data, "No file matches"),
        (remove_output, "an output of Trainer is gone"),
        (delete_output, "an output of ExampleGen is gone"),
        (damage_output, "model/content is not what Trainer made"),
        (damage_version, "models/2/content is not what Pusher made"),
        (forget_manifest, "an output of Trainer is of an earlier release"),
        (remove_version, "the version that was pushed is gone"),
        (run_another_pipeline, "another pipeline ran last"),
        (be_killed, "No such file"),
        (run_a_part, "not a whole one"),
        (fail, "the last run did not complete"),
        (bless_another_model, "Resolver chooses otherwise"),
        (add_a_resolver, "OtherResolver may choose otherwise"),
        (damage_outcome, "DamagedRunError"),
        (remove_outcome, "No such file"),
    ],
)
def test_whatever_has_changed_is_left_to_tfx(history: History, change: Callable[[History], None], reason: str) -> None:
    change(history)
    known = len(history.store.get_executions())
    with pytest.raises(unchanged.ChangedError, match=reason):
        history.repeat("9")
    assert len(history.store.get_executions()) == known
    assert history.store.get_context_by_type_and_name("pipeline_run", "9") is None


@pytest.mark.parametrize("fingerprint", ["sha256:2", ""])
def test_another_fingerprint_or_none_is_left_to_tfx(history: History, fingerprint: str) -> None:
    history.save("2", fingerprint=fingerprint and "sha256:1")
    with pytest.raises(unchanged.ChangedError, match="not those of the last run"):
        history.repeat("3", fingerprint)


def test_the_run_after_a_first_one_is_left_to_tfx(tmp_path: Path) -> None:
    history = History(tmp_path)
    history.first()
    with pytest.raises(unchanged.ChangedError, match="the data was new"):
        history.repeat("2")


def test_a_model_that_is_its_own_baseline_for_the_first_time_is_left_to_tfx(tmp_path: Path) -> None:
    history = History(tmp_path)
    history.first()
    history.second(baseline=False)
    with pytest.raises(unchanged.ChangedError, match="Resolver chooses otherwise"):
        history.repeat("3")


@pytest.mark.parametrize(
    "connection",
    [database.parse("mysql://me:secret@localhost:3306/metadata"), database.sqlite(Path("/nowhere/metadata.sqlite"))],
)
def test_without_a_store_of_its_own_a_run_is_left_to_tfx(tmp_path: Path, connection: mlmd.ConnectionConfig) -> None:
    with pytest.raises(unchanged.ChangedError, match="on a server, or there is none yet"):
        unchanged.repeat(connection, tmp_path, "tables", "1", "sha256:1")
