"""The task image, which every pod runs: built with Docker, loaded into a kind cluster or pushed to a registry."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version

from rich.console import Console

from pipeline.cluster.kind import cluster_name
from pipeline.errors import ConfigError, UsageError
from pipeline.util import checkout, programs

FORWARDED = ("PIP_DEFAULT_TIMEOUT", "PIP_EXTRA_INDEX_URL", "PIP_INDEX_URL", "PIP_TRUSTED_HOST")
"""Environment variables with pip's package indexes. They are passed to the build; the image does not keep them."""

_LABELS = "org.opencontainers.image"
_DOCKERFILE = "Dockerfile"
_BUILD_FIX = (
    "The step that failed is shown above. If packages or a base image cannot be fetched, docs/image.md describes mirrors, "
    "proxies and base images. Steps that are done are not repeated."
)


@dataclass(frozen=True)
class Image:
    """An image that the Docker engine has.

    Attributes:
      name: its name with its tag.
      size: its size in bytes when unpacked; compressed in a registry, it takes a third of that.
      version: the version of Conveyor in it.
      revision: the commit that it was built from, followed by `-dirty` where files had changed since.
      digest: its digest in the registry of its name; empty where it was not pushed there.
    """

    name: str
    size: int
    version: str
    revision: str
    digest: str


def build(name: str, console: Console, *, build_arguments: Sequence[str] = (), network: str | None = None) -> Image:
    """Builds the task image from this checkout, showing Docker's output.

    Args:
      name: the image's name, with a tag.
      console: where the command lines and their output are shown.
      build_arguments: `NAME=VALUE` for arguments of the Dockerfile, such as BASE_IMAGE; `NAME` alone takes the value from the
        environment without showing it.
      network: the network of the build, such as `host`; Docker's default when not given.

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
    """Loads the image into a kind cluster, which cannot pull it from a registry.

    Args:
      name: the image's name, with a tag.
      context: the context of kubectl; kind's are called `kind-CLUSTER`.
      console: where the command lines and their output are shown.

    Returns:
      The image that was loaded.

    Raises:
      ConfigError: the image's name has no tag, or `latest`.
      UsageError: the context is not one of kind's, the cluster or the image does not exist, or Docker or kind is missing.
      ProgramError: kind failed.
    """
    check_name(name)
    cluster = cluster_name(context)
    if cluster is None:
        raise UsageError(
            "Images are loaded into kind clusters only.",
            where="kubeflow.context",
            expected="kind-CLUSTER",
            seen=context,
            fix="Other clusters pull from a registry: conveyor image push",
        )
    programs.require_programs("docker", "kind")
    image = require(name)
    clusters = programs.read("kind", "get", "clusters").split()
    if cluster not in clusters:
        raise UsageError(
            f"There is no kind cluster {cluster!r}.",
            where="kubeflow.context",
            expected="kind-CLUSTER, with the name of a cluster",
            seen=", ".join(clusters) or "no cluster",
            fix="Run: conveyor cluster up",
        )
    programs.run("kind", "load", "docker-image", name, "--name", cluster, console=console)
    return image


def push(name: str, console: Console) -> Image:
    """Pushes the image to the registry in its name.

    Args:
      name: the image's name, with a registry and a tag.
      console: where the command line and its output are shown.

    Returns:
      The image that was pushed.

    Raises:
      ConfigError: the image's name has no registry, no tag, or `latest`.
      UsageError: the image does not exist, or no Docker engine answers.
      ProgramError: the registry refused it.
    """
    check_name(name)
    if "/" not in name:
        raise ConfigError(
            "The image's name has no registry.",
            where="kubeflow.image",
            expected=f"REGISTRY/{name}",
            seen=name,
            fix=f"Build and push it under such a name: --set kubeflow.image=REGISTRY/{name}",
        )
    programs.require_programs("docker")
    require(name)
    programs.run(
        "docker", "push", name, console=console, fix="If the registry refuses you: docker login REGISTRY, then push again."
    )
    return require(name)


def require(name: str) -> Image:
    """The image as the Docker engine has it.

    Raises:
      UsageError: there is no such image.
    """
    try:
        (described,) = json.loads(programs.read("docker", "image", "inspect", name))
    except programs.ProgramError as error:
        raise UsageError(
            f"There is no image {name}.",
            where="kubeflow.image",
            expected="an image that the Docker engine has",
            seen=error.stderr.strip(),
            fix="Run: conveyor image build",
        ) from error
    labels = described["Config"].get("Labels") or {}
    registry, _, last = name.rpartition("/")
    repository = f"{registry}/{last.partition(':')[0]}"
    digests = dict(each.split("@") for each in described.get("RepoDigests") or ())
    return Image(
        name=name,
        size=described["Size"],
        version=labels.get(f"{_LABELS}.version", checkout.UNKNOWN),
        revision=labels.get(f"{_LABELS}.revision", checkout.UNKNOWN),
        digest=digests.get(repository, ""),
    )


def check_name(name: str) -> None:
    """Makes sure that an image's name identifies a build.

    Raises:
      ConfigError: it has no tag, or `latest`, which a cluster always pulls, so that a loaded image would not be used; or a
        digest, which only a registry gives.
    """
    tagged = name.partition("@")[0]
    # A colon before the last slash belongs to the registry's port.
    _, _, tag = tagged.rpartition("/")[2].partition(":")
    if tag in ("", "latest"):
        tagged = f"{tagged.removesuffix(f':{tag}')}:{version('tfx-conveyor')}"
    if tagged != name:
        raise ConfigError(
            "The image needs a tag that identifies the build.",
            where="kubeflow.image",
            expected="NAME:TAG, with a tag other than latest",
            seen=name,
            fix=f"For example: kubeflow.image: {tagged}",
        )


def _sources() -> list[str]:
    """What an image is made of, relative to the checkout: the Dockerfile, and what it copies from there."""
    copied = re.findall(r"^COPY (?!--from)(\S+)", (checkout.ROOT / _DOCKERFILE).read_text(), re.MULTILINE)
    return [_DOCKERFILE, ".dockerignore", *copied]
