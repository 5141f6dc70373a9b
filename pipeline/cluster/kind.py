"""The local cluster: one node of Kubernetes in a container, made with kind."""

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
_ANEW = "make it anew: conveyor cluster down, then conveyor cluster up"
_CORES = 4
_MEMORY = 12 * 10**9  # 8 GiB for Kubeflow Pipelines, the rest for the pods of a run.
_CREATE_SECONDS = 1800.0  # The node image is fetched, some hundreds of MB.
# Docker Desktop runs in a machine of its own, which sees the folders of this one below it.
_DESKTOP_PREFIX = "/host_mnt"


def cluster_name(context: str) -> str | None:
    """The name of the kind cluster that a context of kubectl is for; None for any other context."""
    return context.removeprefix(_PREFIX) if context.startswith(_PREFIX) else None


class KindCluster:
    """A kind cluster by its name, whether it is there or not."""

    def __init__(self, name: str, console: Console) -> None:
        """Makes no call yet.

        Args:
          name: of the cluster.
          console: where command lines and their output are shown.
        """
        self.name, self.node, self.console = name, f"{name}-control-plane", console

    def exists(self) -> bool:
        """Whether kind knows the cluster.

        Raises:
          ProgramError: kind failed.
        """
        return self.name in programs.read("kind", "get", "clusters").split()

    def folder(self) -> Path | None:
        """The folder of this machine that is the cluster's volume; None when Conveyor did not make the cluster."""
        sources = [mount["Source"] for mount in self._inspect()["Mounts"] if mount["Destination"] == _VOLUME]
        return Path(sources[0].removeprefix(_DESKTOP_PREFIX)) if sources else None

    def require_ours(self) -> Path:
        """The folder that is the volume of a cluster that is there.

        Raises:
          UsageError: Conveyor did not make the cluster.
        """
        folder = self.folder()
        if folder is None:
            raise UsageError(
                f"The kind cluster {self.name!r} was not made by Conveyor, which leaves it alone.",
                where="kubeflow.context",
                expected=f"a cluster whose node has a folder of this machine at {_VOLUME}",
                seen=f"{self.node} has none",
                fix=f"use another name, --set kubeflow.context={_PREFIX}NAME, or delete it: "
                f"kind delete cluster --name {self.name}",
            )
        return folder

    def create(self, folder: Path) -> None:
        """Makes the cluster, and nothing when that fails.

        Args:
          folder: of this machine, which becomes the volume; made where it is missing.

        Raises:
          StorageError: the folder cannot be made.
          ProgramError: kind failed.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(
                "The folder of the cluster's volume cannot be made.",
                where=str(folder),
                seen=str(error),
                fix="--set workspace=FOLDER names another workspace",
            ) from error
        try:
            programs.run(
                *("kind", "create", "cluster", "--name", self.name, "--config", "-", "--wait", "2m"),
                console=self.console,
                input=yaml.safe_dump(self._definition(folder)),
                timeout=_CREATE_SECONDS,
            )
        except BaseException:
            # kind itself does this, but not where it was interrupted.
            programs.run("kind", "delete", "cluster", "--name", self.name, console=self.console)
            raise

    def start(self) -> None:
        """Starts the node where it stands still, as after a restart of Docker.

        Raises:
          ProgramError: Docker failed.
        """
        if not self._inspect()["State"]["Running"]:
            programs.run("docker", "start", self.node, console=self.console, fix=_ANEW)

    def export_context(self) -> None:
        """Makes kubectl know the cluster.

        Raises:
          ProgramError: kind failed.
        """
        programs.run("kind", "export", "kubeconfig", "--name", self.name, console=self.console, fix=_ANEW)

    def delete(self) -> None:
        """Deletes the cluster. The folder of the volume stays.

        Raises:
          ProgramError: kind failed.
        """
        programs.run("kind", "delete", "cluster", "--name", self.name, console=self.console)

    def has_image(self, name: str) -> bool:
        """Whether pods can use an image without pulling it.

        Args:
          name: of the image, with its tag.

        Raises:
          ProgramError: the node does not answer.
        """
        answer = json.loads(programs.read("docker", "exec", self.node, "crictl", "images", "--output", "json"))
        return _full_name(name) in {tag for image in answer["images"] for tag in image.get("repoTags") or ()}

    def require_free_ports(self) -> None:
        """Makes sure that the ports that the cluster is to answer on are not taken.

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
                        f"Port {port} of this machine is taken, and the cluster is to answer there.",
                        where=f"extraPortMappings of {self._file}",
                        seen=str(error),
                        fix=f"end what listens there (ss -ltnp 'sport = :{port}' names it), or change hostPort in that file; "
                        "for the dashboard's, kubeflow.host too",
                    ) from error

    def warn_if_small(self) -> None:
        """Says so when the Docker engine has less than Kubeflow Pipelines and a run ask for."""
        cores, memory = map(int, programs.read("docker", "info", "--format", "{{.NCPU}} {{.MemTotal}}").split())
        if cores < _CORES or memory < _MEMORY:
            self.console.print(
                f"The Docker engine has {cores} CPUs and {memory / 10**9:.1f} GB of memory. Kubeflow Pipelines and a run want "
                f"{_CORES} CPUs and {_MEMORY // 10**9} GB: pods may not start.",
                style="yellow",
                soft_wrap=True,
            )

    @cached_property
    def _file(self) -> Path:
        return manifest("kind/cluster.yaml")

    def _definition(self, folder: Path) -> dict[str, Any]:
        definition: dict[str, Any] = yaml.safe_load(self._file.read_text())
        # kind would take a relative path from where it is started.
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
    """An image's name as containerd has it."""
    registry, slash, _ = name.partition("/")
    if not slash:
        return f"docker.io/library/{name}"
    return name if "." in registry or ":" in registry or registry == "localhost" else f"docker.io/{name}"
