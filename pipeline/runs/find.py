"""The runs of a pipeline, and finding one by what a person types."""

from __future__ import annotations

import difflib

from pipeline.config import PipelineConfig
from pipeline.errors import UsageError
from pipeline.runs import database
from pipeline.runs.metadata import open_store
from pipeline.runs.status import FILE_NAME, RunOutcome

LATEST = "latest"
_MOST_SHOWN = 5


def run_ids(config: PipelineConfig) -> list[str]:
    """Every run that left a trace in its folder or in the metadata store, oldest first.

    Raises:
      UsageError: nothing has run in the workspace.
    """
    started = {path.parent.name: RunOutcome.load(path.parent).started for path in config.runs_path.glob(f"*/{FILE_NAME}")}
    connection = database.connection(config)
    if database.exists(connection) or not started:
        with open_store(connection, config.name) as store:
            started = {**store.run_starts(), **started}
    return sorted(started, key=lambda run_id: (started[run_id], run_id))


def find_run(config: PipelineConfig, wanted: str) -> str:
    """The id of a run.

    Args:
      config: the pipeline's configuration.
      wanted: an id, the beginning of one, or `latest`.

    Raises:
      UsageError: no run is meant, or more than one.
    """
    known = run_ids(config)
    if not known:
        raise UsageError(
            f"{config.name} has no run yet.", where=str(config.workspace_path), fix="`conveyor run` runs the pipeline"
        )
    if wanted == LATEST:
        return known[-1]
    matching = [run_id for run_id in known if run_id == wanted] or [run_id for run_id in known if run_id.startswith(wanted)]
    if len(matching) == 1:
        return matching[0]
    shown = (matching or known)[-_MOST_SHOWN:]
    close = difflib.get_close_matches(wanted, [*known, LATEST], n=1, cutoff=0.5)
    raise UsageError(
        f"{len(matching)} runs begin with {wanted!r}." if matching else f"There is no run {wanted!r}.",
        where=config.name,
        expected=f"`latest`, or an id or its beginning: {', '.join(reversed(shown))}",
        seen=wanted,
        fix="give more of the id" if matching else f"did you mean {close[0]!r}?" if close else "`conveyor runs` lists them",
    )
