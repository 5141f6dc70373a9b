"""A table scored on this machine with the newest pushed model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import UsageError
from pipeline.local.runner import Observer, run_pipeline
from pipeline.local.worker import PipelineFactory
from pipeline.runs import database
from pipeline.runs.metadata import open_store

if TYPE_CHECKING:
    from pipeline.config import PipelineConfig


def score(
    config: PipelineConfig,
    destination: Path,
    observer: Observer,
    *,
    input_pattern: str | None = None,
    span: int | None = None,
    file_format: str = "auto",
) -> None:
    """Scores a table.

    Args:
      config: the configuration of the pipeline that made the model.
      destination: the Parquet file to write; its path is absolute.
      observer: called with the outcome so far after each change and several times a second.
      input_pattern: the table, as an absolute path or an address with `*` and `?`; the configuration's data when None, of spans
        the newest.
      span: the span to read instead of the newest.
      file_format: the format of `input_pattern`; `auto` decides by the file name.

    Raises:
      UsageError: no model has been blessed yet, or the data of the configuration has no spans.
      ConveyorError: the table cannot be scored.
    """
    if span is not None and "{SPAN}" not in config.data.input:
        raise UsageError(
            "The data of this configuration has no spans.",
            where="data.input",
            expected="a pattern with {SPAN}",
            seen=config.data.input,
            fix="Name the table with --input instead.",
        )
    _require_blessed_model(config)
    arguments = {
        "config": config,
        "input_pattern": input_pattern or config.resolve(config.data.input),
        "destination": str(destination),
        "file_format": file_format if input_pattern else config.data.format,
        "span": span,
    }
    factory = PipelineFactory("pipeline.scoring:create_scoring_pipeline", arguments)
    outcome = run_pipeline(config, factory, name=config.scoring_name, observer=observer)
    if outcome.problem:
        raise outcome.problem.as_error()


def runs_folder(config: PipelineConfig) -> Path:
    """The folder of the runs that score tables, with their logs."""
    return config.workspace_path / "runs" / config.scoring_name


def check_destination(path: Path) -> Path:
    """The file to write, as an absolute path.

    Raises:
      UsageError: it is not the name of a Parquet file.
    """
    if path.suffix != ".parquet" or path.is_dir():
        raise UsageError(
            "Predictions are written as one Parquet file.",
            where="the output",
            expected="a file name that ends in .parquet",
            seen=str(path),
            fix=f"Name such a file: {path / 'scored.parquet' if path.is_dir() else path.with_suffix('.parquet')}",
        )
    return path.absolute()


def _require_blessed_model(config: PipelineConfig) -> None:
    connection = database.connection(config)
    with open_store(connection, config.name) as store:
        if not store.pushed_versions():
            raise UsageError(
                "No model has been blessed yet.",
                where=database.address(connection),
                expected=f"a model that {config.name} has blessed and pushed",
                fix="Run `conveyor run`, which trains, evaluates and pushes one.",
            )
