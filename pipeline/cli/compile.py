"""`conveyor compile`: the pipeline as a package for Kubeflow Pipelines."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.options import ConfigArgument, Overrides, as_path, read_config


def compile_(
    config: ConfigArgument = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="The package to write; NAME.yaml when not given.", parser=as_path),
    ] = None,
    overrides: Overrides = None,
) -> None:
    """Compile the pipeline to a Kubeflow Pipelines package. This needs neither a cluster nor Docker.

    Example: conveyor compile --output flights.yaml
    """
    from rich.console import Console

    settings = read_config(config, overrides)
    path = output or Path(f"{settings.name}.yaml")
    _check_target(path)
    console = Console(stderr=True, highlight=False)
    with console.status("compiling (loading TFX takes some seconds)"):
        from pipeline.kubeflow.compile import compile_package

        package = compile_package(settings)
    path.write_text(package)
    console.print(f"{path}: {len(package) / 1024:.0f} KiB, for the image {settings.kubeflow.image}.", soft_wrap=True)
    console.print(
        "`conveyor submit` compiles, uploads and runs it; or upload the file in the dashboard.",
        style="dim",
        soft_wrap=True,
    )


def _check_target(path: Path) -> None:
    from pipeline.errors import UsageError

    if path.suffix not in (".yaml", ".yml"):
        raise UsageError(
            "A package is a YAML file.",
            where="--output",
            expected="a name that ends in .yaml or .yml",
            seen=str(path),
            fix=f"Write: --output {path.with_suffix('.yaml')}",
        )
    if not path.absolute().parent.is_dir():
        raise UsageError(
            "The folder for the package does not exist.",
            where=str(path.absolute().parent),
            fix=f"Run: mkdir -p {path.absolute().parent}",
        )
