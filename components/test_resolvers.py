from __future__ import annotations

import ml_metadata
import pytest
from ml_metadata.proto import metadata_store_pb2
from tfx.types import Artifact, standard_artifacts

from components.resolvers import LatestPushedModelStrategy
from pipeline.errors import UsageError

Event = metadata_store_pb2.Event


class History:
    """A metadata store in memory in which models are pushed."""

    def __init__(self) -> None:
        connection = metadata_store_pb2.ConnectionConfig()
        connection.fake_database.SetInParent()
        self.store = ml_metadata.MetadataStore(connection)
        self.node_type = self.store.put_execution_type(metadata_store_pb2.ExecutionType(name="Node"))
        self.schemas: list[Artifact] = []
        self.models: list[Artifact] = []
        self.pushes: list[Artifact] = []

    def model(self) -> Artifact:
        self.schemas.append(self._register(standard_artifacts.Schema()))
        self.models.append(self._register(standard_artifacts.Model()))
        self._execute(self.schemas[-1], "schema", self.models[-1], "model")
        return self.models[-1]

    def push(self, model: Artifact, version: int | None) -> Artifact:
        pushed = standard_artifacts.PushedModel()
        pushed.set_int_custom_property("pushed", int(version is not None))
        if version is not None:
            pushed.set_string_custom_property("pushed_version", str(version))
        self.pushes.append(self._register(pushed))
        self._execute(model, "model", pushed, "pushed_model")
        return pushed

    def resolve(self) -> dict[str, list[Artifact]]:
        channels = {"model": list(self.models), "pushed_model": list(self.pushes), "schema": list(self.schemas)}
        return LatestPushedModelStrategy().resolve_artifacts(self.store, channels)

    def _register(self, artifact: Artifact) -> Artifact:
        artifact.type_id = self.store.put_artifact_type(artifact.artifact_type, can_add_fields=True)
        (artifact.id,) = self.store.put_artifacts([artifact.mlmd_artifact])
        return artifact

    def _execute(self, input_artifact: Artifact, input_key: str, output_artifact: Artifact, output_key: str) -> None:
        (execution,) = self.store.put_executions([metadata_store_pb2.Execution(type_id=self.node_type)])
        self._event(execution, input_artifact, Event.INPUT, input_key)
        self._event(execution, output_artifact, Event.OUTPUT, output_key)

    def _event(self, execution: int, artifact: Artifact, kind: int, key: str) -> None:
        event = Event(artifact_id=artifact.id, execution_id=execution, type=kind)
        event.path.steps.add().key = key
        event.path.steps.add().index = 0
        self.store.put_events([event])


@pytest.fixture
def history() -> History:
    return History()


def test_the_newest_push_wins_with_the_model_that_went_into_it(history: History) -> None:
    first, second = history.model(), history.model()
    history.push(first, 1)
    newest = history.push(second, 2)
    history.model()  # trained since, and not pushed
    resolved = history.resolve()
    assert [model.id for model in resolved["model"]] == [second.id]
    assert resolved["pushed_model"] == [newest]
    assert resolved["schema"] == [history.schemas[1]]


def test_a_model_that_was_not_blessed_does_not_count(history: History) -> None:
    good, bad = history.model(), history.model()
    pushed = history.push(good, 1)
    history.push(bad, None)
    resolved = history.resolve()
    assert [model.id for model in resolved["model"]] == [good.id]
    assert resolved["pushed_model"] == [pushed]


def test_an_older_model_that_is_pushed_again_is_the_newest(history: History) -> None:
    older, newer = history.model(), history.model()
    history.push(newer, 1)
    history.push(older, 2)
    assert [model.id for model in history.resolve()["model"]] == [older.id]


def test_without_a_push_there_is_a_clear_error(history: History) -> None:
    history.push(history.model(), None)
    with pytest.raises(UsageError, match="No model has been blessed yet") as caught:
        history.resolve()
    assert caught.value.seen == "1 trained models, none of them pushed"
