"""A run for which nothing has changed, recorded without TFX, which takes far longer to load than to find that out.

What TFX does then follows from the last run: each node finds in the cache what it made or found then, and is recorded as
cached. So where all that the cache goes by is as it was, the last run's executions are recorded once more for this one. Where
that is in any doubt, TFX decides.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock
from ml_metadata import ListOptions, MetadataStore, OrderByField, errors
from ml_metadata.proto import metadata_store_pb2

from components.example_gen import inputs
from components.pusher.serving_folder import push_is_in_place
from pipeline import nodes
from pipeline.errors import ConveyorError
from pipeline.runs import metadata, verification
from pipeline.runs.resolvers import CHOICES, TYPE_NAME, Choice
from pipeline.runs.sqlite_store import SqliteStore, require_whole
from pipeline.runs.status import NodeOutcome, NodeState, RunOutcome
from pipeline.util.manifests import Thoroughness

_Event = metadata_store_pb2.Event
_INPUTS = (_Event.INPUT, _Event.DECLARED_INPUT, _Event.INTERNAL_INPUT)


class ChangedError(Exception):
    """Something has changed since the last run, or may have; the message says what."""


@dataclass(frozen=True)
class _LastRun:
    """The run that the newest execution belongs to.

    Attributes:
      outcome: from its folder.
      run: what the metadata store knows of it.
      pipeline: the pipeline's context.
      live: the artifacts of all runs whose files are there, as the store has it, by id, the oldest first.
      choices: what each resolver would choose now, by node.
    """

    outcome: RunOutcome
    run: metadata.Run
    pipeline: metadata_store_pb2.Context
    live: Mapping[int, metadata_store_pb2.Artifact]
    choices: Mapping[str, Choice]


def repeat(
    connection: metadata_store_pb2.ConnectionConfig,
    runs: Path,
    pipeline: str,
    run_id: str,
    fingerprint: str,
    verify: Thoroughness = "whole",
) -> dict[str, NodeOutcome]:
    """Records a run for which nothing has changed since the last one: in the metadata store, as TFX would.

    Args:
      connection: the connection to the metadata store.
      runs: the folder of the pipeline's runs.
      pipeline: the pipeline's name.
      run_id: the id of the run to record.
      fingerprint: a digest of all that decides what a run makes, but data and metadata store.
      verify: how much of the outputs is compared with what was made.

    Returns:
      The nodes of the run, in the order of the pipeline.

    Raises:
      ChangedError: the nodes have to be run, or asked, by TFX.
    """
    path = Path(connection.sqlite.filename_uri)
    # Others may be at work in the database of a server.
    if not connection.HasField("sqlite") or not path.is_file():
        raise ChangedError("the metadata store is on a server, or there is none yet")
    try:
        with FileLock(f"{path}.lock"):
            require_whole(path)
            mlmd = SqliteStore(connection)
            reader = metadata.Store(mlmd, pipeline, str(path))
            last = _read(mlmd, reader, runs, fingerprint)
            _check_data(reader, last.run)
            _check_choices(last)
            _check_outputs(last, verify)
            _record(mlmd, last, run_id)
    # The run itself meets the same error and reports it better. ValueError: a run.json of another release.
    except (ConveyorError, OSError, RuntimeError, ValueError, errors.StatusError) as error:
        raise ChangedError(f"{type(error).__name__}: {error}") from error
    now = time.time()
    return {
        name: NodeOutcome(
            upstream=node.upstream,
            state=NodeState.COMPLETE if name in last.choices else NodeState.CACHED,
            started=now,
            ended=now,
        )
        for name, node in last.outcome.nodes.items()
    }


def _read(mlmd: MetadataStore, reader: metadata.Store, runs: Path, fingerprint: str) -> _LastRun:
    newest = mlmd.get_executions(ListOptions(limit=1, order_by=OrderByField.ID, is_asc=False))
    contexts = {context.type: context for each in newest for context in mlmd.get_contexts_by_execution(each.id)}
    if not {"pipeline", "pipeline_run"} <= contexts.keys() or contexts["pipeline"].name != reader.pipeline:
        raise ChangedError("another pipeline ran last")
    outcome = RunOutcome.load(runs / contexts["pipeline_run"].name)
    if not fingerprint or outcome.fingerprint != fingerprint:
        raise ChangedError("configuration, code or installed packages are not those of the last run, or it was not a whole one")
    run = reader.run(outcome.run_id)
    if run.executions.keys() != outcome.nodes.keys() or not all(map(run.completed, run.executions)):
        raise ChangedError("the last run did not complete")
    artifacts = sorted(mlmd.get_artifacts_by_context(contexts["pipeline"].id), key=lambda artifact: artifact.id)
    live = {artifact.id: artifact for artifact in artifacts if artifact.state == metadata_store_pb2.Artifact.LIVE}
    types = mlmd.get_executions_by_id([execution.id for execution in run.executions.values()])
    resolvers = {execution.id for execution in types if execution.type == TYPE_NAME}
    names = [name for name, execution in run.executions.items() if execution.id in resolvers]
    if unknown := set(names) - CHOICES.keys():
        raise ChangedError(f"{', '.join(unknown)} may choose otherwise")
    choices = {name: CHOICES[name](list(live.values())) for name in names}
    return _LastRun(outcome, run, contexts["pipeline"], live, choices)


def _check_data(reader: metadata.Store, run: metadata.Run) -> None:
    """Checks that ExampleGen's inputs are unchanged."""
    example_gen = run.executions.get(nodes.EXAMPLE_GEN.id)
    if example_gen is None:
        return
    # What its driver finds is a property of the execution that ran, and not of those that repeat it.
    if example_gen.state is not NodeState.CACHED:
        raise ChangedError("the data was new in the last run")
    examples = run.output(nodes.EXAMPLE_GEN.id, "examples")
    origin = reader.producer(examples.id) if examples else None
    if origin is None or not inputs.resolve(example_gen.properties).items() <= origin.properties.items():
        raise ChangedError("the data is not that of the last run")


def _check_choices(last: _LastRun) -> None:
    """Checks that resolvers would choose what they chose in the last run."""
    for name, choice in last.choices.items():
        resolution = nodes.NODES[name].resolution
        assert resolution is not None
        used = last.run.input(resolution.reader, resolution.input)
        chosen = choice.get(resolution.output)
        if (used and used.id) != (chosen and chosen.id):
            raise ChangedError(f"{name} chooses otherwise since the last run")


def _check_outputs(last: _LastRun, verify: Thoroughness) -> None:
    """Checks that the outputs of the nodes are what they made, as is done before the cache is used."""
    for name, execution in last.run.executions.items():
        for output in (artifact for artifacts in execution.outputs.values() for artifact in artifacts):
            artifact = last.live.get(output.id)
            if artifact is None or not output.path.exists():
                raise ChangedError(f"an output of {name} is gone: {output.uri}")
            if artifact.type == "PushedModel" and not push_is_in_place(artifact):
                raise ChangedError("the version that was pushed is gone")
            if not verification.is_recorded(artifact):
                raise ChangedError(f"an output of {name} is of an earlier release: {output.uri}")
            if flaw := next(verification.flaws(artifact, verify), None):
                raise ChangedError(f"{flaw.path} is not what {name} made")


def _record(mlmd: MetadataStore, last: _LastRun, run_id: str) -> None:
    """Writes what TFX writes: executions, their events, and the contexts of executions and artifacts."""
    ids = {name: last.run.executions[name].id for name in last.outcome.nodes}
    earlier = {execution.id: execution for execution in mlmd.get_executions_by_id(list(ids.values()))}
    contexts = {each: mlmd.get_contexts_by_execution(each) for each in ids.values()}
    events: dict[int, list[metadata_store_pb2.Event]] = {each: [] for each in ids.values()}
    for event in mlmd.get_events_by_execution_ids(list(ids.values())):
        events[event.execution_id].append(event)
    for name, choice in last.choices.items():
        events[ids[name]] = [_chosen(key, artifact.id) for key, artifact in choice.items()]
    run_type = next(context.type_id for context in next(iter(contexts.values())) if context.type == "pipeline_run")
    made, _, (_, run) = mlmd.put_lineage_subgraph(
        [_repetition(earlier[each], cached=name not in last.choices) for name, each in ids.items()],
        [],
        [last.pipeline, metadata_store_pb2.Context(type_id=run_type, name=run_id)],
        [(index, None, _without_execution(event)) for index, each in enumerate(ids.values()) for event in events[each]],
        reuse_context_if_already_exist=True,
    )
    mlmd.put_parent_contexts([metadata_store_pb2.ParentContext(parent_id=last.pipeline.id, child_id=run)])
    attributions, associations = [], []
    for execution, each in zip(made, ids.values(), strict=True):
        # Those of the node and, of one that can be cached, of its cache key.
        own = [context for context in contexts[each] if context.type not in ("pipeline", "pipeline_run")]
        associations += [metadata_store_pb2.Association(execution_id=execution, context_id=context.id) for context in own]
        for event in events[each]:
            # Inputs do not belong to the cache key.
            of = [context.id for context in own if event.type not in _INPUTS or context.type == "node"]
            attributions += [
                metadata_store_pb2.Attribution(artifact_id=event.artifact_id, context_id=context) for context in (run, *of)
            ]
    mlmd.put_attributions_and_associations(attributions, associations)


def _repetition(earlier: metadata_store_pb2.Execution, *, cached: bool) -> metadata_store_pb2.Execution:
    execution = metadata_store_pb2.Execution(
        type_id=earlier.type_id,
        name=str(uuid.uuid4()),
        last_known_state=metadata_store_pb2.Execution.CACHED if cached else metadata_store_pb2.Execution.COMPLETE,
    )
    for name, value in earlier.properties.items():
        execution.properties[name].CopyFrom(value)
    for name, value in earlier.custom_properties.items():
        execution.custom_properties[name].CopyFrom(value)
    return execution


def _chosen(key: str, artifact_id: int) -> metadata_store_pb2.Event:
    """A resolver's output, as TFX records it."""
    steps = [_Event.Path.Step(key=key), _Event.Path.Step(index=0)]
    return _Event(type=_Event.INTERNAL_OUTPUT, artifact_id=artifact_id, path=_Event.Path(steps=steps))


def _without_execution(event: metadata_store_pb2.Event) -> metadata_store_pb2.Event:
    return _Event(type=event.type, artifact_id=event.artifact_id, path=event.path)
