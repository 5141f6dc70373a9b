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
        """Deletes versions. Each is out of the way of model servers before its first file is deleted.

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
        for version in versions:
            folder = self._path / str(version)
            doomed = folder.with_name(f".pruned-{version}")
            try:
                folder.rename(doomed)
                shutil.rmtree(doomed)
            except OSError as error:
                raise StorageError(
                    f"Version {version} cannot be deleted.",
                    where=str(folder),
                    seen=error.strerror or str(error),
                    fix="Correct the rights of the folder, then try again: conveyor models prune",
                ) from error


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
        for version in versions:
            doomed = f"{self._path}/.pruned-{version}"
            self._kubectl.run("exec", SHELL, "--", "mv", f"{self._path}/{version}", doomed)
            self._kubectl.run("exec", SHELL, "--", "rm", "-r", doomed)
