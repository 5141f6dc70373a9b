"""The summary at the end of a run, and the commands that show runs later."""

from __future__ import annotations

import io
import json
import math

import pytest
from rich.console import Console

from pipeline.errors import DataError, UsageError
from pipeline.report import print_summary, write_report
from pipeline.report.formats import DASH
from pipeline.report.read.run_details import read_run_details
from pipeline.runs.find import find_run, run_ids
from pipeline.runs.status import NodeOutcome, NodeState, Problem, RunOutcome, RunState
from tests.fakes.artifacts import metrics_for_slice, write_records, write_search


@pytest.fixture
def summary(config):
    """Prints the summary of a run as a terminal of 100 columns would show it."""

    def _summary(run_id: str) -> str:
        console = Console(file=io.StringIO(), width=100)
        print_summary(read_run_details(config, run_id).outcome, config, console)
        return console.file.getvalue()

    return _summary


def test_a_pushed_model_is_summed_up(workspace, config, summary):
    workspace.run("first", "-1", version="1")
    workspace.run("second", "-2", baseline="model-1", version="2")
    report = write_report(config, "second")
    printed = summary("second")

    assert "Blessed and pushed as version 2" in printed
    assert "Rows train 200, eval 100; divided by time, from 2013-03-01 on to evaluate on" in printed
    assert "Few rows: by chance alone, a model that knows nothing has an auc between" in printed
    assert "auc         0.8000     0.7500      +0.0500   ✓ ≥ 0.7  ✓ ≥ -0.01 vs baseline" in printed
    assert "/models/flights/2" in printed
    assert str(report) in printed.splitlines()[-2]
    assert "conveyor lineage 2" in printed.splitlines()[-1]


def test_a_search_is_summed_up_and_the_report_has_its_trials(workspace, config, summary, conveyor):
    write_search(workspace.folder("Tuner", "tuner_results", "results"))
    workspace.run("first", "-1", version="1")
    workspace.execute("first", "Tuner", outputs={"tuner_results": "results"})
    gain = "The validation loss is 0.5000 with what was found, 0.6000 as configured, 16.7 % less."

    assert f"Search {gain}" in summary("first")
    assert f"Search {gain}" in conveyor("show", "first")[1]
    report = write_report(config, "first").read_text()
    assert "Search for hyperparameters" in report
    assert gain in report


def test_a_model_that_was_not_blessed_says_by_which_threshold(workspace, summary):
    workspace.run("first", "-1", min_auc=0.9)
    printed = summary("first")

    assert "✗ ≥ 0.9" in printed
    assert "Not blessed, so not pushed\n  auc is 0.8, wanted ≥ 0.9." in printed


def test_a_failed_run_leaves_the_error_to_the_command(config, summary):
    nodes = {
        "ExampleGen": NodeOutcome(state=NodeState.FAILED, started=1.0, ended=3.5),
        "Trainer": NodeOutcome(state=NodeState.BLOCKED),
    }
    outcome = RunOutcome(run_id="first", pipeline="flights", state=RunState.FAILED, started=0, ended=4, nodes=nodes)
    outcome.save(config.runs_path / "first")
    printed = summary("first")

    assert "ExampleGen   failed    2.5 s" in printed
    assert "Failed at" not in printed
    assert "goes on where this run stopped" in printed


def test_show_and_the_report_have_the_notes_of_the_nodes(config, conveyor):
    told = NodeOutcome(state=NodeState.COMPLETE, started=1.0, ended=3.5, notes=[f"Column c{i} is text." for i in range(15)])
    outcome = RunOutcome(run_id="first", pipeline="flights", state=RunState.FAILED, nodes={"ExampleGen": told})
    outcome.save(config.runs_path / "first")
    _, printed, _ = conveyor("show", "first")

    assert "ExampleGen notes\n  Column c0 is text.\n  Column c1 is text.\n" in printed
    assert "c12" not in printed
    assert f"and 3 more, in {config.runs_path / 'first' / 'ExampleGen.log'}" in printed
    page = write_report(config, "first").read_text(encoding="utf-8")
    assert all(f"Column c{i} is text." in page for i in range(15))


def test_runs_are_found_by_beginning_and_by_latest(workspace, config):
    for run_id in ("20260101-1", "20260102-1", "20260102-2"):
        RunOutcome(run_id=run_id, pipeline="flights", started=float(run_id[6:8] + run_id[-1])).save(config.runs_path / run_id)

    assert run_ids(config) == ["20260101-1", "20260102-1", "20260102-2"]
    assert find_run(config, "latest") == "20260102-2"
    assert find_run(config, "20260101") == "20260101-1"
    with pytest.raises(UsageError, match="2 runs match '20260102'"):
        find_run(config, "20260102")


@pytest.mark.parametrize(
    ("typed", "fix"), [("latst", "Did you mean 'latest'?"), ("firts", "Did you mean 'first'?"), ("zzz", "`conveyor runs`")]
)
def test_an_unknown_run_is_answered_with_a_proposal(workspace, config, typed, fix):
    workspace.run("first", "-1", version="1")
    with pytest.raises(UsageError, match="There is no run") as caught:
        find_run(config, typed)
    assert fix in caught.value.fix


def test_runs_lists_them_newest_first(workspace, conveyor):
    workspace.run("first", "-1", version="1")
    workspace.run("second", "-2", baseline="model-1", min_auc=0.9)
    code, printed, _ = conveyor("runs")

    assert code == 0
    assert [line.split()[:2] for line in printed.splitlines()[1:]] == [["second", "not_blessed"], ["first", "complete"]]
    assert f"train spans 1{DASH}2, eval span 3" in printed
    assert "auc 0.8000" in printed


def test_runs_as_json(workspace, conveyor):
    workspace.run("first", "-1", version="1")
    _, printed, _ = conveyor("runs", "--json")
    (run,) = json.loads(printed)
    assert (run["run"], run["metric"], run["value"], run["version"]) == ("first", "auc", 0.8, "1")


def test_show_has_nodes_metrics_and_artifacts(workspace, conveyor):
    workspace.run("first", "-1", version="1")
    code, printed, _ = conveyor("show")
    assert code == 0
    for expected in ("Blessed and pushed as version 1", "Trainer", "0.8000", "ModelBlessing"):
        assert expected in printed

    _, printed, _ = conveyor("show", "first", "--json")
    document = json.loads(printed)
    assert document["nodes"]["Trainer"]["state"] == "complete"
    assert (document["rows"], document["boundary"]) == ({"train": 200, "eval": 100}, "2013-03-01")
    assert document["slices"][0] == {
        "slice": {},
        "metrics": {"auc": [0.8, None], "loss": [0.5, None], "example_count": [100.0, None]},
    }
    assert document["thresholds"] == [{"metric": "auc", "slice": "", "bound": "≥ 0.7", "value": 0.8, "holds": True}]


def test_a_metric_that_is_not_a_number_is_null_in_json(workspace, conveyor):
    evaluation = workspace.folder("Evaluator", "evaluation", "evaluation-1")
    workspace.run("first", "-1", version="1")
    write_records(evaluation / "metrics-00000-of-00001.tfrecord", [metrics_for_slice((), {"auc": {"": math.nan}})])
    _, printed, _ = conveyor("show", "--json")
    assert json.loads(printed, parse_constant=pytest.fail)["slices"] == [{"slice": {}, "metrics": {"auc": [None, None]}}]


def test_a_metric_without_a_value_is_undefined_and_the_verdict_says_what_to_do(workspace, conveyor):
    evaluation = workspace.folder("Evaluator", "evaluation", "evaluation-1")
    workspace.run("first", "-1", min_auc=0.9)
    values = {"auc": {"": 0.0}, "mean_label": {"": 0.0}}
    write_records(evaluation / "metrics-00000-of-00001.tfrecord", [metrics_for_slice((), values)])
    _, printed, _ = conveyor("show")

    assert "auc      undefined" in printed
    assert "auc is undefined: no row is positive." in printed
    assert "auc is undefined, as no row is positive: evaluate on rows of both classes" in " ".join(printed.split())


def test_show_says_what_went_wrong(config, conveyor):
    problem = Problem.of(DataError("column [red]late[/] is missing", fix="add it"))
    RunOutcome(run_id="first", pipeline="flights", state=RunState.FAILED, problem=problem).save(config.runs_path / "first")
    _, printed, _ = conveyor("show", "first")
    assert "column [red]late[/] is missing" in printed
    assert "  fix  add it" in printed


def test_report_writes_it_again(workspace, config, conveyor):
    workspace.run("first", "-1", version="1")
    code, printed, _ = conveyor("report", "fir")
    path = config.runs_path / "first" / "report.html"
    assert (code, printed.strip()) == (0, str(path))
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_lineage_goes_from_version_to_data(workspace, conveyor):
    workspace.run("first", "-1", version="1")
    workspace.run("second", "-2", baseline="model-1", version="2")
    code, printed, _ = conveyor("lineage", "2")
    assert code == 0
    assert "eval span 3" in printed
    assert f"model {workspace.made['model-1']}" in printed

    _, printed, _ = conveyor("lineage", "--json")
    document = json.loads(printed)
    assert document["version"] == "2"
    assert document["division"] == "by time, from 2013-03-01 on to evaluate on"
    assert [step["node"] for step in document["steps"]] == ["ExampleGen", "SchemaGen", "Trainer", "Evaluator", "Pusher"]
    assert document["steps"][2]["from"] == ["ExampleGen", "SchemaGen"]


def test_an_unknown_version_is_a_usage_error(workspace, conveyor):
    workspace.run("first", "-1", version="1")
    code, _, complaint = conveyor("lineage", "9")
    assert code == 2
    assert "one of 1" in complaint


def test_a_workspace_without_runs_says_how_to_begin(conveyor):
    code, _, complaint = conveyor("runs")
    assert code == 2
    assert "conveyor run" in complaint
