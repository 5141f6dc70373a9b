"""What is told of runs to a tracking server: once each, now or, where it is away, later.

Where none is configured, nothing more than this is imported.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.errors import ConveyorError

if TYPE_CHECKING:
    from pipeline.config import PipelineConfig


def track_ended(config: PipelineConfig, run_id: str) -> ConveyorError | None:
    """Sends a run that has just ended, and what was missed before it.

    Args:
      config: the pipeline's configuration.
      run_id: the run.

    Returns:
      Why not all was sent; None if it was, or no server is configured. What was missed is kept, and sent later.
    """
    if config.tracking.mlflow is None:
        return None
    from pipeline.tracking import tracker

    return tracker.track_ended(config, run_id)


def track_rollout(config: PipelineConfig, folder: str, stable: int | None, canary: int | None) -> ConveyorError | None:
    """Moves the aliases to the versions of a rollout.

    Args:
      config: the pipeline's configuration.
      folder: the serving folder that the versions are in.
      stable: the stable version; None without one.
      canary: the version that is tried; None without one.

    Returns:
      Why they were not moved; None if they were, or no server is configured. What was missed is kept, and sent later.
    """
    if config.tracking.mlflow is None:
        return None
    from pipeline.tracking import tracker

    return tracker.track_rollout(config, folder, stable, canary)
