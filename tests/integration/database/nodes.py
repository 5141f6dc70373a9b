"""What the processes of these tests do."""

from __future__ import annotations

import time

from ml_metadata.proto import metadata_store_pb2 as mlmd

from pipeline.errors import ConveyorError
from pipeline.runs import database, execute
from pipeline.util.unexpected import as_conveyor_error

NODES = ("Source", "Left", "Right", "Join")


def connect(url: str, start: float) -> int:
    """Connects at a moment that others connect at too; returns the number of runs that the store knows."""
    time.sleep(max(0.0, start - time.time()))
    return len(database.connect(database.parse(url)).get_contexts_by_type("pipeline_run"))


def rewrite(url: str, artifacts: list[mlmd.Artifact]) -> None:
    """Writes artifacts in one transaction."""
    database.connect(database.parse(url)).put_artifacts(artifacts)


def run(ir: bytes, url: str, run_id: str, nodes: tuple[str, ...] = NODES, start: float = 0.0) -> list[str]:
    """Runs nodes, as pods do.

    Returns:
      Their states.

    Raises:
      ConveyorError: what a user would see of a node's failure.
    """
    from tfx.proto.orchestration import pipeline_pb2

    pipeline = pipeline_pb2.Pipeline.FromString(ir)
    execute.bind(pipeline, run_id)
    time.sleep(max(0.0, start - time.time()))
    states = []
    for node_id in nodes:
        try:
            states.append(execute.run(pipeline, node_id, database.parse(url)).state.value)
        except ConveyorError:
            raise
        except Exception as error:
            raise as_conveyor_error(error, node_id, "the log") from error
    return states
