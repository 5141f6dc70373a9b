"""Reads a pipeline's runs from ML Metadata without TensorFlow or TFX, in a tenth of a second."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from filelock import FileLock
from ml_metadata import MetadataStore
from ml_metadata.proto import metadata_store_pb2

from pipeline.errors import UsageError
from pipeline.nodes import BASELINE_KEY, BLESSING_KEY, HYPERPARAMETERS_KEY, NODES
from pipeline.runs import database
from pipeline.runs.sqlite_store import SqliteStore, damaged, require_whole
from pipeline.runs.status import LAST_MOMENT, NodeOutcome, NodeState, RunOutcome, RunState

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")

_STATES = {
    metadata_store_pb2.Execution.NEW: NodeState.RUNNING,
    metadata_store_pb2.Execution.RUNNING: NodeState.RUNNING,
    metadata_store_pb2.Execution.COMPLETE: NodeState.COMPLETE,
    metadata_store_pb2.Execution.CACHED: NodeState.CACHED,
    metadata_store_pb2.Execution.FAILED: NodeState.FAILED,
    metadata_store_pb2.Execution.CANCELED: NodeState.INTERRUPTED,
}


def node_state(execution: metadata_store_pb2.Execution) -> NodeState:
    """The state of the node that has this execution."""
    return _STATES.get(execution.last_known_state, NodeState.WAITING)


@dataclass(frozen=True)
class Artifact:
    """An artifact that a node made or read.

    Attributes:
      id: the artifact's id in the store.
      type: its TFX type, such as `Examples`.
      uri: the address of its files.
      properties: its properties, those of the type and custom ones together.
    """

    id: int
    type: str
    uri: str
    properties: Mapping[str, Any] = field(default_factory=dict)

    @property
    def path(self) -> Path:
        """The local path of its files."""
        return Path(self.uri)


@dataclass(frozen=True)
class Execution:
    """One execution of a node.

    Attributes:
      id: the execution's id in the store.
      node: the node's id.
      runs: the runs that it belongs to, usually one.
      state: its state.
      started: the time of its start, in seconds since 1970.
      ended: the time of its last update in the store, in seconds since 1970.
      inputs: artifacts by the name of the input.
      outputs: artifacts by the name of the output.
      properties: the node's execution properties.
    """

    id: int
    node: str
    runs: tuple[str, ...]
    state: NodeState
    started: float
    ended: float
    inputs: Mapping[str, tuple[Artifact, ...]] = field(default_factory=dict)
    outputs: Mapping[str, tuple[Artifact, ...]] = field(default_factory=dict)
    properties: Mapping[str, Any] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """Its duration in seconds."""
        return self.ended - self.started


@dataclass(frozen=True)
class Run:
    """A run of a pipeline; `executions` has the last one of each node that started, by node id."""

    run_id: str
    pipeline: str
    executions: Mapping[str, Execution]

    def completed(self, node: str) -> bool:
        """Whether a node succeeded, with or without the cache."""
        execution = self.executions.get(node)
        return execution is not None and execution.state.is_successful

    def output(self, node: str, key: str) -> Artifact | None:
        """The first artifact of a node's output, if the node was successful."""
        return next(iter(self.executions[node].outputs.get(key, ())), None) if self.completed(node) else None

    def input(self, node: str, key: str) -> Artifact | None:
        """The first artifact of a node's input, if there is one."""
        execution = self.executions.get(node)
        return None if execution is None else next(iter(execution.inputs.get(key, ())), None)

    def outcome(self) -> RunOutcome:
        """The outcome of a run that left no run.json, as a run on a cluster does not; only nodes that started are in it."""
        executions = sorted(self.executions.values(), key=lambda execution: execution.id)
        outcome = RunOutcome(
            run_id=self.run_id,
            pipeline=self.pipeline,
            started=min((each.started for each in executions), default=0.0),
            ended=max((each.ended for each in executions), default=None),
        )
        makers: dict[int, str] = {}
        for each in executions:
            used = {
                makers[artifact.id] for artifacts in each.inputs.values() for artifact in artifacts if artifact.id in makers
            }
            ended = each.ended if each.state.has_ended else None
            outcome.nodes[each.node] = NodeOutcome(upstream=sorted(used), state=each.state, started=each.started, ended=ended)
            for artifact in (artifact for artifacts in each.outputs.values() for artifact in artifacts):
                makers.setdefault(artifact.id, each.node)
        outcome.state = RunState.of((each.state for each in executions), blessed=self.refusal() is None)
        return outcome

    def refusal(self) -> tuple[str, Artifact] | None:
        """The validator of the model that did not bless it, and its verdict; None when none refused."""
        for node in NODES.values():
            blessing = self.output(node.id, BLESSING_KEY)
            if blessing is not None and not blessing.properties.get("blessed"):
                return node.id, blessing
        return None


@dataclass(frozen=True)
class Lineage:
    """The history of an artifact, usually of a pushed version.

    Attributes:
      artifact: the artifact.
      executions: the executions that made it and its ancestors, without cached repetitions, causes before effects.
    """

    artifact: Artifact
    executions: tuple[Execution, ...]

    @property
    def version(self) -> str:
        """The version that it was pushed as; empty if it was not pushed."""
        return str(self.artifact.properties.get("pushed_version", ""))

    @property
    def destination(self) -> str:
        """The folder that it was pushed to; empty if it was not pushed."""
        return str(self.artifact.properties.get("pushed_destination", ""))

    @property
    def runs(self) -> tuple[str, ...]:
        """The runs that contributed to it, in order."""
        return tuple(sorted({run for execution in self.executions for run in execution.runs}))

    def execution(self, node: str) -> Execution | None:
        """The node's execution among the ancestors."""
        return next((execution for execution in self.executions if execution.node == node), None)

    def baseline(self) -> Artifact | None:
        """The model that it was compared with, if there was one."""
        inputs = (execution.inputs.get(BASELINE_KEY, ()) for execution in self.executions)
        return next((artifact for artifacts in inputs for artifact in artifacts), None)


def _read_whole(method: Callable[_Arguments, _Result]) -> Callable[_Arguments, _Result]:
    """Makes a method of a Store raise an error with a name where the store holds what no run has written."""

    @wraps(method)
    def read(*arguments: _Arguments.args, **named: _Arguments.kwargs) -> _Result:
        try:
            return method(*arguments, **named)
        except (LookupError, TypeError, ValueError) as error:
            store = arguments[0]
            assert isinstance(store, Store)
            raise damaged(store.address, f"{type(error).__name__}: {error}") from error

    return read


class Store:
    """The metadata of one pipeline's runs. Open it with `open_store`.

    Its methods raise a DamagedStoreError where the store holds what no run has written.

    Args:
      store: ML Metadata's client.
      pipeline: the name of the pipeline.
      address: the store's address, for errors.
    """

    def __init__(self, store: MetadataStore, pipeline: str, address: str) -> None:
        self._store, self.pipeline, self.address = store, pipeline, address

    def of(self, pipeline: str) -> Store:
        """The metadata of another pipeline's runs in the same store."""
        return Store(self._store, pipeline, self.address)

    @_read_whole
    def run_starts(self) -> dict[str, float]:
        """The start of each of the pipeline's runs by id, in seconds since 1970."""
        pipeline = self._store.get_context_by_type_and_name("pipeline", self.pipeline)
        if pipeline is None:
            return {}
        children = self._store.get_children_contexts_by_context(pipeline.id)
        return {child.name: _seconds(child.create_time_since_epoch) for child in children if child.type == "pipeline_run"}

    @_read_whole
    def run(self, run_id: str) -> Run:
        """A run as the store has it; without executions if no node of it has started."""
        context = self._store.get_context_by_type_and_name("pipeline_run", run_id)
        found = [] if context is None else self._store.get_executions_by_context(context.id)
        executions = self._executions(sorted(found, key=lambda execution: execution.id))
        return Run(run_id, self.pipeline, {execution.node: execution for execution in executions})

    @_read_whole
    def pushed_versions(self) -> dict[str, Artifact]:
        """Every push of this pipeline by version, oldest first. If a version was pushed twice, the later push counts."""
        pushed = sorted(self._store.get_artifacts_by_type("PushedModel"), key=lambda artifact: artifact.id)
        artifacts = [_artifact(artifact) for artifact in pushed if self._is_ours(artifact.id)]
        return {str(each.properties["pushed_version"]): each for each in artifacts if each.properties.get("pushed_version")}

    def pushed(self, version: str) -> Artifact:
        """The push of a version.

        Raises:
          UsageError: no such version was pushed by this pipeline.
        """
        versions = self.pushed_versions()
        if version not in versions:
            raise UsageError(
                f"{self.pipeline} has not pushed a version {version}.",
                where=self.pipeline,
                expected=f"one of {', '.join(versions)}" if versions else "a pushed version",
                seen=version if versions else "no version has been pushed yet",
                fix="`conveyor runs` lists the versions by run" if versions else "`conveyor run` trains and pushes a model",
            )
        return versions[version]

    @_read_whole
    def live_artifacts(self, ids: Collection[int] | None = None) -> list[metadata_store_pb2.Artifact]:
        """The artifacts of the pipeline that are in use, oldest first, as ML Metadata has them.

        Args:
          ids: the ids of those that are wanted; None for all.
        """
        live = [each for each in self.artifacts() if each.state == metadata_store_pb2.Artifact.LIVE]
        return [each for each in live if ids is None or each.id in ids]

    @_read_whole
    def artifacts(self) -> list[metadata_store_pb2.Artifact]:
        """All artifacts of the pipeline, oldest first, as ML Metadata has them."""
        pipeline = self._store.get_context_by_type_and_name("pipeline", self.pipeline)
        found = [] if pipeline is None else self._store.get_artifacts_by_context(pipeline.id)
        return sorted(found, key=lambda artifact: artifact.id)

    @_read_whole
    def lineage(self, artifact: Artifact) -> Lineage:
        """The history of an artifact."""
        return Lineage(artifact, tuple(sorted(self._ancestors(artifact.id), key=lambda execution: execution.id)))

    @_read_whole
    def producer(self, artifact_id: int) -> Execution | None:
        """The execution that made an artifact, not a cached one that passed it on, if any did."""
        events = self._store.get_events_by_artifact_ids([artifact_id])
        producers = [event.execution_id for event in events if _is_output(event)]
        if not producers:
            return None
        # Cached ones come later than the one that they repeat.
        return next(iter(self._executions(self._store.get_executions_by_id([min(producers)]))))

    @_read_whole
    def version_of(self, model: Artifact) -> str:
        """The newest version that a model was pushed as; empty if it was not pushed."""
        events = self._store.get_events_by_artifact_ids([model.id])
        users = sorted({event.execution_id for event in events if event.type == event.INPUT})
        executions = self._executions(self._store.get_executions_by_id(users)) if users else []
        pushed = [artifact for each in executions for artifact in each.outputs.get("pushed_model", ())]
        return next((version for each in reversed(pushed) if (version := str(each.properties.get("pushed_version", "")))), "")

    def _is_ours(self, artifact_id: int) -> bool:
        contexts = self._store.get_contexts_by_artifact(artifact_id)
        return any(context.type == "pipeline" and context.name == self.pipeline for context in contexts)

    def _ancestors(self, artifact_id: int) -> Iterator[Execution]:
        waiting, seen_artifacts, seen_executions = [artifact_id], {artifact_id}, set[int]()
        while waiting:
            producer = self.producer(waiting.pop())
            if producer is None or producer.id in seen_executions:
                continue
            seen_executions.add(producer.id)
            yield producer
            if HYPERPARAMETERS_KEY in producer.outputs:
                continue
            inputs = {each.id for key, artifacts in producer.inputs.items() if key != BASELINE_KEY for each in artifacts}
            waiting += inputs - seen_artifacts
            seen_artifacts |= inputs

    def _executions(self, found: Iterable[metadata_store_pb2.Execution]) -> list[Execution]:
        executions = list(found)
        events = self._store.get_events_by_execution_ids([each.id for each in executions]) if executions else []
        ids = sorted({event.artifact_id for event in events})
        artifacts = {each.id: _artifact(each) for each in self._store.get_artifacts_by_id(ids)} if ids else {}
        inputs: dict[int, dict[str, tuple[Artifact, ...]]] = {each.id: {} for each in executions}
        outputs: dict[int, dict[str, tuple[Artifact, ...]]] = {each.id: {} for each in executions}
        for event in events:
            side = (outputs if _is_output(event) else inputs)[event.execution_id]
            # If a model is its own baseline, one event names both inputs.
            for key in [step.key for step in event.path.steps if step.HasField("key")] or [""]:
                side[key] = (*side.get(key, ()), artifacts[event.artifact_id])
        return [self._execution(each, inputs[each.id], outputs[each.id]) for each in executions]

    def _execution(
        self,
        execution: metadata_store_pb2.Execution,
        inputs: Mapping[str, tuple[Artifact, ...]],
        outputs: Mapping[str, tuple[Artifact, ...]],
    ) -> Execution:
        if execution.last_known_state not in _STATES:
            raise ValueError(f"execution {execution.id} is in no state that an execution can be in")
        contexts = self._store.get_contexts_by_execution(execution.id)
        node = next((each.name for each in contexts if each.type == "node"), execution.type)
        return Execution(
            id=execution.id,
            node=node.removeprefix(f"{self.pipeline}."),
            runs=tuple(sorted(each.name for each in contexts if each.type == "pipeline_run")),
            state=node_state(execution),
            started=_seconds(execution.create_time_since_epoch),
            ended=_seconds(execution.last_update_time_since_epoch),
            inputs=inputs,
            outputs=outputs,
            properties=_properties(execution),
        )


@contextmanager
def open_store(connection: metadata_store_pb2.ConnectionConfig, pipeline: str) -> Iterator[Store]:
    """Opens the metadata store for reading.

    Args:
      connection: the settings of the database, from `pipeline.runs.database.connection`.
      pipeline: the name of the pipeline whose runs are read.

    Raises:
      UsageError: there is no SQLite file: nothing has run yet.
      StorageError: what is there is not a metadata store, or cannot be read.
    """
    if connection.HasField("sqlite"):
        with _open_file(Path(connection.sqlite.filename_uri)) as store:
            yield Store(store, pipeline, database.address(connection))
    else:
        yield Store(database.connect(connection), pipeline, database.address(connection))


@contextmanager
def _open_file(path: Path) -> Iterator[MetadataStore]:
    """Opens a SQLite database read-only. Running nodes wait meanwhile, as SQLite admits no reader beside a writer."""
    if not database.exists(database.sqlite(path)):
        raise UsageError(
            "Nothing has run in this workspace yet.",
            where=str(path.parent),
            expected=f"the metadata store {path.name}",
            fix="`conveyor run` runs the pipeline; `--set workspace=FOLDER` names another workspace",
        )
    connection = database.sqlite(path)
    connection.sqlite.connection_mode = metadata_store_pb2.SqliteMetadataSourceConfig.READONLY
    with FileLock(f"{path}.lock"):
        require_whole(path)
        yield SqliteStore(connection)


def _seconds(milliseconds: int) -> float:
    """A time of the store in seconds since 1970.

    Raises:
      ValueError: it cannot be shown as a date.
    """
    if not 0 <= milliseconds < 1000 * LAST_MOMENT:
        raise ValueError(f"a time of {milliseconds} ms since 1970")
    return milliseconds / 1000


def _is_output(event: metadata_store_pb2.Event) -> bool:
    return event.type in (event.OUTPUT, event.DECLARED_OUTPUT)


def _artifact(artifact: metadata_store_pb2.Artifact) -> Artifact:
    if not artifact.type:
        raise ValueError(f"artifact {artifact.id} is of a type that the store does not have")
    return Artifact(artifact.id, artifact.type, artifact.uri, _properties(artifact))


def _properties(node: metadata_store_pb2.Artifact | metadata_store_pb2.Execution) -> dict[str, Any]:
    return {name: _value(value) for values in (node.properties, node.custom_properties) for name, value in values.items()}


def _value(value: metadata_store_pb2.Value) -> Any:
    kind = value.WhichOneof("value")
    if kind != "struct_value":
        return None if kind is None else getattr(value, kind)
    from google.protobuf import json_format

    content = json_format.MessageToDict(value.struct_value)
    # TFX keeps lists and nested dictionaries as JSON within a struct.
    return json.loads(content["__value__"]) if set(content) == {"__value__"} else content
