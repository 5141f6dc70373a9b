"""The flights example as a compiled package, each task a process: from data to pushed versions.

Fixtures start the runs, one after another; tests read what a run left behind, in any order.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Mapping

import pyarrow as pa
import pytest

from pipeline.runs.status import RunState
from tests.integration.conftest import Project
from tests.integration.kubeflow.conftest import ENVIRONMENT, Cluster, Webhook, new_cluster
from tests.walker import Package, Pod, ProcessRunner, Run, State

TASKS = {
    "ExampleGen": "example-gen",
    "StatisticsGen": "statistics-gen",
    "SchemaGen": "schema-gen",
    "ExampleValidator": "example-validator",
    "Transform": "transform",
    "LatestHyperparameters": "latest-hyperparameters",
    "Trainer": "trainer",
    "Resolver": "resolver",
    "Evaluator": "evaluator",
    "InfraValidator": "infra-validator",
    "Pusher": "pusher",
}
NEWEST = 201304
GROUPS = (
    "kubeflow.groups.Data=[ExampleGen,StatisticsGen,SchemaGen,ExampleValidator,Transform]",
    "kubeflow.groups.Model=[LatestHyperparameters,Trainer]",
    "kubeflow.groups.Check=[Resolver,Evaluator,InfraValidator,Pusher]",
)


@pytest.fixture(scope="module")
def cluster(
    tmp_path_factory: pytest.TempPathFactory, sample: Mapping[int, pa.Table], metadata: str, webhook: Webhook
) -> Cluster:
    return new_cluster(tmp_path_factory.mktemp("volume"), sample, metadata, webhook.url)


@pytest.fixture(scope="module")
def package(cluster: Cluster) -> Package:
    return cluster.compile()


@pytest.fixture(scope="module")
def first(cluster: Cluster, package: Package) -> Run:
    return cluster.walk(package, {"run_note": "the first", "span": NEWEST})


@pytest.fixture(scope="module")
def broken(cluster: Cluster, package: Package, first: Run, sample: Mapping[int, pa.Table]) -> Run:
    """A run after a month arrived with an airport that is not New York's."""
    month = sample[NEWEST + 1]
    airports = pa.array(["LAX"] * month.num_rows)
    cluster.write_span(NEWEST + 1, month.set_column(month.column_names.index("origin"), "origin", airports))
    return cluster.walk(package)


@pytest.fixture(scope="module")
def second(cluster: Cluster, package: Package, broken: Run) -> Run:
    """A run that is told to leave the broken month alone."""
    return cluster.walk(package, {"span": NEWEST})


def test_every_node_is_complete_in_the_metadata_store(cluster: Cluster, first: Run) -> None:
    assert first.state is State.SUCCEEDED, first.describe()
    assert set(first.tasks) == {*TASKS.values(), "finish"}
    assert {name: task.state for name, task in first.tasks.items() if task.state is not State.SUCCEEDED} == {}
    recorded = cluster.recorded(first).executions
    assert {node: execution.state.value for node, execution in recorded.items()} == dict.fromkeys(TASKS, "complete")


def test_the_pushed_model_answers(cluster: Cluster, first: Run) -> None:
    assert cluster.versions[0] == "1"
    assert 0 < cluster.score("1") < 1


def test_the_dashboard_has_a_page_of_every_node_and_figures_of_most(first: Run) -> None:
    for task in first.tasks.values():
        page = task.artifacts["report"]
        assert page.type == "system.HTML"
        assert page.file is not None
        assert page.file.read_text().lstrip().lower().startswith("<!doctype html>")
    figures = {name: task.artifacts["metrics"].metadata for name, task in first.tasks.items() if "metrics" in task.artifacts}
    assert all(isinstance(value, (int, float)) for metrics in figures.values() for value in metrics.values())
    assert figures["example-gen"]["newest_span"] == NEWEST
    assert figures["pusher"]["version"] == 1
    evaluation = first.tasks["evaluator"].artifacts["classification"]
    assert evaluation.type == "system.ClassificationMetrics"
    assert evaluation.metadata["confidenceMetrics"]
    assert len(evaluation.metadata["confusionMatrix"]["rows"]) == 2


def test_the_exit_task_writes_the_outcome_and_tells_it(cluster: Cluster, webhook: Webhook, first: Run) -> None:
    outcome = cluster.outcome(first)
    assert (outcome.state, outcome.note) == (RunState.COMPLETE, "the first")
    assert cluster.node_states(first) == dict.fromkeys(TASKS, "complete")
    report = cluster.folder / "runs" / "flights" / first.id / "report.html"
    assert report.read_text().startswith("<!doctype html>")
    (message,) = (message for message in webhook.messages if message["run_id"] == first.id)
    assert (message["state"], message["nodes"]["Pusher"]) == ("complete", "complete")


def test_the_metrics_are_those_of_a_run_on_the_laptop(project: Project, first: Run) -> None:
    done = project.run()
    assert done.returncode == 0, done.stdout + done.stderr
    overall = json.loads(project.inspect("show", "latest", "--json"))["slices"][0]["metrics"]
    laptop = {name: candidate for name, (candidate, baseline) in overall.items() if candidate is not None}
    cluster = first.tasks["evaluator"].artifacts["metrics"].metadata
    assert {name: cluster[name] for name in laptop} == pytest.approx(laptop, rel=1e-6, abs=1e-6)
    assert "auc" in laptop


def test_data_that_break_the_schema_fail_the_validator_and_block_the_push(cluster: Cluster, broken: Run) -> None:
    assert broken.state is State.FAILED
    validator = broken.tasks["example-validator"]
    assert (validator.state, validator.exit_code) == (State.FAILED, 3), broken.describe()
    # Of a failed task nothing is kept but its log.
    assert list(validator.artifacts) == ["executor-logs"]
    assert "origin" in validator.log
    assert "LAX" in validator.log
    assert {broken.tasks[task].state for task in ("transform", "trainer", "evaluator", "pusher")} == {State.OMITTED}
    assert cluster.versions[0] == "1"


def test_the_exit_task_tells_of_the_failure(cluster: Cluster, webhook: Webhook, broken: Run) -> None:
    assert broken.tasks["finish"].state is State.SUCCEEDED, broken.describe()
    outcome = cluster.outcome(broken)
    assert outcome.state is RunState.FAILED
    assert outcome.problem is not None
    assert outcome.problem.exit_code == 3
    assert (outcome.nodes["ExampleValidator"].state, outcome.nodes["Pusher"].state) == ("failed", "blocked")
    (message,) = (message for message in webhook.messages if message["run_id"] == broken.id)
    assert (message["state"], message["failed"]) == ("failed", ["ExampleValidator"])


def test_the_next_run_has_the_first_model_as_baseline_and_repeats_no_work(cluster: Cluster, first: Run, second: Run) -> None:
    assert second.state is State.SUCCEEDED, second.describe()
    model = cluster.recorded(first).output("Trainer", "model")
    baseline = cluster.recorded(second).input("Evaluator", "baseline_model")
    assert model is not None
    assert baseline is not None
    assert baseline.id == model.id
    states = cluster.node_states(second)
    assert {node for node in TASKS if states[node] == "complete"} <= {
        "Evaluator",
        "Pusher",
        "Resolver",
        "LatestHyperparameters",
    }
    assert (states["Trainer"], states["Evaluator"]) == ("cached", "complete")
    assert "auc_baseline" in second.tasks["evaluator"].artifacts["metrics"].metadata


def test_the_dashboard_shows_what_was_taken_from_the_cache_too(first: Run, second: Run) -> None:
    for name, figure in (("example-gen", "<table"), ("statistics-gen", "<table"), ("trainer", "<svg")):
        assert second.tasks[name].artifacts["metrics"].metadata == first.tasks[name].artifacts["metrics"].metadata
        page = second.tasks[name].artifacts["report"].file
        assert page is not None
        assert figure in page.read_text()


@pytest.fixture(scope="module")
def grouping_cluster(tmp_path_factory: pytest.TempPathFactory, sample: Mapping[int, pa.Table]) -> Cluster:
    return new_cluster(tmp_path_factory.mktemp("volume"), sample)


@pytest.fixture(scope="module")
def grouped(grouping_cluster: Cluster) -> Package:
    return grouping_cluster.compile(*GROUPS)


@pytest.fixture(scope="module")
def grouped_run(grouping_cluster: Cluster, grouped: Package) -> Run:
    return grouping_cluster.walk(grouped)


def test_nodes_that_share_a_pod_give_the_same_result(grouping_cluster: Cluster, first: Run, grouped_run: Run) -> None:
    assert grouped_run.state is State.SUCCEEDED, grouped_run.describe()
    assert set(grouped_run.tasks) == {"data", "model", "check", "finish"}
    assert grouping_cluster.node_states(grouped_run) == dict.fromkeys(TASKS, "complete")
    expected = first.tasks["evaluator"].artifacts["metrics"].metadata
    found = grouped_run.tasks["check"].artifacts["metrics"].metadata
    assert {name: found[name] for name in ("auc", "accuracy", "loss")} == pytest.approx(
        {name: expected[name] for name in ("auc", "accuracy", "loss")}, rel=1e-6
    )


@pytest.fixture(scope="module")
def retried(
    grouping_cluster: Cluster, grouped: Package, grouped_run: Run, sample: Mapping[int, pa.Table]
) -> tuple[Run, list[Pod]]:
    """A run with a new month and other parameters, whose pod is killed in the middle of the training."""
    grouping_cluster.write_span(NEWEST + 1, sample[NEWEST + 1])
    models = grouping_cluster.folder / "artifacts" / "flights" / "Trainer" / "model"
    before = set(models.iterdir())
    killed: list[Pod] = []

    def kill_training(pod: Pod, process: subprocess.Popen[bytes]) -> None:
        if killed or not pod.name.endswith("-model-0"):
            return
        deadline = time.monotonic() + 120
        while set(models.iterdir()) == before and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        killed.append(pod)
        process.kill()

    parameters = {"steps_per_epoch": 1, "push_destination": str(grouping_cluster.folder / "elsewhere")}
    return grouping_cluster.walk(grouped, parameters, ProcessRunner(ENVIRONMENT, kill_training)), killed


def test_a_killed_pod_is_tried_again_and_goes_on_with_its_execution(
    grouping_cluster: Cluster, retried: tuple[Run, list[Pod]]
) -> None:
    run, killed = retried
    assert len(killed) == 1
    assert run.state is State.SUCCEEDED, run.describe()
    assert [attempt.exit_code for attempt in run.tasks["model"].attempts] == [137, 0]
    (execution,) = grouping_cluster.executions(run, "Trainer")
    assert execution.last_known_state == execution.COMPLETE
    assert grouping_cluster.node_states(run)["Trainer"] == "complete"


def test_a_new_month_on_the_volume_is_picked_up(retried: tuple[Run, list[Pod]]) -> None:
    run, _ = retried
    assert run.tasks["data"].artifacts["metrics"].metadata["newest_span"] == NEWEST + 1


def test_parameters_of_a_run_do_what_they_say(grouping_cluster: Cluster, retried: tuple[Run, list[Pod]]) -> None:
    run, _ = retried
    assert [path.name for path in (grouping_cluster.folder / "elsewhere").glob("[0-9]*")] != []
    assert grouping_cluster.versions == ["1"]
    trainer = grouping_cluster.recorded(run).executions["Trainer"]
    assert json.loads(trainer.properties["custom_config"])["training"]["steps_per_epoch"] == 1
