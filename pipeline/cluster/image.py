"""The task image, which every pod runs: built with Docker, loaded into a kind cluster or pushed to a registry."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version

from rich.console import Console

from pipeline.errors import ConfigError, UsageError
from pipeline.util import checkout, programs

FORWARDED = ("PIP_DEFAULT_TIMEOUT", "PIP_EXTRA_INDEX_URL", "PIP_INDEX_URL", "PIP_TRUSTED_HOST")
"""Variables that tell pip where packages come from; where set, they hold in the build as well. The image does not keep them."""

_LABELS = "org.opencontainers.image"
_DOCKERFILE = "Dockerfile"
_KIND_PREFIX = "kind-"
_BUILD_FIX = (
    "The step that failed is shown above. Packages or a base image that cannot be fetched: see docs/image.md on mirrors, "
    "proxies and base images. Steps that are done are not repeated."
)


@dataclass(frozen=True)
class Image:
    """An image that the Docker engine has.

    Attributes:
      name: with its tag.
      size: bytes that it takes when unpacked; a registry holds it compressed, in a third of that.
      version: of Conveyor.
      revision: the commit that it was built from, with `-dirty` after it where files had changed since.
    """

    name: str
    size: int
    version: str
    revision: str


def build(name: str, console: Console, *, build_arguments: Sequence[str] = (), network: str | None = None) -> Image:
    """Builds the task image from this checkout, showing what Docker says.

    Args:
      name: of the image, with a tag.
      console: where the command lines and their output are shown.
      build_arguments: `NAME=VALUE` for arguments of the Dockerfile, such as BASE_IMAGE; `NAME` alone takes the value from the
        environment, and keeps it from being shown.
      network: of the build, as Docker knows it, such as `host`; Docker's default when not given.

    Returns:
      The image as Docker has it.

    Raises:
      ConfigError: the image's name has no tag, or `latest`.
      UsageError: Conveyor does not run from a checkout, or no Docker engine answers.
      ProgramError: the build failed.
    """
    check_name(name)
    checkout.require_file(_DOCKERFILE, "conveyor image build")
    programs.require_programs("docker")
    given = [
        f"VERSION={version('tfx-conveyor')}",
        f"REVISION={checkout.revision(_sources())}",
        *(variable for variable in FORWARDED if os.environ.get(variable)),
        *build_arguments,
    ]
    options = [part for argument in given for part in ("--build-arg", argument)]
    if network:
        options += ["--network", network]
    programs.run("docker", "build", *options, "--tag", name, str(checkout.ROOT), console=console, fix=_BUILD_FIX)
    return require(name)


def load(name: str, context: str, console: Console) -> Image:
    """Loads the image into a kind cluster, which has no registry to pull it from.

    Args:
      name: of the image, with a tag.
      context: of kubectl; kind's are called `kind-CLUSTER`.
      console: where the command lines and their output are shown.

    Returns:
      What was loaded.

    Raises:
      ConfigError: the image's name has no tag, or `latest`.
      UsageError: the context is not one of kind's, the cluster or the image is not there, or Docker or kind is missing.
      ProgramError: kind failed.
    """
    check_name(name)
    if not context.startswith(_KIND_PREFIX):
        raise UsageError(
            "Images are loaded into kind clusters only.",
            where="kubeflow.context",
            expected=f"{_KIND_PREFIX}CLUSTER",
            seen=context,
            fix="other clusters pull from a registry: conveyor image push",
        )
    programs.require_programs("docker", "kind")
    image = require(name)
    cluster = context.removeprefix(_KIND_PREFIX)
    clusters = programs.read("kind", "get", "clusters").split()
    if cluster not in clusters:
        raise UsageError(
            f"There is no kind cluster {cluster!r}.",
            where="kubeflow.context",
            expected=f"{_KIND_PREFIX}CLUSTER, of a cluster that is there",
            seen=", ".join(clusters) or "no cluster",
            fix="conveyor cluster up",
        )
    programs.run("kind", "load", "docker-image", name, "--name", cluster, console=console)
    return image


def push(name: str, console: Console) -> Image:
    """Pushes the image to the registry in its name.

    Args:
      name: of the image, with a registry and a tag.
      console: where the command line and its output are shown.

    Returns:
      What was pushed.

    Raises:
      ConfigError: the image's name has no registry, no tag, or `latest`.
      UsageError: the image is not there, or no Docker engine answers.
      ProgramError: the registry refused it.
    """
    check_name(name)
    if "/" not in name:
        raise ConfigError(
            "The image's name tells no registry.",
            where="kubeflow.image",
            expected=f"REGISTRY/{name}",
            seen=name,
            fix=f"build and push it under such a name: --set kubeflow.image=REGISTRY/{name}",
        )
    programs.require_programs("docker")
    image = require(name)
    programs.run(
        "docker", "push", name, console=console, fix="docker login REGISTRY, where the registry refuses you; then again"
    )
    return image


def require(name: str) -> Image:
    """The image as the Docker engine has it.

    Raises:
      UsageError: it has no such image.
    """
    try:
        (described,) = json.loads(programs.read("docker", "image", "inspect", name))
    except programs.ProgramError as error:
        raise UsageError(
            f"There is no image {name}.",
            where="kubeflow.image",
            expected="an image that the Docker engine has",
            seen=error.stderr.strip(),
            fix="conveyor image build",
        ) from error
    labels = described["Config"].get("Labels") or {}
    return Image(
        name=name,
        size=described["Size"],
        version=labels.get(f"{_LABELS}.version", checkout.UNKNOWN),
        revision=labels.get(f"{_LABELS}.revision", checkout.UNKNOWN),
    )


def check_name(name: str) -> None:
    """Makes sure that an image's name says which build it is.

    Raises:
      ConfigError: it has no tag, or `latest`, which a cluster always pulls anew, so that a loaded image would not be used; or a
        digest, which only a registry gives.
    """
    # A colon before the last slash belongs to the registry's port.
    _, _, tag = name.rpartition("/")[2].partition(":")
    if tag in ("", "latest") or "@" in name:
        raise ConfigError(
            "The image needs a tag that says which build it is.",
            where="kubeflow.image",
            expected="NAME:TAG, with another tag than latest",
            seen=name,
            fix=f"for example kubeflow.image: {name.partition('@')[0].removesuffix(f':{tag}')}:{version('tfx-conveyor')}",
        )


def _sources() -> list[str]:
    """What an image is made of, relative to the checkout: the Dockerfile, and what it copies from there."""
    copied = re.findall(r"^COPY (?!--from)(\S+)", (checkout.ROOT / _DOCKERFILE).read_text(), re.MULTILINE)
    return [_DOCKERFILE, ".dockerignore", *copied]
