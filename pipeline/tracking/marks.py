"""What has been sent and what has not: a mark in the folder of each run, and one for the rollout."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel

from pipeline.config import PipelineConfig
from pipeline.util import files
from pipeline.util.sealed import seal, unseal

FILE_NAME = "tracking.json"


class Mark(BaseModel):
    """What was sent of a run.

    Attributes:
      server: the address of the tracking server.
      experiment: the experiment's name.
      run: the server's id of the run; empty where it has none yet.
      sent: whether it has all of it.
      problem: why it has not; empty where that was not tried.
    """

    server: str
    experiment: str
    run: str = ""
    sent: bool = False
    problem: str = ""

    def save(self, folder: Path) -> None:
        """Writes the mark into a run's folder."""
        files.write(folder / FILE_NAME, seal(self.model_dump_json(indent=2)))


class Aliases(BaseModel):
    """Which versions are to have the aliases.

    Attributes:
      folder: the serving folder that the versions are in.
      stable: the stable version; None without one.
      canary: the version that is tried; None without one.
      sent: whether the server knows.
    """

    folder: str
    stable: int | None = None
    canary: int | None = None
    sent: bool = False

    def save(self, config: PipelineConfig) -> None:
        """Keeps them in the workspace."""
        files.write(_aliases_path(config), seal(self.model_dump_json(indent=2)))


def read_mark(config: PipelineConfig, run_id: str) -> Mark | None:
    """The mark of a run, if it is one for the configured server and experiment. A damaged one counts as none."""
    try:
        mark = Mark.model_validate_json(unseal((config.runs_path / run_id / FILE_NAME).read_bytes()))
    except (OSError, ValueError):
        return None
    fresh = new_mark(config)
    return mark if (mark.server, mark.experiment) == (fresh.server, fresh.experiment) else None


def new_mark(config: PipelineConfig) -> Mark:
    """The mark of a run of which nothing was sent."""
    mlflow = config.tracking.mlflow
    assert mlflow is not None, "whoever tracks has made sure of it"
    return Mark(server=mlflow.uri.rstrip("/"), experiment=mlflow.experiment.replace("{name}", config.name))


def missed(config: PipelineConfig) -> list[str]:
    """The runs that were to be sent and are not, the oldest first."""
    found = (folder.parent.name for folder in config.runs_path.glob(f"*/{FILE_NAME}"))
    return sorted(run_id for run_id in found if (mark := read_mark(config, run_id)) and not mark.sent)


def read_aliases(config: PipelineConfig) -> Aliases | None:
    """The aliases as they are to be; None where there was no rollout since tracking began."""
    try:
        return Aliases.model_validate_json(unseal(_aliases_path(config).read_bytes()))
    except (OSError, ValueError):
        return None


def _aliases_path(config: PipelineConfig) -> Path:
    return config.workspace_path / "tracking" / f"{config.name}.json"
