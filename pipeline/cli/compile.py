"""`conveyor compile`: the pipeline as a package for Kubeflow Pipelines."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.options import ConfigArgument, Overrides, as_path, read_config

if TYPE_CHECKING:
    from rich.console import Console

    from pipeline.config import PipelineConfig


def compile_(
    config: ConfigArgument = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="The package to write; NAME.yaml when not given.", parser=as_path),
    ] = None,
    kubernetes: Annotated[
        bool,
        typer.Option(
            "--kubernetes", help="Write it as objects of Kubernetes, a Pipeline and a PipelineVersion, to be applied."
        ),
    ] = False,
    manifests: Annotated[
        Path | None,
        typer.Option(
            "--manifests",
            metavar="DIR",
            help="Write all that a cluster needs into a folder: these objects, and the volume, database and serving.",
            parser=as_path,
        ),
    ] = None,
    loop: Annotated[
        Path | None,
        typer.Option(
            "--loop",
            metavar="FILE",
            help="Write the objects of a conveyor loop in the cluster, which runs this package.",
            parser=as_path,
        ),
    ] = None,
    overrides: Overrides = None,
) -> None:
    """Compile the pipeline to a Kubeflow Pipelines package. This needs neither a cluster nor Docker.

    With --kubernetes, --manifests or --loop, what is written can be committed, and applied by kubectl, Argo CD or Flux.

    Example: conveyor compile --output flights.yaml
    """
    from rich.console import Console

    from pipeline.errors import UsageError

    if manifests is not None and (output is not None or kubernetes):
        raise UsageError(
            "--manifests writes a folder, in which the package is among the objects.",
            where="compile",
            fix="Leave out --output and --kubernetes.",
        )
    if loop is not None and (manifests is not None or output is not None or kubernetes):
        raise UsageError(
            "--loop writes a file, in which the package is among the objects.",
            where="compile",
            fix="Leave out --output, --kubernetes and --manifests.",
        )
    settings = read_config(config, overrides)
    path = loop or output or Path(f"{settings.name}.yaml")
    if manifests is None:
        _check_target(path)
    elif manifests.exists() and not manifests.is_dir():
        raise UsageError("This is not a folder.", where="--manifests", seen=str(manifests), fix="Name a folder, or a new one.")
    console = Console(stderr=True, highlight=False)
    with console.status("compiling (loading TFX takes some seconds)"):
        from pipeline.kubeflow.compile import compile_package

        package = compile_package(settings)
    if manifests is not None:
        _write_manifests(settings, package, manifests, console)
        return
    if loop is not None:
        _write_loop(settings, package, loop, console)
        return
    text = _objects_text(settings, package) if kubernetes else package
    path.write_text(text)
    console.print(f"{path}: {len(text) / 1024:.0f} KiB, for the image {settings.kubeflow.image}.", soft_wrap=True)
    next_step = (
        f"kubectl apply --server-side -f {path}   (for an API server that keeps pipelines in Kubernetes)"
        if kubernetes
        else "`conveyor submit` compiles, uploads and runs it; or upload the file in the dashboard."
    )
    console.print(next_step, style="dim", soft_wrap=True)


def _objects_text(settings: PipelineConfig, package: str) -> str:
    from pipeline.cluster.gitops import as_yaml
    from pipeline.kubeflow.versions import version_objects

    return as_yaml(version_objects(settings.name, package, settings.kubeflow.namespace))


def _write_loop(settings: PipelineConfig, package: str, path: Path, console: Console) -> None:
    from pipeline.cluster.gitops import as_yaml
    from pipeline.kubeflow.loop_objects import loop_objects

    path.write_text(as_yaml(loop_objects(settings, package)))
    console.print(f"{path}: a turn every fifteen minutes, for the image {settings.kubeflow.image}.", soft_wrap=True)
    command = f"kubectl --context {settings.kubeflow.context} apply --server-side -f {path}"
    console.print(f"{command}, then: conveyor loop --target cluster --list", style="dim", soft_wrap=True)


def _write_manifests(settings: PipelineConfig, package: str, folder: Path, console: Console) -> None:
    from pipeline.cluster.gitops import committed_files
    from pipeline.kubeflow.versions import version_objects

    files = committed_files(settings, version_objects(settings.name, package, settings.kubeflow.namespace))
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text)
    console.print(f"{folder}: {', '.join(files)}, for the image {settings.kubeflow.image}.", soft_wrap=True)
    console.print(
        f"{folder / 'README.md'} says how to apply them, and which Secrets there have to be.", style="dim", soft_wrap=True
    )


def _check_target(path: Path) -> None:
    from pipeline.errors import UsageError

    if path.suffix not in (".yaml", ".yml"):
        raise UsageError(
            "A package is a YAML file.",
            where="--output or --loop",
            expected="a name that ends in .yaml or .yml",
            seen=str(path),
            fix=f"Write: {path.with_suffix('.yaml')}",
        )
    if not path.absolute().parent.is_dir():
        raise UsageError(
            "The folder for the package does not exist.",
            where=str(path.absolute().parent),
            fix=f"Run: mkdir -p {path.absolute().parent}",
        )
