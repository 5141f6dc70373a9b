"""What runs have pushed, by the metadata store."""

from __future__ import annotations

from pipeline import nodes
from pipeline.config import PipelineConfig
from pipeline.errors import UsageError
from pipeline.loop.turn import Done
from pipeline.runs import database
from pipeline.runs.metadata import open_store


def pushed_versions(config: PipelineConfig) -> list[int]:
    """The versions that were pushed; none where nothing has run yet."""
    try:
        with open_store(database.connection(config), config.name) as store:
            return [int(version) for version in store.pushed_versions()]
    except UsageError:
        return []


def pushed_by(config: PipelineConfig, run_id: str) -> Done:
    """What came of a run that is complete.

    Args:
      config: the pipeline's configuration.
      run_id: the run.
    """
    with open_store(database.connection(config), config.name) as store:
        pushed = store.run(run_id).output(nodes.PUSHER.id, "pushed_model")
    version = str(pushed.properties.get("pushed_version", "")) if pushed else ""
    return Done(f"version {version} was pushed" if version else "nothing was pushed", run_id, int(version or 0) or None)
