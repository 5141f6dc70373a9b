"""Stored artifacts are what their nodes have made: nodes with the real launcher, driver, cache and metadata store."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tensorflow_metadata.proto.v0.statistics_pb2 import DatasetFeatureStatisticsList
from tfx.dsl.compiler.compiler import Compiler
from tfx.dsl.components.base.base_node import BaseNode
from tfx.orchestration import metadata
from tfx.orchestration.pipeline import Pipeline
from tfx.proto.orchestration import pipeline_pb2

from components.example_gen.component import ArrowExampleGen
from components.pusher import component
from components.pusher.component import AtomicPusher
from components.pusher.push_record import PushRecord
from components.pusher.serving_folder import add_version, versions
from components.statistics_gen.component import ArrowStatisticsGen
from pipeline.config import Split
from pipeline.errors import StorageError
from pipeline.runs import database, execute
from pipeline.runs.metadata import open_store
from pipeline.runs.verification import DamagedInputError, verify
from pipeline.util.manifests import Manifest, Thoroughness, path_of
from pipeline.util.notes import take_notes
from tests.unit.runs import tiny_trainer

pytestmark = pytest.mark.integration

NODES = ("ArrowExampleGen", "ArrowStatisticsGen")
ROWS = 20


class Workspace:
    """A workspace with a pipeline of two nodes, ExampleGen and StatisticsGen, over three spans of 20 rows."""

    def __init__(self, root: Path) -> None:
        self.root, self.runs = root, 0
        self.store = root / "metadata.sqlite"
        for span in range(1, 5):
            rows = [f"{span * 100 + row},{row / 7}" for row in range(ROWS)]
            (root / f"{span}.csv").write_text("\n".join(["id,value", *rows, ""]))

    def run(self, newest: int = 3, train: int = 2, nodes: tuple[str, ...] = NODES, verify: Thoroughness = "whole") -> list[str]:
        """Runs the pipeline; returns the states of its nodes."""
        examples = ArrowExampleGen(
            str(self.root / "{SPAN}.csv"), split=Split(method="window", train_spans=train, eval_spans=1), newest_span=newest
        )
        statistics = ArrowStatisticsGen(examples=examples.outputs["examples"])
        return self._run([examples, statistics], nodes, verify)

    def push(self) -> list[str]:
        """Runs a pipeline that makes a model and pushes it; returns the states of its nodes."""
        trained = tiny_trainer.train().with_id("Trainer")
        pushed = AtomicPusher(model=trained.outputs["model"], destination=str(self.root / "models")).with_id("Pusher")
        return self._run([trained, pushed], ("Trainer", "Pusher"))

    @property
    def pushed(self) -> dict[str, str]:
        """The runs that pushed the versions that the store knows."""
        with open_store(database.sqlite(self.store), "stored") as store:
            return {version: ", ".join(store.lineage(push).runs) for version, push in store.pushed_versions().items()}

    def _run(self, components: list[BaseNode], nodes: tuple[str, ...], verify: Thoroughness = "whole") -> list[str]:
        pipeline = Pipeline(
            pipeline_name="stored",
            pipeline_root=str(self.root / "artifacts"),
            components=components,
            enable_cache=True,
            metadata_connection_config=metadata.sqlite_metadata_connection_config(str(self.store)),
        )
        self.runs += 1
        ir: pipeline_pb2.Pipeline = Compiler().compile(pipeline)
        execute.bind(ir, f"run-{self.runs}")
        return [execute.run(ir, node, verify=verify).state.value for node in nodes]

    def folders(self, node: str = NODES[0], key: str = "examples") -> list[str]:
        """The folders of an output, oldest first."""
        found = [path for path in (self.root / "artifacts" / node / key).iterdir() if path.is_dir()]
        return [path.name for path in sorted(found, key=lambda path: path.stat().st_mtime_ns)]

    def examples(self, name: str) -> Path:
        return self.root / "artifacts" / NODES[0] / "examples" / name

    def counted(self) -> int:
        """The rows that the newest statistics of the training split are of."""
        newest = self.folders(NODES[1], "statistics")[-1]
        path = self.root / "artifacts" / NODES[1] / "statistics" / newest / "Split-train" / "FeatureStats.pb"
        return DatasetFeatureStatisticsList.FromString(path.read_bytes()).datasets[0].num_examples

    def contents(self) -> dict[str, bytes]:
        files = (path for path in (self.root / "artifacts").rglob("*") if path.is_file())
        return {str(path): path.read_bytes() for path in files}


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    take_notes()
    yield Workspace(tmp_path)
    take_notes()


def test_a_new_store_goes_on_beside_the_artifacts_of_the_old_one(workspace: Workspace) -> None:
    workspace.run(newest=3, train=2)
    before = workspace.contents()
    workspace.store.rename(workspace.store.with_suffix(".old"))

    assert workspace.run(newest=4, train=1) == ["complete"] * 2

    # Not those of spans 1 and 2 besides, nor span 4, which is there to evaluate on.
    assert workspace.counted() == ROWS
    assert before.items() <= workspace.contents().items()
    assert workspace.folders() == ["1", "1-2"]
    told = take_notes()[0]
    assert str(workspace.examples("1")) in told
    assert "this run writes beside it" in told

    assert workspace.run(newest=4, train=1) == ["cached"] * 2
    assert take_notes() == []


def test_an_older_store_goes_on_beside_newer_artifacts(workspace: Workspace) -> None:
    workspace.run(newest=3, train=1)
    shutil.copy(workspace.store, workspace.store.with_suffix(".copy"))
    workspace.run(newest=3, train=2)
    before = workspace.contents()
    workspace.store.with_suffix(".copy").replace(workspace.store)

    workspace.run(newest=4, train=1)

    assert workspace.counted() == ROWS
    assert before.items() <= workspace.contents().items()
    assert workspace.folders() == ["1", "3", "3-2"]
    assert str(workspace.examples("3")) in take_notes()[0]


def test_what_an_attempt_that_was_killed_has_left_is_not_read(workspace: Workspace) -> None:
    left = workspace.examples("1") / "Split-train"
    left.mkdir(parents=True)
    (left / "data_tfrecord-00000-of-00009.gz").write_bytes(b"half")

    workspace.run(train=1)

    assert workspace.counted() == ROWS
    assert workspace.folders()[-1] == "1-2"


def test_every_finished_artifact_has_a_manifest(workspace: Workspace) -> None:
    workspace.run()
    for node, key in zip(NODES, ("examples", "statistics"), strict=True):
        (name,) = workspace.folders(node, key)
        artifact = workspace.root / "artifacts" / node / key / name
        assert Manifest.load(artifact) == Manifest.of(artifact)


def test_a_damaged_output_is_named_and_its_node_runs_again(workspace: Workspace) -> None:
    workspace.run()
    good = workspace.contents()
    shard = next((workspace.examples("1") / "Split-train").iterdir())
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)

    assert workspace.run(verify="sample") == ["complete", "complete"]

    assert any(str(shard) in told and "is not used" in told for told in take_notes())
    assert workspace.counted() == 2 * ROWS
    made = workspace.examples(workspace.folders()[-1])
    assert (made / "Split-train" / shard.name).read_bytes() == good[str(shard)]
    assert workspace.run() == ["cached", "cached"]


def test_a_damaged_output_that_many_runs_share_is_read_once(workspace: Workspace) -> None:
    for _ in range(3):
        workspace.run(nodes=NODES[:1])
    take_notes()
    os.truncate(workspace.examples("1") / "Split-train" / "data_tfrecord-00000-of-00002.gz", 100)

    assert workspace.run(nodes=NODES[:1]) == ["complete"]

    assert len([told for told in take_notes() if "what ArrowExampleGen has made" in told]) == 1


def test_a_damaged_span_is_not_taken_over(workspace: Workspace) -> None:
    workspace.run(newest=3)
    shard = workspace.examples("1") / "Split-train" / "data_tfrecord-00000-of-00002.gz"
    os.truncate(shard, 100)

    assert workspace.run(newest=4, train=3) == ["complete"] * 2

    assert workspace.counted() == 3 * ROWS
    assert str(shard) in take_notes()[0]


@pytest.mark.parametrize("damage", ["flip", "one more", "manifest"])
def test_a_node_does_not_read_what_is_damaged(workspace: Workspace, damage: str) -> None:
    workspace.run(nodes=NODES[:1])
    split = workspace.examples("1") / "Split-train"
    path = {"flip": split / "data_tfrecord-00000-of-00002.gz", "one more": split / "data_tfrecord-00002-of-00003.gz"}.get(
        damage, path_of(workspace.examples("1"))
    )
    content = bytearray(path.read_bytes() if path.exists() else b"?")
    content[-3:] = b"???"
    path.write_bytes(content)
    workspace.runs -= 1  # the same run goes on

    with pytest.raises(DamagedInputError) as caught:
        workspace.run(nodes=NODES[1:])

    assert caught.value.where == str(path)
    # As it says: run again, and all is well.
    assert workspace.run() == ["complete"] * 2
    assert workspace.counted() == 2 * ROWS


def test_a_damaged_model_is_not_pushed(workspace: Workspace) -> None:
    assert workspace.push() == ["complete"] * 2
    version = workspace.root / "models" / "1"
    (model,) = (workspace.root / "artifacts" / "Trainer" / "model").glob("*/Format-Serving/saved_model.pb")
    shutil.rmtree(version)
    os.truncate(model, 50)

    assert workspace.push() == ["complete"] * 2

    assert (version / "saved_model.pb").read_bytes() == tiny_trainer.GRAPH
    assert str(model) in take_notes()[0]


def test_a_version_that_was_damaged_is_pushed_again(workspace: Workspace) -> None:
    workspace.push()
    served = workspace.root / "models" / "1" / "saved_model.pb"
    served.write_bytes(tiny_trainer.GRAPH[::-1])

    assert workspace.push() == ["cached", "complete"]

    assert (workspace.root / "models" / "2" / "saved_model.pb").read_bytes() == tiny_trainer.GRAPH
    assert str(served) in take_notes()[0]
    assert workspace.push() == ["cached", "cached"]


def test_what_is_out_of_reach_is_not_given_up(workspace: Workspace) -> None:
    workspace.run(nodes=NODES[:1])
    folder = workspace.examples("1")
    folder.rename(workspace.root / "unmounted")
    path_of(folder).rename(workspace.root / "unmounted.json")
    workspace.runs -= 1
    with pytest.raises(StorageError, match="Check the disk"):
        workspace.run(nodes=NODES[1:])

    (workspace.root / "unmounted").rename(folder)
    (workspace.root / "unmounted.json").rename(path_of(folder))
    assert workspace.run() == ["cached", "complete"]


@pytest.mark.parametrize("also_lost", [False, True])
def test_a_push_that_was_cut_off_before_it_was_recorded_is_recorded_by_the_next_start(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, also_lost: bool
) -> None:
    """Between the rename and the record a Pusher is killed, or fails and takes its output away."""

    def cut_off(*_: object, **__: object) -> None:
        raise OSError("the disk is gone") if also_lost else KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(component.Executor, "_MarkPushed", cut_off)
        with pytest.raises((OSError, KeyboardInterrupt)):
            workspace.push()
    assert workspace.pushed == {}
    assert (workspace.root / "models" / "1" / "saved_model.pb").read_bytes() == tiny_trainer.GRAPH

    assert workspace.push() == ["cached", "cached"]
    assert workspace.pushed == {"1": "run-1"}
    assert versions(workspace.root / "models") == [1]


def test_a_push_of_a_run_that_nobody_has_ended_is_recorded_when_it_is_old(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a cluster, where the run's exit task did not run: to the store it is running."""

    def cut_off(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(component.Executor, "_MarkPushed", cut_off)
        patch.setattr(execute, "_publish_end", cut_off)
        with pytest.raises(KeyboardInterrupt):
            workspace.push()
    record = workspace.root / "models" / "1" / "pushed.json"
    shutil.copy(workspace.store, workspace.store.with_suffix(".copy"))

    # It may be about to record its push.
    assert workspace.push() == ["cached", "complete"]
    assert list(workspace.pushed) == ["2"]

    shutil.rmtree(workspace.root / "models" / "2")
    workspace.store.with_suffix(".copy").replace(workspace.store)
    os.utime(record, (0, 0))
    assert workspace.push() == ["cached", "cached"]
    assert workspace.pushed == {"1": "run-1"}


def test_a_version_that_another_store_has_pushed_is_left_alone(workspace: Workspace) -> None:
    workspace.push()
    workspace.store.rename(workspace.store.with_suffix(".old"))
    assert workspace.push() == ["complete", "complete"]
    assert workspace.pushed == {"2": "run-2"}


def test_a_version_that_was_deleted_and_made_anew_is_not_the_old_push(workspace: Workspace) -> None:
    workspace.push()
    shutil.rmtree(workspace.root / "models" / "1")
    other = workspace.root / "other"
    other.mkdir()
    (other / "saved_model.pb").write_bytes(b"another graph")
    assert add_version(str(other), workspace.root / "models", PushRecord("stored", "run-0", 99, {"uri": "/elsewhere"})) == 1
    with open_store(database.sqlite(workspace.store), "stored") as store:
        assert [each.flaws for each in verify(store.live_artifacts())] == [(), ()]
    assert workspace.push() == ["cached", "complete"]
    assert workspace.pushed["2"] == "run-1, run-2"
