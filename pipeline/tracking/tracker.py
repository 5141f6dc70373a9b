"""Sends runs and aliases to the tracking server: what has ended, and what was missed before."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pipeline.config import PipelineConfig
from pipeline.errors import ConveyorError, StorageError
from pipeline.report.read.run_details import read_run_details
from pipeline.tracking import marks, registry, runs
from pipeline.tracking.marks import Aliases
from pipeline.tracking.record import record_of
from pipeline.tracking.server import TrackingError, TrackingServer

_SECONDS_AT_THE_END = 60.0
"""How long the end of a run, or a change of the rollout, may wait for a server that answers. What is left is sent later."""


@dataclass(frozen=True)
class Sent:
    """What came of sending a run.

    Attributes:
      run_id: the run.
      problem: why it was not sent, or not all of it; None if it was.
    """

    run_id: str
    problem: ConveyorError | None = None


def track_ended(config: PipelineConfig, run_id: str) -> ConveyorError | None:
    """`pipeline.tracking.track_ended`, where a server is configured."""
    try:
        # Should this process end before it has sent the run, the next one knows of it.
        marks.new_mark(config).save(config.runs_path / run_id)
        sent = list(send_runs(config, marks.missed(config), _SECONDS_AT_THE_END))
        return send_aliases_after(config, sent, _SECONDS_AT_THE_END)
    except OSError as error:
        return _unwritable(config, error)


def track_rollout(config: PipelineConfig, folder: str, stable: int | None, canary: int | None) -> ConveyorError | None:
    """`pipeline.tracking.track_rollout`, where a server is configured."""
    try:
        Aliases(folder=folder, stable=stable, canary=canary).save(config)
        return send_aliases(config, _SECONDS_AT_THE_END)
    except OSError as error:
        return _unwritable(config, error)


def send_runs(config: PipelineConfig, run_ids: Sequence[str], seconds: float) -> Iterator[Sent]:
    """Sends runs one after the other. One that is refused keeps none of the others from being sent; a server that is away does.

    Args:
      config: the pipeline's configuration, in which a server is named.
      run_ids: the runs.
      seconds: how long it may take.

    Yields:
      What came of each.

    Raises:
      OSError: the workspace cannot be read or written to.
    """
    if not run_ids:
        return
    with TrackingServer(marks.new_mark(config).server, seconds) as server:
        for run_id in run_ids:
            problem = _send_run(server, config, run_id)
            yield Sent(run_id, problem)
            if _is_general(problem):
                return


def send_aliases_after(config: PipelineConfig, sent: Sequence[Sent], seconds: float) -> ConveyorError | None:
    """Moves the aliases as `send_aliases` does, unless the server was away when runs were sent.

    Args:
      config: the pipeline's configuration, in which a server is named.
      sent: what came of the runs.
      seconds: how long it may take.

    Returns:
      Why not all was sent: the first problem of the runs and the aliases; None if there is nothing more to send.

    Raises:
      OSError: the workspace cannot be written to.
    """
    problems = [each.problem for each in sent if each.problem]
    if not any(map(_is_general, problems)):
        problems += filter(None, [send_aliases(config, seconds)])
    return next(iter(problems), None)


def send_aliases(config: PipelineConfig, seconds: float) -> ConveyorError | None:
    """Moves the aliases, if the server has missed a change of the rollout.

    Args:
      config: the pipeline's configuration, in which a server is named.
      seconds: how long it may take.

    Returns:
      Why they were not moved; None if there is nothing more to send.

    Raises:
      OSError: the workspace cannot be written to.
    """
    aliases = marks.read_aliases(config)
    if aliases is None or aliases.sent:
        return None
    try:
        with TrackingServer(marks.new_mark(config).server, seconds) as server:
            registry.move_aliases(server, config.name, aliases)
    except TrackingError as error:
        return error
    aliases.model_copy(update={"sent": True}).save(config)
    return None


def _send_run(server: TrackingServer, config: PipelineConfig, run_id: str) -> ConveyorError | None:
    mark, problem = marks.new_mark(config), None
    try:
        mark.run = runs.send_run(server, mark.experiment, record_of(read_run_details(config, run_id)))
        mark.sent = True
    except ConveyorError as error:
        problem, mark.problem = error, error.what
    mark.save(config.runs_path / run_id)
    return problem


def _is_general(problem: ConveyorError | None) -> bool:
    return isinstance(problem, TrackingError) and problem.is_general


def _unwritable(config: PipelineConfig, error: OSError) -> StorageError:
    return StorageError(
        "What the tracking server is to be told cannot be read or kept.",
        where=error.filename or str(config.workspace_path),
        seen=error.strerror or str(error),
        fix="Correct the rights of the workspace, or make room. Then: conveyor track --all",
    )
