"""The HTML report: whole, partial, and with hostile data."""

from __future__ import annotations

import re

import pytest
from ml_metadata.proto import metadata_store_pb2 as mlmd

from pipeline.errors import DataError, UsageError
from pipeline.report import write_report
from pipeline.report.read.run_details import read_run_details
from pipeline.report.verdict import Tone, judge
from pipeline.runs.status import NodeOutcome, NodeState, Problem, RunOutcome, RunState
from tests.fakes.artifacts import EVIL, write_anomalies
from tests.fakes.browser import Page


def report_of(config, run_id: str) -> str:
    return write_report(config, run_id).read_text(encoding="utf-8")


def test_a_whole_run_has_every_section(workspace, config):
    workspace.run("first", "-1", version="1")
    workspace.run("second", "-2", baseline="model-1", version="2")
    html = report_of(config, "second")

    assert Page(html).headings == [
        "Pipeline",
        "Evaluation",
        "Training",
        "Anomalies",
        "Data",
        "Statistics",
        "Schema",
        "Lineage",
        "Model card",
    ]
    assert "Blessed and pushed as version 2" in html
    assert "also against the baseline" in html
    assert "The positive class is <b>1</b>" in html
    assert "2013-10-01" in html  # a time in the data, as a day
    assert html.count("data:") == html.count("url(") == 0


def test_nothing_from_data_becomes_html(workspace, config):
    workspace.run("first", "-1", version="1")
    html = report_of(config, "first")

    assert "alert(" in html  # the value is shown, as text
    assert "script" not in Page(html).tags
    assert "<b>EWR" not in html


def test_an_error_is_shown_as_text(workspace, config):
    problem = Problem.of(DataError(f"column {EVIL}", seen=EVIL, fix=EVIL))
    node = NodeOutcome(state=NodeState.FAILED, started=1.0, ended=2.0, problem=problem)
    outcome = RunOutcome(run_id="first", pipeline="flights", state=RunState.FAILED, nodes={EVIL: node}, problem=problem)
    outcome.save(config.runs_path / "first")

    html = report_of(config, "first")
    assert "alert(" in html
    assert "script" not in Page(html).tags


def test_the_page_loads_nothing(workspace, config):
    workspace.run("first", "-1", version="1")
    html = report_of(config, "first")

    assert all(address.startswith("#") for address in Page(html).addresses)
    assert "default-src &#39;none&#39;" in html or "default-src 'none'" in html
    assert not re.search(r"@import|url\(|https?:", html)
    assert len(html) < 200_000


def test_a_run_that_failed_before_its_first_node_says_why(config):
    problem = Problem.of(UsageError("span 13 does not exist", fix="use span 12"))
    outcome = RunOutcome(run_id="first", pipeline="flights", state=RunState.FAILED, problem=problem, ended=2.0)
    outcome.save(config.runs_path / "first")

    html = report_of(config, "first")
    assert Page(html).headings == ["Pipeline"]
    assert "Failed before the first node" in html
    assert "use span 12" in html


def test_a_run_that_stopped_early_has_what_there_is(workspace, config):
    workspace.execute("first", "ExampleGen", outputs={"examples": "examples"})
    workspace.execute("first", "StatisticsGen", inputs={"examples": "examples"}, state=mlmd.Execution.FAILED)

    html = report_of(config, "first")
    assert Page(html).headings == ["Pipeline"]
    assert "Failed at StatisticsGen" in html


def test_artifacts_that_were_deleted_are_left_out(workspace, config):
    workspace.run("first", "-1", version="1")
    (workspace.folder("StatisticsGen", "statistics", "statistics-1") / "Split-train" / "FeatureStats.pb").unlink()
    (workspace.folder("StatisticsGen", "statistics", "statistics-1") / "Split-eval" / "FeatureStats.pb").unlink()
    assert "Statistics" not in Page(report_of(config, "first")).headings


@pytest.mark.parametrize(
    ("min_auc", "version", "headline", "tone"),
    [
        (0.7, "1", "Blessed and pushed as version 1", Tone.GOOD),
        (0.9, "", "Not blessed, so not pushed", Tone.BAD),
        (0.7, "", "Blessed, not pushed in this run", Tone.GOOD),
    ],
)
def test_the_verdict_follows_blessing_and_push(workspace, config, min_auc, version, headline, tone):
    workspace.run("first", "-1", min_auc=min_auc, version=version)
    verdict = judge(read_run_details(config, "first"))

    assert (verdict.headline, verdict.tone) == (headline, tone)
    if tone is Tone.BAD:
        assert verdict.reasons == ("auc is 0.8, wanted ≥ 0.9.",)


def test_a_model_that_cannot_be_served_is_said_to_be_so(workspace, config):
    workspace.execute(
        "first", "InfraValidator", outputs={"blessing": "infra"}, properties={"blessed": 0, "message": "it did not load"}
    )
    workspace.execute("first", "Pusher", outputs={"pushed_model": "pushed"}, properties={"pushed": 0})

    verdict = judge(read_run_details(config, "first"))
    assert verdict.headline == "Not pushed: the model cannot be served"
    assert verdict.reasons == ("it did not load",)


def test_a_run_with_nothing_new_says_that_the_version_stands(workspace, config):
    workspace.run("first", "-1", version="1")
    pushed = {"pushed_model": "pushed-1"}
    workspace.execute("second", "Pusher", inputs={"model": "model-1"}, outputs=pushed, state=mlmd.Execution.CACHED)
    assert judge(read_run_details(config, "second")).headline == "Version 1 is up to date"


def test_a_partial_run_is_complete_without_a_model(config):
    nodes = {"ExampleGen": NodeOutcome(state=NodeState.COMPLETE), "Trainer": NodeOutcome(state=NodeState.SKIPPED)}
    outcome = RunOutcome(run_id="first", pipeline="flights", state=RunState.COMPLETE, nodes=nodes)
    outcome.save(config.runs_path / "first")

    verdict = judge(read_run_details(config, "first"))
    assert verdict.headline == "Complete; no model was judged"
    assert verdict.reasons == ("Left out of this partial run: Trainer.",)


def test_an_interrupted_run_says_where_it_was(config):
    nodes = {"ExampleGen": NodeOutcome(state=NodeState.COMPLETE), "Trainer": NodeOutcome(state=NodeState.INTERRUPTED)}
    outcome = RunOutcome(run_id="first", pipeline="flights", state=RunState.INTERRUPTED, nodes=nodes)
    outcome.save(config.runs_path / "first")

    verdict = judge(read_run_details(config, "first"))
    assert verdict.headline == "Interrupted"
    assert verdict.reasons[0] == "At work then: Trainer."


def test_a_run_on_a_cluster_is_known_from_the_store_alone(workspace, config):
    workspace.run("first", "-1", version="1")
    outcome = read_run_details(config, "first").outcome

    assert outcome.state is RunState.COMPLETE
    assert outcome.nodes["Trainer"].upstream == ["ExampleGen", "SchemaGen"]


def test_the_configuration_shown_is_the_runs_own(workspace, config):
    workspace.run("first", "-1", version="1")
    own = config.model_copy(update={"label": "very_late"})
    RunOutcome(run_id="first", pipeline="flights", config=own.effective()).save(config.runs_path / "first")
    assert read_run_details(config, "first").config.label == "very_late"


def test_a_configuration_of_another_release_is_not_needed(workspace, config):
    workspace.run("first", "-1", version="1")
    RunOutcome(run_id="first", pipeline="flights", config={"forgotten": True}).save(config.runs_path / "first")
    assert read_run_details(config, "first").config == config


def test_anomalies_are_counted_in_the_header(workspace, config):
    write_anomalies(workspace.folder("ExampleValidator", "anomalies", "found"), {"origin": "JFX is new"})
    workspace.execute("first", "ExampleValidator", outputs={"anomalies": "found"})

    html = report_of(config, "first")
    assert "JFX is new" in html
    assert Page(html).headings == ["Pipeline", "Anomalies"]
