"""A pipeline: its configuration, its runs and its models."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from conveyor.model import Model
from conveyor.run import Run
from pipeline.config.loading import build_config, load_config
from pipeline.contracts import signature
from pipeline.contracts.serving_folder import versions
from pipeline.errors import UsageError
from pipeline.runs.find import LATEST, find_run, run_ids
from pipeline.util.suggestions import did_you_mean

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from pipeline.config import PipelineConfig


def load(path: str | Path = "pipeline.yaml", overrides: Mapping[str, Any] | None = None) -> Pipeline:
    """The pipeline that a file configures.

    Args:
      path: a YAML file, as `conveyor init` writes it. Paths in it are relative to its folder.
      overrides: values by field, such as `{"training.epochs": 3}`.

    Raises:
      ConfigError: the file cannot be read, or it and the overrides do not make a valid configuration.
    """
    fields = [f"{field}={json.dumps(value)}" for field, value in (overrides or {}).items()]
    return Pipeline(load_config(Path(path).expanduser(), fields))


class Pipeline:
    """A pipeline: its configuration, its runs and its models.

    Args:
      config: the configuration. `load` reads it from a file, `Pipeline.of` takes its fields.
    """

    def __init__(self, config: PipelineConfig) -> None:
        self.config = config

    @classmethod
    def of(cls, **fields: Any) -> Pipeline:
        """A pipeline without a file.

        `Pipeline.of(name="houses", task="regression", label="price", data={"input": "houses.csv"})`

        Args:
          **fields: the fields of docs/configuration.md, as in YAML; paths are relative to the working directory.

        Raises:
          ConfigError: they do not make a valid configuration.
        """
        return cls(build_config(fields, Path.cwd()))

    def run(
        self, *, from_nodes: tuple[str, ...] = (), to_nodes: tuple[str, ...] = (), cache: bool = True, progress: bool = True
    ) -> Run:
        """Runs the pipeline: from data to a blessed, pushed model. A run that was cut off goes on where it was.

        Args:
          from_nodes: nodes at which to start, to take what comes before from an earlier run.
          to_nodes: nodes at which to end.
          cache: whether nodes are left out for which nothing has changed.
          progress: whether to print a line for each node that has ended.

        Returns:
          The run, also where its model was not blessed: `run.blessed` says so, and `run.verdict` why.

        Raises:
          ConveyorError: a node failed, or the run could not start.
        """
        from pipeline.local.progress import observe
        from pipeline.local.training import train

        config = self.config if cache else self._uncached()
        with observe(_console(progress), config.runs_path) as observer:
            run = train(config, observer, from_nodes=from_nodes, to_nodes=to_nodes)
        if run.outcome.problem:
            raise run.outcome.problem.as_error()
        return Run(config, run.outcome.run_id)

    def score(
        self, output: str | Path, input: str | Path | None = None, *, span: int | None = None, progress: bool = True
    ) -> Path:
        """Scores a table with the newest pushed version: the table as it came, with predictions beside each row.

        Args:
          output: the Parquet file to write.
          input: the table: a file, or several by `*` and `?`; the configuration's data when None, of spans the newest.
          span: instead of `input`, a span of the configuration's data.
          progress: whether to print a line for each node that has ended.

        Returns:
          The path of the file; `pandas.read_parquet` reads it.

        Raises:
          UsageError: no model has been blessed yet.
          ConveyorError: the table cannot be scored.
        """
        from pipeline.local.progress import observe
        from pipeline.local.scoring import check_destination, runs_folder, score

        destination = check_destination(Path(output).expanduser())
        pattern = None if input is None else str(Path(input).expanduser().absolute())
        with observe(_console(progress), runs_folder(self.config)) as observer:
            score(self.config, destination, observer, input_pattern=pattern, span=span)
        return destination

    def runs(self) -> pd.DataFrame:
        """All runs, newest first: state, when it started (UTC), how long it took in seconds, data, metric, pushed version.

        Raises:
          UsageError: nothing has run in the workspace.
        """
        import pandas as pd

        rows = [Run(self.config, run_id).as_row() for run_id in reversed(run_ids(self.config))]
        return pd.DataFrame(rows).set_index("run")

    def find_run(self, run: str = LATEST) -> Run:
        """An earlier run.

        Args:
          run: its id, the beginning of one, or `latest`.

        Raises:
          UsageError: no run is meant, or more than one.
        """
        return Run(self.config, find_run(self.config, run))

    def model(self, version: int | None = None) -> Model:
        """A pushed model, loaded into this process.

        Args:
          version: its version; the newest when None.

        Raises:
          UsageError: there is no such version, or none at all.
          UntrustedModelError: it is not what was signed, where `push.public_key` names a key.
          ServingError: it cannot be loaded.
        """
        folder = self.config.serving_path
        pushed = versions(folder)
        if not pushed:
            raise UsageError(
                "No model has been pushed yet.",
                where=str(folder),
                expected="a folder for each pushed version",
                seen="none",
                fix="Run the pipeline, which trains, evaluates and pushes one: pipeline.run()",
            )
        if version is not None and version not in pushed:
            raise UsageError(
                f"There is no version {version}.",
                where=str(folder),
                expected=f"one of {', '.join(map(str, pushed))}",
                seen=str(version),
                fix=did_you_mean(str(version), map(str, pushed)) or "Leave the version out for the newest.",
            )
        chosen = pushed[-1] if version is None else version
        if (key := self.config.push.public_key) is not None:
            signature.verify(folder / str(chosen), self.config.name, signature.public_key(Path(self.config.resolve(key))))
        return Model(self.config, folder / str(chosen), chosen)

    def __repr__(self) -> str:
        config = self.config
        return f"Pipeline({config.name!r}: {config.task.value} of {config.label!r} in {config.data.input})"

    def _uncached(self) -> PipelineConfig:
        execution = self.config.execution.model_copy(update={"cache": False})
        return self.config.model_copy(update={"execution": execution})


def _console(progress: bool) -> Console:
    """Notebooks show text as it comes, and not a table that is drawn again and again."""
    from rich.console import Console

    return Console(force_jupyter=False, force_terminal=False, quiet=not progress)
