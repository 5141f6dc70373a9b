"""`conveyor runs` and `show`, where the file of a run is damaged or its process is gone."""

from __future__ import annotations

import json

from components.pusher.push_record import PushRecord
from pipeline.runs.status import NodeOutcome, NodeState, RunOutcome, RunState
from tests.fakes.artifacts import metrics_for_slice, write_records


def test_a_damaged_outcome_of_any_run_is_named_and_all_runs_are_shown(workspace, config, conveyor):
    for run, version in (("first", "1"), ("second", "2")):
        workspace.run(run, f"-{run}", version=version)
        RunOutcome(run_id=run, pipeline="flights", state=RunState.COMPLETE, started=1.0, ended=2.0).save(config.runs_path / run)
    damaged = config.runs_path / "second" / "run.json"
    damaged.write_text('{"run_id": "sec')

    code, out, err = conveyor("runs", "--json")
    assert code == 0
    listed = {row["run"]: row for row in json.loads(out)}
    assert {run: row["state"] for run, row in listed.items()} == {"first": "complete", "second": "unknown"}
    assert listed["second"]["version"] == "2"
    assert "The state of run second cannot be read." in err

    code, out, err = conveyor("show", "second")
    assert code == 0
    assert str(damaged) in "".join(out.split())
    assert "Trainer" in out
    assert json.loads(conveyor("show", "second", "--json")[1])["problem"]["headline"] == "Storage error"
    assert conveyor("show", "first")[0] == 0
    assert damaged.read_text() == '{"run_id": "sec'


def test_a_run_whose_process_is_gone_is_not_shown_as_running(config, conveyor):
    outcome = RunOutcome(run_id="first", pipeline="flights", state=RunState.RUNNING)
    outcome.nodes["Trainer"] = NodeOutcome(state=NodeState.RUNNING, started=outcome.started)
    outcome.save(config.runs_path / "first")

    assert "interrupted" in conveyor("runs")[1]
    shown = json.loads(conveyor("show", "first", "--json")[1])
    assert (shown["state"], shown["nodes"]["Trainer"]["state"]) == ("interrupted", "interrupted")
    assert shown["seconds"] is not None


def test_a_version_whose_push_is_not_recorded_is_not_denied(workspace, config, conveyor):
    workspace.run("first", "-1", version="1")
    version = config.serving_path / "2"
    version.mkdir(parents=True)
    PushRecord("flights", "second", 12, {"uri": "/artifacts/Pusher/pushed_model/12"}).save(version)

    code, _, err = conveyor("lineage", "2")
    assert code == 2
    assert "Run second has pushed version 2" in err
    assert "`conveyor run` records the push" in err
    assert conveyor("lineage", "1")[0] == 0
    assert "has not pushed a version 3" in conveyor("lineage", "3")[2]


def test_a_damaged_evaluation_hides_no_other_run(workspace, config, conveyor):
    for run in ("first", "second"):
        workspace.run(run, f"-{run}")
    for path in (config.artifacts_path / "Evaluator" / "evaluation").rglob("*second/metrics*"):
        path.write_bytes(path.read_bytes()[:-3])

    code, out, err = conveyor("runs", "--json")
    assert code == 0
    assert {row["run"]: row["value"] is None for row in json.loads(out)} == {"first": False, "second": True}
    assert "The evaluation of run second cannot be read" in err
    code, _, err = conveyor("show", "second")
    assert code == 1
    assert "What a node has made cannot be read." in err
    assert "`conveyor verify` names the file" in err


def test_runs_are_listed_by_a_metric_the_best_first(workspace, config, conveyor):
    for run, auc in (("first", 0.7), ("second", 0.9), ("third", 0.8)):
        workspace.run(run, f"-{run}")
        folder = config.artifacts_path / "Evaluator" / "evaluation" / f"evaluation-{run}"
        write_records(folder / "metrics-00000-of-00001.tfrecord", [metrics_for_slice((), {"auc": {"candidate": auc}})])
    listed = json.loads(conveyor("runs", "--sort", "auc", "--json")[1])
    assert [(row["run"], row["value"]) for row in listed] == [("second", 0.9), ("third", 0.8), ("first", 0.7)]
    # An old run may be the best one.
    (best,) = json.loads(conveyor("runs", "--sort", "auc", "--limit", "1", "--json")[1])
    assert best["run"] == "second"
    code, _, err = conveyor("runs", "--sort", "auk")
    assert code == 2
    assert "No run has the metric auk." in err
