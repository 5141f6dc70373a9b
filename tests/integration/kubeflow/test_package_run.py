"""The flights example as a compiled package, each task a process: from data to pushed versions.

Fixtures start the runs, one after another; tests read what a run left behind, in any order.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa
import pytest

from pipeline.kubeflow.pod.names import component_name
from pipeline.runs.status import RunState
from tests.fakes.mlflow_server import MlflowServer
from tests.integration.conftest import Project
from tests.integration.kubeflow.conftest import ENVIRONMENT, Cluster, Webhook, new_cluster
from tests.walker import Package, Pod, ProcessRunner, Run, State

NODES = (
    "ExampleGen",
    "StatisticsGen",
    "SchemaGen",
    "ExampleValidator",
    "Transform",
    "LatestHyperparameters",
    "Trainer",
    "Resolver",
    "Evaluator",
    "InfraValidator",
    "Pusher",
)
# The task that runs them all.
TASK = "example-gen-to-pusher"
NEWEST = 201304
WITH_TENSORFLOW = "starting again with TensorFlow"


@pytest.fixture(scope="module")
def cluster(
    tmp_path_factory: pytest.TempPathFactory, sample: Mapping[int, pa.Table], metadata: str, webhook: Webhook
) -> Cluster:
    return new_cluster(tmp_path_factory.mktemp("volume"), sample, metadata, webhook.url)


@pytest.fixture(scope="module")
def mlflow() -> Iterator[MlflowServer]:
    with MlflowServer().serving() as server:
        yield server


@pytest.fixture(scope="module")
def package(cluster: Cluster, mlflow: MlflowServer) -> Package:
    return cluster.compile(f"tracking.mlflow.uri={mlflow.uri}")


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


@pytest.fixture(scope="module")
def unchanged(cluster: Cluster, package: Package, second: Run) -> Run:
    """A run for which nothing has changed."""
    return cluster.walk(package, {"span": NEWEST})


def metrics(run: Run, node: str) -> dict[str, Any]:
    """The figures of a node that the dashboard has."""
    found = run.tasks[TASK].artifacts[f"{node}_metrics"].metadata
    return {name: value for name, value in found.items() if name != "display_name"}


def page(run: Run, node: str) -> str:
    """The page of a node that the dashboard has."""
    report = run.tasks[TASK].artifacts[f"{node}_report"]
    assert report.type == "system.HTML"
    assert report.file is not None
    return report.file.read_text()


def titles(run: Run) -> dict[str, str]:
    """What the dashboard calls the pages: by node, its state."""
    artifacts = run.tasks[TASK].artifacts
    names = [artifact.metadata["display_name"] for name, artifact in artifacts.items() if name.endswith("_report")]
    return dict(name.split(": ") for name in names)


def test_every_node_is_complete_in_the_metadata_store(cluster: Cluster, first: Run) -> None:
    assert first.state is State.SUCCEEDED, first.describe()
    assert first.states() == {TASK: State.SUCCEEDED, "finish": State.SUCCEEDED}
    recorded = cluster.recorded(first).executions
    assert {node: execution.state.value for node, execution in recorded.items()} == dict.fromkeys(NODES, "complete")


def test_the_tracking_server_knows_the_run_and_its_model(first: Run, mlflow: MlflowServer) -> None:
    sent = mlflow.run(first.id)
    assert sent["info"]["status"] == "FINISHED"
    assert sent["tags"]["mlflow.note.content"] == "the first"
    assert 0.5 < mlflow.metrics(first.id)["auc"][0][1] < 1
    assert mlflow.models["flights"][0]["tags"]["conveyor.run_id"] == first.id
    root = sent["info"]["artifact_uri"].removeprefix("mlflow-artifacts:/")
    assert {f"{root}/report.html", f"{root}/model/MLmodel", f"{root}/model/saved_model/saved_model.pb"} <= mlflow.files.keys()


def test_the_pushed_model_answers(cluster: Cluster, first: Run) -> None:
    assert cluster.versions[0] == "1"
    assert 0 < cluster.score("1") < 1


def test_the_dashboard_has_page_state_and_figures_of_each_node_by_its_name(first: Run) -> None:
    assert titles(first) == dict.fromkeys(NODES, "complete")
    for node in map(component_name, NODES):
        assert page(first, node).lstrip().lower().startswith("<!doctype html>")
    assert metrics(first, "example_gen")["newest_span"] == NEWEST
    assert metrics(first, "pusher")["version"] == 1
    assert all(isinstance(value, (int, float)) for value in metrics(first, "trainer").values())
    evaluation = first.tasks[TASK].artifacts["evaluator_classification"]
    assert evaluation.type == "system.ClassificationMetrics"
    assert evaluation.metadata["confidenceMetrics"]
    assert len(evaluation.metadata["confusionMatrix"]["rows"]) == 2


def test_the_exit_task_writes_the_outcome_and_tells_it(cluster: Cluster, webhook: Webhook, first: Run) -> None:
    outcome = cluster.outcome(first)
    assert (outcome.state, outcome.note) == (RunState.COMPLETE, "the first")
    assert cluster.node_states(first) == dict.fromkeys(NODES, "complete")
    report = cluster.folder / "runs" / "flights" / first.id / "report.html"
    assert report.read_text().startswith("<!doctype html>")
    (message,) = (message for message in webhook.messages if message["run_id"] == first.id)
    assert (message["state"], message["nodes"]["Pusher"]) == ("complete", "complete")


def test_the_metrics_are_those_of_a_run_on_the_laptop(project: Project, first: Run) -> None:
    done = project.run()
    assert done.returncode == 0, done.stdout + done.stderr
    overall = json.loads(project.inspect("show", "latest", "--json"))["slices"][0]["metrics"]
    laptop = {name: candidate for name, (candidate, baseline) in overall.items() if candidate is not None}
    cluster = metrics(first, "evaluator")
    assert {name: cluster[name] for name in laptop} == pytest.approx(laptop, rel=1e-6, abs=1e-6)
    assert "auc" in laptop


def test_data_that_break_the_schema_fail_the_pod_with_the_error_of_the_validator(cluster: Cluster, broken: Run) -> None:
    assert broken.state is State.FAILED
    task = broken.tasks[TASK]
    assert (task.state, task.exit_code) == (State.FAILED, 3), broken.describe()
    assert "origin" in task.attempts[0].log.split("Data error:")[1]
    assert "LAX" in task.attempts[0].log
    assert "ExampleValidator: not tried again" in task.log
    # Of a failed task nothing is kept but its log.
    assert list(task.artifacts) == ["executor-logs"]
    assert cluster.node_states(broken) == {
        **dict.fromkeys(NODES, "blocked"),
        **dict.fromkeys(("ExampleGen", "StatisticsGen", "Resolver", "LatestHyperparameters"), "complete"),
        "SchemaGen": "cached",
        "ExampleValidator": "failed",
    }
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
    assert {node for node in NODES if states[node] == "complete"} <= {
        "Evaluator",
        "Pusher",
        "Resolver",
        "LatestHyperparameters",
    }
    assert (states["Trainer"], states["Evaluator"]) == ("cached", "complete")
    assert "auc_baseline" in metrics(second, "evaluator")
    # Not before the first node with work to do.
    assert f"Evaluator: {WITH_TENSORFLOW}" in second.tasks[TASK].log


def test_the_dashboard_shows_what_was_taken_from_the_cache_too(first: Run, second: Run) -> None:
    for name, figure in (("example_gen", "<table"), ("statistics_gen", "<table"), ("trainer", "<svg")):
        assert metrics(second, name) == metrics(first, name)
        assert figure in page(second, name)
    assert titles(second)["Trainer"] == "cached"


def test_a_run_for_which_nothing_has_changed_does_without_tensorflow(cluster: Cluster, second: Run, unchanged: Run) -> None:
    assert unchanged.state is State.SUCCEEDED, unchanged.describe()
    states = cluster.node_states(unchanged)
    assert {node for node in NODES if states[node] != "cached"} == {"Resolver", "LatestHyperparameters"}
    assert WITH_TENSORFLOW not in unchanged.tasks[TASK].log
    assert metrics(unchanged, "evaluator") == metrics(second, "evaluator")


@pytest.fixture(scope="module")
def retried(
    cluster: Cluster, package: Package, unchanged: Run, sample: Mapping[int, pa.Table]
) -> tuple[Run, list[Pod], list[str]]:
    """A run with a new month and other parameters, killed in the middle of the training; and what had been pushed before."""
    cluster.write_span(NEWEST + 1, sample[NEWEST + 1])
    models = cluster.folder / "artifacts" / "flights" / "Trainer" / "model"
    before = set(models.iterdir())
    killed: list[Pod] = []

    def kill_training(pod: Pod, process: subprocess.Popen[bytes]) -> None:
        if killed or not pod.name.endswith(f"-{TASK}-0"):
            return
        deadline = time.monotonic() + 300
        while set(models.iterdir()) == before and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        killed.append(pod)
        process.kill()

    versions = cluster.versions
    parameters = {"steps_per_epoch": 1, "push_destination": str(cluster.folder / "elsewhere")}
    return cluster.walk(package, parameters, ProcessRunner(ENVIRONMENT, kill_training)), killed, versions


def test_a_pod_killed_in_the_middle_repeats_only_what_was_not_done(
    cluster: Cluster, retried: tuple[Run, list[Pod], list[str]]
) -> None:
    run, killed, _ = retried
    assert len(killed) == 1
    assert run.state is State.SUCCEEDED, run.describe()
    first, second = run.tasks[TASK].attempts
    assert (first.exit_code, second.exit_code) == (137, 0)
    (execution,) = cluster.executions(run, "Trainer")
    assert execution.last_known_state == execution.COMPLETE
    assert len(cluster.executions(run, "ExampleGen")) == 1
    # What had been done is known to be, in a process without TensorFlow.
    assert f"ExampleGen: {WITH_TENSORFLOW}" in first.log
    assert f"Trainer: {WITH_TENSORFLOW}" in second.log
    assert cluster.node_states(run)["Trainer"] == "complete"


def test_a_new_month_on_the_volume_is_picked_up(retried: tuple[Run, list[Pod], list[str]]) -> None:
    assert metrics(retried[0], "example_gen")["newest_span"] == NEWEST + 1


def test_parameters_of_a_run_do_what_they_say(cluster: Cluster, retried: tuple[Run, list[Pod], list[str]]) -> None:
    run, _, versions = retried
    assert [path.name for path in (cluster.folder / "elsewhere").glob("[0-9]*")] != []
    assert cluster.versions == versions
    trainer = cluster.recorded(run).executions["Trainer"]
    assert json.loads(trainer.properties["custom_config"])["training"]["steps_per_epoch"] == 1


def test_a_pod_a_node_gives_the_same_result(
    tmp_path_factory: pytest.TempPathFactory, sample: Mapping[int, pa.Table], first: Run
) -> None:
    cluster = new_cluster(tmp_path_factory.mktemp("volume"), sample)
    run = cluster.walk(cluster.compile("kubeflow.groups=null"))

    assert run.state is State.SUCCEEDED, run.describe()
    assert len(run.tasks) == len(NODES) + 1
    assert cluster.node_states(run) == dict.fromkeys(NODES, "complete")
    apart = run.tasks["evaluator"].artifacts["metrics"].metadata
    together = metrics(first, "evaluator")
    assert {name: apart[name] for name in ("auc", "accuracy", "loss")} == pytest.approx(
        {name: together[name] for name in ("auc", "accuracy", "loss")}, rel=1e-6
    )
