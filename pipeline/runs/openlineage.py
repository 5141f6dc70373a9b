"""A run and its nodes as OpenLineage tells them: what each read, what it wrote, and how it ended.

https://openlineage.io/spec/2-0-2/OpenLineage.json
"""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from components.example_gen import properties
from pipeline import nodes
from pipeline.runs.status import NodeState, Problem, RunOutcome, RunState
from pipeline.util.paths import is_object

if TYPE_CHECKING:
    from pipeline.config import PipelineConfig
    from pipeline.runs.metadata import Artifact, Execution, Run

_SPECIFICATION = "https://openlineage.io/spec"
_PRODUCER = "urn:conveyor"
_NAMESPACE = "conveyor"
_ENDS = {
    RunState.COMPLETE: "COMPLETE",
    RunState.NOT_BLESSED: "COMPLETE",
    RunState.FAILED: "FAIL",
    RunState.INTERRUPTED: "ABORT",
}
_NODE_ENDS = {NodeState.COMPLETE: "COMPLETE", NodeState.FAILED: "FAIL", NodeState.INTERRUPTED: "ABORT"}

_Json = dict[str, Any]


def events_of(config: PipelineConfig, outcome: RunOutcome, run: Run) -> Iterator[_Json]:
    """The start and the end of a run, and between them those of each node that was at work in it.

    Args:
      config: the pipeline's configuration.
      outcome: the run's outcome, as it has ended.
      run: its executions and artifacts; none where it ended before its first node.
    """
    job = {"namespace": _NAMESPACE, "name": config.name}
    whole = {"runId": _uuid(config, outcome.run_id)}
    reader, pusher = run.executions.get(nodes.EXAMPLE_GEN.id), run.executions.get(nodes.PUSHER.id)
    read = [_source(config, reader)]
    start, end = _pair(job, whole, (outcome.started, outcome.ended), _ENDS.get(outcome.state, "OTHER"), outcome.problem)
    yield start
    for name, node in outcome.nodes.items():
        execution = run.executions.get(name)
        if execution is None or node.state not in _NODE_ENDS:
            continue
        about = {"runId": _uuid(config, outcome.run_id, name), "facets": {"parent": _parent(whole, job)}}
        times = (node.started or execution.started, node.ended or execution.ended)
        its_job = {"namespace": _NAMESPACE, "name": f"{config.name}.{name}"}
        begun, done = _pair(its_job, about, times, _NODE_ENDS[node.state], node.problem)
        yield begun
        inputs = read if name == nodes.EXAMPLE_GEN.id else list(_datasets(execution.inputs))
        yield {**done, "inputs": inputs, "outputs": list(_datasets(execution.outputs))}
    yield {**end, "inputs": read, "outputs": list(_datasets(pusher.outputs)) if pusher else []}


def _pair(
    job: _Json, run: _Json, times: tuple[float, float | None], ending: str, problem: Problem | None
) -> tuple[_Json, _Json]:
    started, ended = times
    common = {"producer": _PRODUCER, "schemaURL": f"{_SPECIFICATION}/2-0-2/OpenLineage.json#/$defs/RunEvent", "job": job}
    failed = run if problem is None else {**run, "facets": {**run.get("facets", {}), "errorMessage": _error(problem)}}
    return (
        {**common, "eventType": "START", "eventTime": _time(started), "run": run},
        {**common, "eventType": ending, "eventTime": _time(started if ended is None else ended), "run": failed},
    )


def _source(config: PipelineConfig, reader: Execution | None) -> _Json:
    """The data that a run reads, with the fingerprint of what it has read where ExampleGen has recorded it."""
    version = str(reader.properties.get(properties.FINGERPRINT, "")) if reader else ""
    return _dataset(config.resolve(config.data.input), version)


def _datasets(artifacts: Mapping[str, Iterable[Artifact]]) -> Iterator[_Json]:
    for each in (artifact for found in artifacts.values() for artifact in found):
        yield _dataset(each.uri, str(each.properties.get("pushed_version", "")))


def _dataset(address: str, version: str) -> _Json:
    """A file or an object by OpenLineage's naming: https://openlineage.io/docs/spec/naming."""
    parts = urlsplit(address)
    place = (f"{parts.scheme}://{parts.netloc}", parts.path.lstrip("/")) if is_object(address) else ("file", address)
    facets = {"version": {**_facet("1-0-1", "DatasetVersionDatasetFacet"), "datasetVersion": version}} if version else {}
    return {"namespace": place[0], "name": place[1], "facets": facets}


def _parent(run: _Json, job: _Json) -> _Json:
    return {**_facet("1-2-0", "ParentRunFacet"), "run": run, "job": job}


def _error(problem: Problem) -> _Json:
    return {**_facet("1-0-1", "ErrorMessageRunFacet"), "message": problem.what, "programmingLanguage": "PYTHON"}


def _facet(version: str, name: str) -> _Json:
    return {"_producer": _PRODUCER, "_schemaURL": f"{_SPECIFICATION}/facets/{version}/{name}.json#/$defs/{name}"}


def _uuid(config: PipelineConfig, *names: str) -> str:
    """The same for the same run of a workspace."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, "/".join((_PRODUCER, str(config.workspace_path), config.name, *names))))


def _time(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).isoformat()
