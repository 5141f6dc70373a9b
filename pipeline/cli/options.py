"""Arguments and options that several commands share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.completion import complete_field
from pipeline.errors import UsageError
from pipeline.util.paths import expand_home, require_path

if TYPE_CHECKING:
    from pipeline.config import PipelineConfig

# The configurations that are used when none is named.
DEFAULT_CONFIGS = (Path("pipeline.yaml"), Path("examples/flights/pipeline.yaml"))

_CONFIG_HELP = f"The pipeline's configuration; by default {DEFAULT_CONFIGS[0]} or {DEFAULT_CONFIGS[1]}, whichever is there."


def as_path(text: str) -> Path:
    """A path of the command line, with the home folder in place of `~`, for which shells leave it in `--file=~/x`.

    Raises:
      UsageError: it is an address such as s3://bucket/file, or in the home folder of a user who does not exist.
    """
    require_path(str(text), where="the command line")
    return Path(expand_home(str(text)))


ConfigArgument = Annotated[
    Path | None,
    typer.Argument(metavar="CONFIG", envvar="CONVEYOR_CONFIG", help=_CONFIG_HELP, show_default=False, parser=as_path),
]
"""For commands that take nothing but a configuration."""

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        metavar="CONFIG",
        envvar="CONVEYOR_CONFIG",
        help=_CONFIG_HELP,
        show_default=False,
        parser=as_path,
    ),
]
"""For commands whose argument is something else: a run, a version."""

Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="FIELD=VALUE",
        help="Override a field, such as training.epochs=3. Repeatable.",
        show_default=False,
        autocompletion=complete_field,
    ),
]
"""Fields set on the command line."""

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
"""Output for programs."""


def find_config(named: Path | None) -> Path:
    """The configuration to use: the one named, otherwise the first default that exists.

    Args:
      named: what the person named on the command line or in CONVEYOR_CONFIG, if anything.

    Raises:
      UsageError: none is named and no default exists.
    """
    if named is not None:
        return named
    for path in DEFAULT_CONFIGS:
        if path.is_file():
            return path
    raise UsageError(
        "No configuration is named, and there is none at the default places.",
        where=str(Path.cwd()),
        expected=" or ".join(map(str, DEFAULT_CONFIGS)),
        fix="Name one on the command line, or in the environment variable CONVEYOR_CONFIG.",
    )


def read_config(named: Path | None, overrides: Sequence[str] | None = None, *, as_written: bool = False) -> PipelineConfig:
    """Finds and loads the configuration of a command.

    Args:
      named: what the person named, if anything.
      overrides: `field=value` for each `--set`.
      as_written: leaves paths as they stand in the file, to be shown.

    Raises:
      UsageError: no configuration is named or found.
      ConfigError: it cannot be read, or is not valid.
    """
    from pipeline.config.loading import load_config

    return load_config(find_config(named), overrides or (), as_written=as_written)
