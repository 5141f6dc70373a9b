"""A run as OpenLineage events, each held against what its specification 2-0-2 and those of the facets demand."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from pipeline.config.events import Events
from pipeline.runs.announcement import announce
from pipeline.runs.status import NodeOutcome, NodeState, Problem, RunOutcome, RunState
from tests.fakes.event_receiver import EventReceiver, event_receiver
from tests.fakes.workspace import Workspace

ADDRESS = {"type": "string", "pattern": "^[a-z]+:."}
RUN = {"required": ["runId"], "properties": {"runId": {"type": "string", "format": "uuid"}, "facets": {"type": "object"}}}
NAMED = {
    "required": ["namespace", "name"],
    "properties": {"namespace": {"type": "string"}, "name": {"type": "string"}, "facets": {"type": "object"}},
}
EVENT = {
    "required": ["eventTime", "producer", "schemaURL", "run", "job"],
    "properties": {
        "eventType": {"enum": ["START", "RUNNING", "COMPLETE", "ABORT", "FAIL", "OTHER"]},
        "eventTime": {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?\+00:00$"},
        "producer": ADDRESS,
        "schemaURL": {"const": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"},
        "run": RUN,
        "job": NAMED,
        "inputs": {"type": "array", "items": NAMED},
        "outputs": {"type": "array", "items": NAMED},
    },
    "unevaluatedProperties": False,
}
FACETS = {
    "parent": ("1-2-0/ParentRunFacet", {"run": RUN, "job": NAMED}),
    "errorMessage": ("1-0-1/ErrorMessageRunFacet", {"message": {"type": "string"}, "programmingLanguage": {"type": "string"}}),
    "version": ("1-0-1/DatasetVersionDatasetFacet", {"datasetVersion": {"type": "string"}}),
}


@pytest.fixture
def receiver() -> Iterator[EventReceiver]:
    with event_receiver() as receiver:
        yield receiver


def told(workspace: Workspace, receiver: EventReceiver, outcome: RunOutcome, count: int) -> list[dict[str, Any]]:
    """The events of a run, all valid, and so are their facets."""
    config = workspace.config.model_copy(update={"events": Events(openlineage=receiver.url)})
    announce(config, outcome)
    events = receiver.wait_for(count)
    for event in events:
        check(EVENT, event)
        for name, facet in facets(event):
            page, fields = FACETS[name]
            address = f"https://openlineage.io/spec/facets/{page}.json#/$defs/{page.partition('/')[2]}"
            fields = {**fields, "_producer": ADDRESS, "_schemaURL": {"const": address}}
            check({"required": list(fields), "properties": fields}, facet)
    return events


def check(schema: Mapping[str, Any], instance: Any) -> None:
    Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER).validate(instance)


def facets(event: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    holders = (event["run"], *event.get("inputs", ()), *event.get("outputs", ()))
    return [named for holder in holders for named in holder.get("facets", {}).items()]


def ended(state: RunState, **fields: Any) -> RunOutcome:
    return RunOutcome(run_id="run-1", pipeline="flights", started=100.0, ended=107.5, state=state, **fields)


def node(state: NodeState, **fields: Any) -> NodeOutcome:
    return NodeOutcome(state=state, started=101.0, ended=103.0, **fields)


def test_each_node_that_was_at_work_says_what_it_read_and_wrote(workspace: Workspace, receiver: EventReceiver) -> None:
    workspace.run("run-1", "-1", version="7")
    nodes = {"ExampleGen": node(NodeState.CACHED), "Trainer": node(NodeState.COMPLETE), "Pusher": node(NodeState.COMPLETE)}

    events = told(workspace, receiver, ended(RunState.COMPLETE, nodes=nodes), 6)

    assert [(each["eventType"], each["job"]["name"]) for each in events] == [
        ("START", "flights"),
        ("START", "flights.Trainer"),
        ("COMPLETE", "flights.Trainer"),
        ("START", "flights.Pusher"),
        ("COMPLETE", "flights.Pusher"),
        ("COMPLETE", "flights"),
    ]
    start, _, trained, _, _, end = events
    assert (start["eventTime"], trained["eventTime"]) == ("1970-01-01T00:01:40+00:00", "1970-01-01T00:01:43+00:00")
    assert trained["run"]["facets"]["parent"]["run"] == start["run"] == end["run"]
    assert start["run"]["runId"] != trained["run"]["runId"]
    model = str(workspace.folder("Trainer", "model", "model-1"))
    assert model in [each["name"] for each in trained["outputs"]]
    assert {each["namespace"] for each in trained["inputs"]} == {"file"}
    assert [each["name"] for each in end["inputs"]] == ["/data/flights-{SPAN}.csv"]
    assert [each["facets"]["version"]["datasetVersion"] for each in end["outputs"]] == ["7"]
    assert set(receiver.types) == {"application/json"}


def test_a_failure_is_told_without_its_traceback(workspace: Workspace, receiver: EventReceiver) -> None:
    workspace.execute("run-1", "ExampleGen")
    problem = Problem(headline="Node failed", what="No such file.", exit_code=1, traceback="secret paths")
    failed = ended(RunState.FAILED, problem=problem, nodes={"ExampleGen": node(NodeState.FAILED, problem=problem)})

    *_, its, whole = told(workspace, receiver, failed, 4)

    assert (its["eventType"], whole["eventType"]) == ("FAIL", "FAIL")
    assert its["run"]["facets"]["errorMessage"]["message"] == "No such file."
    assert "secret" not in json.dumps(receiver.events)


def test_one_that_ended_before_its_first_node(workspace: Workspace, receiver: EventReceiver) -> None:
    assert [each["eventType"] for each in told(workspace, receiver, ended(RunState.INTERRUPTED), 2)] == ["START", "ABORT"]


def test_objects_are_named_by_their_bucket(workspace: Workspace, receiver: EventReceiver) -> None:
    data = workspace.config.data.model_copy(update={"input": "s3://bucket/flights/{SPAN}.parquet"})
    workspace.config = workspace.config.model_copy(update={"data": data})

    _, end = told(workspace, receiver, ended(RunState.COMPLETE), 2)

    (read,) = end["inputs"]
    assert (read["namespace"], read["name"]) == ("s3://bucket", "flights/{SPAN}.parquet")


def test_an_event_that_is_lost_is_told_by_its_name(
    workspace: Workspace, receiver: EventReceiver, capsys: pytest.CaptureFixture[str]
) -> None:
    from pipeline.util import events

    receiver.status = 404
    told(workspace, receiver, ended(RunState.COMPLETE), 2)
    events._outbox.flush(90)

    assert "The event COMPLETE of flights was not received" in (err := capsys.readouterr().err)
    assert "(events.openlineage): HTTP status 404" in err
