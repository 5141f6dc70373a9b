"""`conveyor image`: builds the task image, and loads or pushes it to the cluster."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.options import ConfigArgument, Overrides, read_config

if TYPE_CHECKING:
    from pipeline.cluster.image import Image

app = typer.Typer(help="Build the image that pods run, and make it available to the cluster.", no_args_is_help=True)


@app.command()
def build(
    config: ConfigArgument = None,
    overrides: Overrides = None,
    build_arguments: Annotated[
        list[str] | None,
        typer.Option(
            "--build-arg",
            metavar="NAME[=VALUE]",
            help="An argument of the Dockerfile, such as BASE_IMAGE=IMAGE. Without a value: from the environment. Repeatable.",
        ),
    ] = None,
    network: Annotated[str | None, typer.Option(metavar="NETWORK", help="The network of the build, such as host.")] = None,
) -> None:
    """Build the image from this checkout. pip's environment variables for package indexes are passed to the build.

    Example: conveyor image build --network host
    """
    from rich.console import Console

    from pipeline.cluster import image
    from pipeline.cluster.kind import cluster_name

    settings = read_config(config, overrides)
    started = time.monotonic()
    built = image.build(settings.kubeflow.image, Console(), build_arguments=build_arguments or (), network=network)
    next_command = "load" if cluster_name(settings.kubeflow.context) else "push"
    typer.echo(f"Built {_described(built)}, in {time.monotonic() - started:.0f} s\nNext: conveyor image {next_command}")


@app.command()
def load(config: ConfigArgument = None, overrides: Overrides = None) -> None:
    """Load the image into the kind cluster, and prepare the volume with it where `cluster up` has not.

    Example: conveyor image load
    """
    from rich.console import Console

    from pipeline.cluster import image, install

    settings, console = read_config(config, overrides), Console()
    loaded = image.load(settings.kubeflow.image, settings.kubeflow.context, console)
    install.prepare(settings, console)
    typer.echo(f"Loaded {_described(loaded)}\nNext: conveyor submit")


@app.command()
def push(config: ConfigArgument = None, overrides: Overrides = None) -> None:
    """Push the image to the registry in its name.

    Example: conveyor image push
    """
    from rich.console import Console

    from pipeline.cluster import image

    pushed = image.push(read_config(config, overrides).kubeflow.image, Console())
    typer.echo(f"Pushed {_described(pushed)}")
    if pushed.digest:
        typer.echo(f"By its digest, whatever the tag names later: kubeflow.image: {pushed.name}@{pushed.digest}")
    typer.echo("Next: conveyor submit")


def _described(image: Image) -> str:
    commit, _, dirty = image.revision.partition("-")
    changes = " and changes that are not committed" if dirty else ""
    return f"{image.name}: {image.size / 1e9:.2f} GB unpacked, version {image.version}, revision {commit[:12]}{changes}"
