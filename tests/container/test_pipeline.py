"""A compiled package, run as Kubeflow does, each task in a container of the task image."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.config.loading import load_config
from pipeline.datasets import flights
from pipeline.kubeflow.compile import compile_package
from pipeline.runs import database
from pipeline.runs.metadata import open_store
from pipeline.runs.status import NodeState, RunOutcome, RunState
from tests.container.conftest import CONFIG, BuiltImage
from tests.container.runner import DockerRunner
from tests.walker import Package, Run, State, walk

USER = 1000
SPANS = range(201301, 201305)
ROWS_PER_SPAN = 1500
# A sample this small and one epoch make a poor model, so the bar is low: this test judges the image, not the model.
OVERRIDES = (
    "data.split.eval_spans=1",
    "training.epochs=1",
    "evaluation.thresholds.auc.min=0.0",
    "infra_validator.requests=20",
    "kubeflow.retry.attempts=0",
)


@pytest.fixture(scope="module")
def volume(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is mounted at /conveyor: the data, and room for the rest."""
    volume = tmp_path_factory.mktemp("volume")
    rows = flights.read_flights()
    for span in SPANS:
        sample = rows[rows["span"] == span].sample(ROWS_PER_SPAN, random_state=0).sort_index()
        table = pa.Table.from_pandas(sample, schema=flights.SCHEMA, preserve_index=False).replace_schema_metadata()
        path = volume / "data" / "flights" / f"span-{span}" / "flights.parquet"
        path.parent.mkdir(parents=True)
        pq.write_table(table, path)
    # Nothing else is the pods' to write to.
    volume.chmod(0o777)
    return volume


@pytest.fixture(scope="module")
def run(image: BuiltImage, volume: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    package = Package.parse(compile_package(load_config(CONFIG, (f"kubeflow.image={image.name}", *OVERRIDES))))
    return walk(
        package,
        tmp_path_factory.mktemp("pods"),
        parameters={"run_note": "in containers"},
        # A database server would need a network. SQLite does for a run on one machine.
        secrets={"conveyor-metadata": {"url": "sqlite:///conveyor/metadata.sqlite"}},
        volumes={"conveyor": volume},
        run_pod=DockerRunner(),
    )


def test_every_task_succeeds(run: Run) -> None:
    assert run.state is State.SUCCEEDED, run.describe()


def test_the_metadata_store_has_every_node_as_complete(run: Run, volume: Path) -> None:
    with open_store(database.sqlite(volume / "metadata.sqlite"), "flights") as store:
        executions = store.run(run.id).executions
    assert {"ExampleGen", "Trainer", "Evaluator", "InfraValidator", "Pusher"} < set(executions)
    assert {execution.state for execution in executions.values()} == {NodeState.COMPLETE}


def test_the_exit_task_tells_the_outcome(run: Run, volume: Path) -> None:
    folder = volume / "runs" / "flights" / run.id
    outcome = RunOutcome.load(folder)
    assert outcome.state is RunState.COMPLETE
    assert {node.state for node in outcome.nodes.values()} == {NodeState.COMPLETE}
    assert (folder / "report.html").stat().st_size > 10_000


def test_the_model_is_pushed_by_the_user_of_the_cluster(run: Run, volume: Path) -> None:
    (version,) = (volume / "models" / "flights").glob("[0-9]*")
    model = version / "saved_model.pb"
    assert model.stat().st_uid == USER


def test_the_dashboard_has_something_to_show(run: Run) -> None:
    shown = {name: task.artifacts for name, task in run.tasks.items()}
    pages = [artifact.file for artifacts in shown.values() for artifact in artifacts.values() if artifact.type == "system.HTML"]
    assert pages
    assert all(page is not None and page.stat().st_size > 500 for page in pages)
