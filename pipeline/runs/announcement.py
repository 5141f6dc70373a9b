"""What other programs are told when a run has ended: how, and whether its model was blessed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from pydantic import JsonValue

from pipeline import nodes
from pipeline.errors import ConveyorError, UsageError
from pipeline.runs import database
from pipeline.runs.metadata import Run, open_store
from pipeline.runs.openlineage import events_of
from pipeline.runs.status import NodeState, RunOutcome
from pipeline.util.events import EventType, post, post_json

if TYPE_CHECKING:
    from pipeline.config import PipelineConfig


def announce(config: PipelineConfig, outcome: RunOutcome) -> ConveyorError | None:
    """Posts the events of a run that has ended, where `events` says so.

    Args:
      config: the pipeline's configuration.
      outcome: the run's outcome.

    Returns:
      Why the events lack the run's nodes and its verdict; None if they have them, there are none, or nothing is posted.
    """
    if config.events.url is None and config.events.openlineage is None:
        return None
    run, problem = Run(outcome.run_id, config.name, {}), None
    try:
        with open_store(database.connection(config), config.name) as store:
            run = store.run(outcome.run_id)
    except UsageError:
        # Nothing has run yet: it has ended before its first node.
        pass
    except ConveyorError as error:
        problem = error
    _announce(config, outcome, run)
    if config.events.openlineage is not None:
        for event in events_of(config, outcome, run):
            name = f"{event['eventType']} of {event['job']['name']}"
            post_json(config.events.openlineage, event, name, "events.openlineage")
    return problem


def _announce(config: PipelineConfig, outcome: RunOutcome, run: Run) -> None:
    about: dict[str, JsonValue] = {"run": outcome.run_id, "note": outcome.note}
    # The exit task on Kubeflow may be tried again, and a run that failed may be retried as a whole.
    once = f"{outcome.state.value} {max((node.started or 0.0 for node in outcome.nodes.values()), default=0.0)}"
    ended = {
        **about,
        "state": outcome.state.value,
        "seconds": round((outcome.ended or time.time()) - outcome.started, 1),
        "failed": [name for name, node in outcome.nodes.items() if node.state is NodeState.FAILED],
        "problem": outcome.problem.model_dump(exclude={"traceback"}) if outcome.problem else None,
    }
    post(config.events.url, EventType.RUN_ENDED, config.name, outcome.run_id, ended, once)
    if refusal := run.refusal():
        told = {**about, "refused_by": refusal[0]}
        post(config.events.url, EventType.MODEL_NOT_BLESSED, config.name, outcome.run_id, told, once)
    elif run.output(nodes.EVALUATOR.id, nodes.BLESSING_KEY) is not None:
        pushed = run.output(nodes.PUSHER.id, "pushed_model")
        version = str(pushed.properties.get("pushed_version", "")) if pushed else ""
        told = {**about, "version": int(version) if version else None}
        post(config.events.url, EventType.MODEL_BLESSED, config.name, outcome.run_id, told, once)
