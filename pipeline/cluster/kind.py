"""The local cluster: a single Kubernetes node in a container, made with kind."""

from __future__ import annotations

import json
import socket
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from pipeline.cluster.manifests import manifest
from pipeline.errors import StorageError, UsageError
from pipeline.util import programs

_PREFIX = "kind-"
_VOLUME = "/conveyor"
_RECREATE = "Create it again: conveyor cluster down, then conveyor cluster up"
_CORES = 4
_MEMORY = 12 * 10**9  # 8 GiB for Kubeflow Pipelines, the rest for the pods of a run.
_CREATE_SECONDS = 1800.0  # A node image of several hundred MB is fetched.
# Docker Desktop runs in a virtual machine, which has the folders of this machine below this one.
_DESKTOP_PREFIX = "/host_mnt"


def cluster_name(context: str) -> str | None:
    """The name of the kind cluster of a kubectl context; None for any other context."""
    return context.removeprefix(_PREFIX) if context.startswith(_PREFIX) else None


class KindCluster:
    """A kind cluster by its name, whether it exists or not.

    Args:
      name: the cluster's name.
      console: where command lines and their output are shown.
    """

    def __init__(self, name: str, console: Console) -> None:
        self.name, self.node, self.console = name, f"{name}-control-plane", console

    def exists(self) -> bool:
        """Whether kind knows the cluster.

        Raises:
          ProgramError: kind failed.
        """
        return self.name in programs.read("kind", "get", "clusters").split()

    def folder(self) -> Path | None:
        """The folder of this machine that is the cluster's volume; None where Conveyor did not make the cluster."""
        sources = [mount["Source"] for mount in self._inspect()["Mounts"] if mount["Destination"] == _VOLUME]
        return Path(sources[0].removeprefix(_DESKTOP_PREFIX)) if sources else None

    def require_ours(self) -> Path:
        """The folder that is the cluster's volume.

        Raises:
          UsageError: Conveyor did not make the cluster.
        """
        folder = self.folder()
        if folder is None:
            raise UsageError(
                f"The kind cluster {self.name!r} was not made by Conveyor, which does not change it.",
                where="kubeflow.context",
                expected=f"a cluster whose node has a folder of this machine at {_VOLUME}",
                seen=f"{self.node} has none",
                fix=f"Use another name, --set kubeflow.context={_PREFIX}NAME, or delete it: "
                f"kind delete cluster --name {self.name}",
            )
        return folder

    def create(self, folder: Path) -> None:
        """Creates the cluster; what a failure leaves behind is deleted.

        Args:
          folder: the folder of this machine that becomes the volume; created where it is missing.

        Raises:
          StorageError: the folder cannot be created.
          ProgramError: kind failed.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(
                "The folder of the cluster's volume cannot be created.",
                where=str(folder),
                seen=str(error),
                fix="Name another workspace: --set workspace=FOLDER",
            ) from error
        try:
            programs.run(
                *("kind", "create", "cluster", "--name", self.name, "--config", "-", "--wait", "2m"),
                console=self.console,
                input=yaml.safe_dump(self._definition(folder)),
                timeout=_CREATE_SECONDS,
            )
        except BaseException:
            # kind does this itself, but not when it is interrupted.
            programs.run("kind", "delete", "cluster", "--name", self.name, console=self.console)
            raise

    def start(self) -> None:
        """Starts the node if it has stopped, as after a restart of Docker.

        Raises:
          ProgramError: Docker failed.
        """
        if not self._inspect()["State"]["Running"]:
            programs.run("docker", "start", self.node, console=self.console, fix=_RECREATE)

    def export_context(self) -> None:
        """Adds the cluster's context to the kubeconfig.

        Raises:
          ProgramError: kind failed.
        """
        programs.run("kind", "export", "kubeconfig", "--name", self.name, console=self.console, fix=_RECREATE)

    def delete(self) -> None:
        """Deletes the cluster; the folder of the volume stays.

        Raises:
          ProgramError: kind failed.
        """
        programs.run("kind", "delete", "cluster", "--name", self.name, console=self.console)

    def has_image(self, name: str) -> bool:
        """Whether pods can use an image without pulling it.

        Args:
          name: the image's name, with its tag.

        Raises:
          ProgramError: the node does not answer.
        """
        answer = json.loads(programs.read("docker", "exec", self.node, "crictl", "images", "--output", "json"))
        return _full_name(name) in {tag for image in answer["images"] for tag in image.get("repoTags") or ()}

    def require_free_ports(self) -> None:
        """Makes sure that the ports of the cluster are free.

        Raises:
          UsageError: one is.
        """
        for mapping in _node(yaml.safe_load(self._file.read_text()))["extraPortMappings"]:
            port = mapping["hostPort"]
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind((mapping.get("listenAddress", ""), port))
                except OSError as error:
                    raise UsageError(
                        f"Port {port} of this machine is taken, and the cluster needs it.",
                        where=f"extraPortMappings of {self._file}",
                        seen=str(error),
                        fix=f"End the program that listens there (ss -ltnp 'sport = :{port}' names it), or change hostPort in "
                        "that file; for the dashboard's port, change kubeflow.host too.",
                    ) from error

    def warn_if_small(self) -> None:
        """Warns if the Docker engine has less than Kubeflow Pipelines and a run need."""
        cores, memory = map(int, programs.read("docker", "info", "--format", "{{.NCPU}} {{.MemTotal}}").split())
        if cores < _CORES or memory < _MEMORY:
            self.console.print(
                f"The Docker engine has {cores} CPUs and {memory / 10**9:.1f} GB of memory. Kubeflow Pipelines and a run need "
                f"{_CORES} CPUs and {_MEMORY // 10**9} GB: pods may not start.",
                style="yellow",
                soft_wrap=True,
            )

    @cached_property
    def _file(self) -> Path:
        return manifest("kind/cluster.yaml")

    def _definition(self, folder: Path) -> dict[str, Any]:
        definition: dict[str, Any] = yaml.safe_load(self._file.read_text())
        # kind would resolve a relative path from its working directory.
        for mount in _node(definition)["extraMounts"]:
            if mount["containerPath"] == _VOLUME:
                mount["hostPath"] = str(folder.absolute())
        return definition

    def _inspect(self) -> dict[str, Any]:
        (described,) = json.loads(programs.read("docker", "container", "inspect", self.node))
        return dict(described)


def _node(definition: dict[str, Any]) -> Any:
    return definition["nodes"][0]


def _full_name(name: str) -> str:
    """An image's name as containerd writes it."""
    registry, slash, _ = name.partition("/")
    if not slash:
        return f"docker.io/library/{name}"
    return name if "." in registry or ":" in registry or registry == "localhost" else f"docker.io/{name}"
