"""What Kubeflow's dashboard gets of each node, checked with KFP's own types and messages."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from kfp import dsl
from kfp.pipeline_spec import pipeline_spec_pb2
from ml_metadata.proto import metadata_store_pb2 as mlmd

from pipeline.config import PipelineConfig, Task
from pipeline.kubeflow.pod import dashboard
from pipeline.report import read_run_details
from pipeline.runs.status import RunOutcome, RunState
from tests.fakes.artifacts import (
    EVIL,
    write_anomalies,
    write_hyperparameters,
    write_model,
    write_multiclass_evaluation,
    write_search,
    write_transform_graph,
)
from tests.fakes.browser import Page
from tests.fakes.workspace import Workspace

INFRA = {"blessed": 1, "requests": 20, "load_seconds": 0.5, "latency_p50_ms": 0.7, "latency_p99_ms": 0.9, "message": ""}


def complete(workspace: Workspace) -> None:
    """A second run, compared with the first one's model, and with the nodes that `Workspace.run` leaves out."""
    workspace.run("first", "-1", version="1")
    workspace.execute("second", "Resolver", inputs={"model": "model-1"})
    write_search(workspace.folder("Tuner", "tuner_results", "results"))
    write_hyperparameters(workspace.folder("Tuner", "best_hyperparameters", "best"))
    workspace.execute("first", "Tuner", outputs={"tuner_results": "results", "best_hyperparameters": "best"})
    workspace.execute("second", "LatestHyperparameters", inputs={"best_hyperparameters": "best"})
    workspace.run("second", "-2", baseline="model-1", version="2")
    write_transform_graph(workspace.folder("Transform", "transform_graph", "graph"))
    workspace.execute("second", "Transform", outputs={"transform_graph": "graph"})
    workspace.execute("second", "InfraValidator", inputs={"model": "model-2"}, outputs={"blessing": "infra"}, properties=INFRA)


def artifacts_of(config: PipelineConfig, run: str, node: str) -> dashboard.Dashboard:
    """Those of a node that has a task of its own."""
    return dashboard.artifacts_of(read_run_details(config, run), [node])[""]


def executor_input(folder: Path, names: list[str]) -> dict[str, Any]:
    """What KFP's local runner passes to a task that declares these artifacts."""
    return {
        "outputs": {
            "artifacts": {
                name: {"artifacts": [{"name": name, "uri": str(folder / "outputs" / name), "metadata": {}}]} for name in names
            },
            "outputFile": str(folder / "outputs" / "executor_output.json"),
        }
    }


def written(folder: Path) -> pipeline_spec_pb2.ExecutorOutput:
    """The executor output as KFP's launcher reads it: what is not of its message is an error."""
    text = (folder / "outputs" / "executor_output.json").read_text()
    return json_format.Parse(text, pipeline_spec_pb2.ExecutorOutput())


def metadata_of(output: pipeline_spec_pb2.ExecutorOutput, name: str) -> dict[str, Any]:
    (artifact,) = output.artifacts[name].artifacts
    return json_format.MessageToDict(artifact.metadata)


@pytest.mark.parametrize(
    ("nodes", "task", "names"),
    [
        (["SchemaGen"], Task.BINARY, ["report"]),
        (["Trainer"], Task.BINARY, ["report", "metrics"]),
        (["Evaluator"], Task.BINARY, ["report", "metrics", "classification"]),
        (["Evaluator"], Task.MULTICLASS, ["report", "metrics", "classification"]),
        (["Evaluator"], Task.REGRESSION, ["report", "metrics"]),
        (["SchemaGen", "Resolver"], Task.BINARY, ["schema_gen_report", "resolver_report"]),
        (
            ["Trainer", "Evaluator"],
            Task.BINARY,
            ["trainer_report", "trainer_metrics", "evaluator_report", "evaluator_metrics", "evaluator_classification"],
        ),
    ],
)
def test_a_task_declares_what_its_nodes_will_have(config, nodes, task, names):
    declared = dashboard.declared(nodes, config.model_copy(update={"task": task}))

    assert list(declared) == names
    schemas = {"report": "system.HTML", "metrics": "system.Metrics", "classification": "system.ClassificationMetrics"}
    assert {name: getattr(dsl, kind).schema_title for name, kind in declared.items()} == {
        name: schemas[name.rpartition("_")[2]] for name in names
    }


@pytest.mark.parametrize(
    ("node", "phrases"),
    [
        ("ExampleGen", ["/data/flights-{SPAN}.csv", "200", "2 files, flights-01.csv to flights-02.csv"]),
        ("StatisticsGen", ["train, 200 rows", "distance", "2013-10-01"]),
        ("SchemaGen", ["distance", "at least 50.0 % of rows"]),
        ("ExampleValidator", ["The rows of train and eval match the schema."]),
        ("Transform", ["From 3 columns", "EWR, JFK", "and 38 more"]),
        ("LatestHyperparameters", ["the best hyperparameters of the latest search", "learning_rate", "first"]),
        ("Trainer", ["loss by epoch", "Model card", "1,234"]),
        ("Resolver", ["compared with version 1, the latest blessed model", "first"]),
        ("Evaluator", ["The candidate is blessed.", "also against the baseline", "ROC", "By slice", "JFK"]),
        ("InfraValidator", ["answered 20 requests", "0.7 ms"]),
        ("Pusher", ["Blessed and pushed as version 2", "/models/flights/2", "Lineage", "Model card"]),
    ],
)
def test_each_node_has_a_page(workspace, config, node, phrases):
    complete(workspace)
    html = artifacts_of(config, "second", node).html

    for phrase in [node, "run", "second", "complete", *phrases]:
        assert phrase in html
    page = Page(html)
    assert page.addresses == []  # a link would lead the dashboard's frame away from the page
    assert "script" not in page.tags
    assert len(html) < 200_000


def test_the_page_is_white_in_a_dark_room(workspace, config):
    workspace.run("first", "-1")
    html = artifacts_of(config, "first", "SchemaGen").html

    assert '<html lang="en" class="embedded">' in html
    assert ".embedded { color-scheme: light; --page: #ffffff; }" in html
    dark = html[html.index("prefers-color-scheme: dark") :]
    assert dark[dark.index("{") :].lstrip("{ \n").startswith(":root:not(.embedded)")


def test_the_tuners_page_has_its_trials(workspace, config):
    complete(workspace)
    shown = artifacts_of(config, "first", "Tuner")

    assert "3 trials" in shown.html
    assert "0.5000 with what was found, 0.6000 as configured" in shown.html
    table = shown.html[shown.html.index("<tbody>") :]
    assert table.index("0.5000") < table.index("0.6000")
    assert shown.metrics == {"trials": 3.0, "best_val_loss": 0.5}


def test_a_first_run_has_neither_baseline_nor_hyperparameters(workspace, config):
    workspace.execute("first", "Resolver")
    workspace.execute("first", "LatestHyperparameters")

    assert "no model has been blessed yet" in artifacts_of(config, "first", "Resolver").html
    assert "No search has been run yet" in artifacts_of(config, "first", "LatestHyperparameters").html


def test_a_baseline_need_not_have_been_pushed(workspace, config):
    workspace.run("first", "-1")
    workspace.execute("second", "Resolver", inputs={"model": "model-1"})

    assert f"model {workspace.made['model-1']}, which has not been pushed" in artifacts_of(config, "second", "Resolver").html


def test_a_cached_node_shows_the_same_and_whose_work_it_is(workspace, config):
    workspace.run("first", "-1", version="1")
    outputs = {
        "ExampleGen": {"examples": "examples-1"},
        "StatisticsGen": {"statistics": "statistics-1"},
        "Trainer": {"model": "model-1", "model_run": "model_run-1"},
        "Evaluator": {"blessing": "blessing-1", "evaluation": "evaluation-1"},
        "Pusher": {"pushed_model": "pushed-1"},
    }
    for node, made in outputs.items():
        workspace.execute("second", node, outputs=made, state=mlmd.Execution.CACHED)

    for node in outputs:
        fresh, cached = artifacts_of(config, "first", node), artifacts_of(config, "second", node)
        assert cached.metrics == fresh.metrics
        assert cached.classification == fresh.classification
        assert Page(cached.html).headings == Page(fresh.html).headings
        assert '<span class="pill cached">cached</span>' in cached.html
        assert 'since run <span class="mono">first</span>' in cached.html


def test_what_was_refused_says_why(workspace, config):
    workspace.run("first", "-1", min_auc=0.9)
    evaluator, pusher = artifacts_of(config, "first", "Evaluator"), artifacts_of(config, "first", "Pusher")

    assert "The candidate is not blessed" in evaluator.html
    assert "Not blessed, so not pushed." in pusher.html
    for shown in (evaluator, pusher):
        assert "auc is 0.8, wanted ≥ 0.9." in shown.html
    assert (evaluator.metrics["blessed"], pusher.metrics) == (0.0, {"pushed": 0.0})


def test_a_model_that_cannot_be_served_says_why(workspace, config):
    refused = {"blessed": 0, "message": f"it did not load: {EVIL}"}
    workspace.execute("first", "InfraValidator", outputs={"blessing": "infra"}, properties=refused)
    shown = artifacts_of(config, "first", "InfraValidator")

    assert "it did not load: &lt;script&gt;" in shown.html
    assert shown.metrics == {"can_be_served": 0.0}


def test_anomalies_are_told_and_counted(workspace, config):
    write_anomalies(workspace.folder("ExampleValidator", "anomalies", "found"), {"origin": "JFX is new", "dest": "gone"})
    workspace.execute("first", "ExampleValidator", outputs={"anomalies": "found"})
    shown = artifacts_of(config, "first", "ExampleValidator")

    assert "JFX is new" in shown.html
    assert shown.metrics == {"anomalies": 2.0}


@pytest.mark.parametrize("node", ["Trainer", "Resolver", "LatestHyperparameters", "Pusher"])
@pytest.mark.parametrize(("state", "text"), [(mlmd.Execution.FAILED, "the log says why"), (None, "not run")])
def test_a_node_without_result_has_a_page_all_the_same(workspace, config, node, state, text):
    workspace.execute("first", "ExampleGen", outputs={"examples": "examples"})
    if state is not None:
        workspace.execute("first", node, state=state)
    shown = artifacts_of(config, "first", node)

    assert text in shown.html
    assert Page(shown.html).headings == []
    assert shown.metrics == {}


def test_scalars_are_those_that_runs_are_compared_by(workspace, config):
    complete(workspace)

    assert artifacts_of(config, "second", "ExampleGen").metrics == {
        "rows_train": 200,
        "rows_eval": 100,
        "files_train": 2,
        "files_eval": 1,
        "spans_train": 2,
        "spans_eval": 1,
        "newest_span": 3,
    }
    trainer = artifacts_of(config, "second", "Trainer").metrics
    assert trainer == {
        "train_loss": 0.6,
        "val_loss": 0.5,
        "epochs": 3,
        "best_epoch": 2,
        "training_seconds": 6.0,
        "parameters": 1234,
    }
    evaluator = artifacts_of(config, "second", "Evaluator").metrics
    assert (evaluator["auc"], evaluator["auc_baseline"], evaluator["blessed"]) == (0.8, 0.75, 1)
    assert artifacts_of(config, "second", "InfraValidator").metrics["latency_p99_ms"] == 0.9
    assert artifacts_of(config, "second", "Pusher").metrics == {"pushed": 1, "version": 2}


def test_nodes_of_one_pod_have_pages_scalars_and_states_by_their_names(workspace, config, tmp_path):
    complete(workspace)
    workspace.execute(
        "second", "Trainer", outputs={"model": "model-1", "model_run": "model_run-1"}, state=mlmd.Execution.CACHED
    )
    nodes = ["Trainer", "Evaluator", "Pusher"]
    shown = dashboard.artifacts_of(read_run_details(config, "second"), nodes)
    dashboard.write(shown, executor_input(tmp_path, list(dashboard.declared(nodes, config))))

    output = written(tmp_path)
    titles = {name: metadata_of(output, name)["display_name"] for name in output.artifacts}
    assert titles == {
        "trainer_report": "Trainer: cached",
        "trainer_metrics": "Trainer: cached",
        "evaluator_report": "Evaluator: complete",
        "evaluator_metrics": "Evaluator: complete",
        "evaluator_classification": "Evaluator: complete",
        "pusher_report": "Pusher: complete",
        "pusher_metrics": "Pusher: complete",
    }
    for node, name in zip(nodes, ("trainer", "evaluator", "pusher"), strict=True):
        alone = artifacts_of(config, "second", node)
        assert shown[f"{name}_"] == alone
        assert (tmp_path / "outputs" / f"{name}_report").read_text(encoding="utf-8") == alone.html
        assert metadata_of(output, f"{name}_metrics").items() >= alone.metrics.items()


def test_the_curve_and_the_matrix_are_as_kfp_itself_would_log_them(workspace, config):
    workspace.run("first", "-1")
    of_kfp = dsl.ClassificationMetrics()
    of_kfp.log_roc_curve(fpr=[0.0, 10 / 60, 1.0], tpr=[0.0, 0.75, 1.0], threshold=[1.0, 0.5, 0.0])
    of_kfp.log_confusion_matrix(["0", "1"], [[50, 10], [10, 30]])

    assert artifacts_of(config, "first", "Evaluator").classification == of_kfp.metadata


@pytest.mark.parametrize(("num_classes", "shown"), [(3, True), (20, True), (21, False)])
def test_a_matrix_of_classes_is_shown_as_long_as_it_can_be_read(workspace, config, num_classes, shown):
    counts = [[7 if actual == predicted else 1 for predicted in range(num_classes)] for actual in range(num_classes)]
    write_multiclass_evaluation(workspace.folder("Evaluator", "evaluation", "evaluation"), counts)
    write_model(workspace.folder("Trainer", "model", "model"), classes=[f"class {index}" for index in range(num_classes)])
    workspace.execute("first", "Trainer", outputs={"model": "model"})
    workspace.execute("first", "Evaluator", outputs={"evaluation": "evaluation"})
    classification = artifacts_of(config, "first", "Evaluator").classification

    assert "confidenceMetrics" not in classification
    assert ("confusionMatrix" in classification) is shown
    if shown:
        matrix = classification["confusionMatrix"]
        assert [spec["displayName"] for spec in matrix["annotationSpecs"]][:2] == ["class 0", "class 1"]
        assert [row["row"] for row in matrix["rows"]] == counts


def test_a_fine_curve_is_thinned_without_losing_its_form():
    points = [(1 - step / 10_000, step / 10_000, (step / 10_000) ** 0.5) for step in range(10_001)]
    thinned = dashboard.thinned(points)

    assert len(thinned) <= 202
    assert (thinned[0], thinned[-1]) == (points[0], points[-1])
    for (_, x1, y1), (_, x2, y2) in itertools.pairwise(thinned):
        assert 0 < (x2 - x1) + (y2 - y1) < 0.021


def test_what_is_written_is_what_kfp_reads(workspace, config, tmp_path):
    complete(workspace)
    shown = artifacts_of(config, "second", "Evaluator")
    names = list(dashboard.declared(["Evaluator"], config))
    dashboard.write({"": shown}, executor_input(tmp_path, [*names, "executor-logs"]))

    output = written(tmp_path)
    assert set(output.artifacts) == set(names)
    title = {"display_name": "Evaluator: complete"}
    assert metadata_of(output, "report") == title
    assert metadata_of(output, "metrics") == {**title, **shown.metrics}
    assert metadata_of(output, "classification") == {**title, **shown.classification}
    assert (tmp_path / "outputs" / "report").read_text(encoding="utf-8") == shown.html
    assert output.artifacts["report"].artifacts[0].uri == str(tmp_path / "outputs" / "report")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_metric_without_a_value_is_left_out(workspace, config, tmp_path, value):
    epochs = [{"epoch": 1, "loss": 0.5, "auc": value}]
    folder = workspace.folder("Trainer", "model_run", "model_run")
    folder.mkdir(parents=True)
    (folder / "history.json").write_text(json.dumps(epochs))
    workspace.execute("first", "Trainer", outputs={"model_run": "model_run"})
    shown = artifacts_of(config, "first", "Trainer")
    dashboard.write({"": shown}, executor_input(tmp_path, ["report", "metrics"]))

    assert metadata_of(written(tmp_path), "metrics") == {
        "display_name": "Trainer: complete",
        "train_loss": 0.5,
        "epochs": 1.0,
        "best_epoch": 1.0,
        "training_seconds": 0.0,
    }


@pytest.mark.parametrize("given", [{}, {"inputs": {}}, {"outputs": {}}, {"outputs": {"artifacts": {"report": {}}}}])
def test_a_task_run_by_hand_writes_nothing(given, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    dashboard.write({"": dashboard.Dashboard("", "<p>")}, given)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("artifact", "path"),
    [
        ({"uri": "minio://mlpipeline/v2/artifacts/a/report"}, "/minio/mlpipeline/v2/artifacts/a/report"),
        ({"uri": "s3://bucket/a/report"}, "/s3/bucket/a/report"),
        ({"uri": "gs://bucket/a/report"}, "/gcs/bucket/a/report"),
        ({"uri": "/tmp/outputs/report"}, "/tmp/outputs/report"),
        ({"uri": "minio://mlpipeline/a/report", "customPath": "/elsewhere/report"}, "/elsewhere/report"),
    ],
)
def test_files_are_put_where_the_launcher_looks_for_them(artifact, path):
    assert dashboard.local_path(artifact) == Path(path)


def test_the_report_of_a_run_suits_the_dashboards_frame(workspace, config):
    workspace.run("first", "-1", version="1")
    RunOutcome(run_id="first", pipeline="flights", state=RunState.COMPLETE, ended=2.0).save(config.runs_path / "first")
    html = dashboard.artifacts_of_run(read_run_details(config, "first"))[""].html

    assert "Blessed and pushed as version 1" in html
    assert Page(html).addresses == []


def test_a_pod_needs_neither_tensorflow_nor_kfp_for_it(workspace, config, tmp_path):
    workspace.run("first", "-1", version="1")
    given = executor_input(tmp_path, ["evaluator_report", "evaluator_metrics"])
    program = f"""
import sys
from pipeline.config import PipelineConfig
from pipeline.kubeflow.pod import dashboard
from pipeline.report import read_run_details
config = PipelineConfig.model_validate({config.effective()!r})
dashboard.write(dashboard.artifacts_of(read_run_details(config, "first"), ["Trainer", "Evaluator"]), {given!r})
print([name for name in ("tensorflow", "tfx", "apache_beam", "kfp", "kubernetes") if name in sys.modules])
"""
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
    assert metadata_of(written(tmp_path), "evaluator_metrics")["auc"] == 0.8
