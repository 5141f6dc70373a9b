"""The folder with a model's versions: of this process, or of another pod."""

from __future__ import annotations

import shutil
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from pipeline.contracts.model_description import DESCRIPTION_PATH, ModelDescription, damaged_description
from pipeline.errors import StorageError
from pipeline.util.programs import ProgramError
from serving.rollout.versions import File, PushedVersion, files_below, read_versions

if TYPE_CHECKING:
    from pipeline.util.kubectl import Kubectl

SHELL = "conveyor-shell-0"
"""The pod of manifests/conveyor that has the volume with the models, and may write to it."""

_DOOMED = ".pruned-"
"""What the name of a version's folder begins with while it is deleted: if that fails, the next `delete` goes on with it."""


class Versions(Protocol):
    """The versions of a model on a disk."""

    def versions(self) -> list[PushedVersion]:
        """The versions, in ascending order."""

    def digest(self, version: int) -> str:
        """The digest of a version's model; empty where it does not have one, or is not there.

        Raises:
          ConveyorError: whether it has one cannot be found out.
        """

    def delete(self, versions: Collection[int]) -> None:
        """Deletes versions, each out of the way of model servers before its first file, and what is left of earlier ones.

        Raises:
          ConveyorError: a version cannot be deleted.
        """


class ModelFolder:
    """A folder that this process can read and write.

    Args:
      path: the folder.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def versions(self) -> list[PushedVersion]:
        """The versions, in ascending order."""
        return read_versions(files_below(self._path))

    def digest(self, version: int) -> str:
        """The digest that the model's description has."""
        return ModelDescription.of(self._path / str(version)).digest

    def delete(self, versions: Collection[int]) -> None:
        """Renames each folder, and then deletes it."""
        try:
            self._clear()
            for version in versions:
                (self._path / str(version)).rename(self._path / f"{_DOOMED}{version}")
                self._clear()
        except OSError as error:
            raise StorageError(
                "A version cannot be deleted.",
                where=str(error.filename or self._path),
                seen=error.strerror or str(error),
                fix="Correct the rights there, then try again: conveyor models prune --yes",
            ) from error

    def _clear(self) -> None:
        for doomed in self._path.glob(f"{_DOOMED}*"):
            shutil.rmtree(doomed)


class ShellFolder:
    """A folder of the volume, as the pod `conveyor-shell-0` has it.

    Args:
      kubectl: acts on that pod's namespace.
      path: the folder, as that pod sees it.
    """

    def __init__(self, kubectl: Kubectl, path: str) -> None:
        self._kubectl, self._path = kubectl, path

    def versions(self) -> list[PushedVersion]:
        """The versions, in ascending order."""
        listing = self._kubectl.read("exec", SHELL, "--", "find", self._path, "-type", "f", "-printf", r"%P\t%s\t%T@\n")
        rows = (line.split("\t") for line in listing.splitlines())
        return read_versions(File(path, int(size), float(changed)) for path, size, changed in rows)

    def digest(self, version: int) -> str:
        """The digest that the model's description has."""
        path = f"{self._path}/{version}/{DESCRIPTION_PATH}"
        try:
            return ModelDescription.from_json(self._kubectl.read("exec", SHELL, "--", "env", "LC_ALL=C", "cat", path)).digest
        except ProgramError as error:
            if f"/{version}/{DESCRIPTION_PATH}: No such file or directory" in error.stderr:
                return ""
            raise
        except ValueError as error:
            raise damaged_description(path, error) from error

    def delete(self, versions: Collection[int]) -> None:
        """Renames each folder, and then deletes it."""
        self._clear()
        for version in versions:
            self._run("mv", f"{self._path}/{version}", f"{self._path}/{_DOOMED}{version}")
            self._clear()

    def _clear(self) -> None:
        self._run("find", self._path, "-maxdepth", "1", "-name", f"{_DOOMED}*", "-exec", "rm", "-r", "{}", "+")

    def _run(self, *command: str) -> None:
        fix = "Correct the rights there, then try again: conveyor models prune --yes --target cluster"
        self._kubectl.run("exec", SHELL, "--", *command, fix=fix)
