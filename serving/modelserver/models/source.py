"""The versions in a model's folder, and those of them that its policy wants."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

from tensorflow_serving.config.file_system_storage_path_source_pb2 import FileSystemStoragePathSourceConfig

from pipeline.contracts.serving_folder import is_version
from serving.modelserver.status import invalid_argument

Policy: TypeAlias = FileSystemStoragePathSourceConfig.ServableVersionPolicy
Stamp = tuple[tuple[str, int, int], ...]

_MAX_VERSION = 2**63 - 1
# A version that is copied gets this file last; a folder without it is still being copied.
_SAVED_MODELS = ("saved_model.pb", "saved_model.pbtxt", "saved_model.cpb")


def wanted_versions(name: str, base_path: Path, policy: Policy) -> dict[int, Path]:
    """The versions that a policy wants of those that are there, by number.

    Args:
      name: the model's name.
      base_path: a folder with a sub-folder a version, named by its number. Other names are ignored, and so are folders that
        do not hold a SavedModel yet.
      policy: `latest` (the default, with the newest one), `all` or `specific`.

    Raises:
      StatusError: the folder cannot be read.
    """
    try:
        found = {int(entry.name): entry for entry in sorted(base_path.iterdir()) if _is_version(entry)}
    except OSError as error:
        raise invalid_argument(
            f"Could not find base path {base_path} for servable {name} with error {error.strerror}"
        ) from error
    choice = policy.WhichOneof("policy_choice")
    if choice == "all":
        return found
    if choice == "specific":
        return {version: found[version] for version in policy.specific.versions if version in found}
    newest = sorted(found, reverse=True)[: max(policy.latest.num_versions, 1)]
    return {version: found[version] for version in newest}


def stamp(folder: Path) -> Stamp:
    """The path, size and time of each file of a version's folder: they show whether it has changed."""
    files = []
    for path in sorted(folder.rglob("*")):
        try:
            status = path.stat()
        except OSError:  # It was renamed or removed just now, as the next look will show.
            continue
        files.append((str(path), status.st_size, status.st_mtime_ns))
    return tuple(files)


def _is_version(entry: Path) -> bool:
    is_number = is_version(entry.name) and int(entry.name) <= _MAX_VERSION
    return is_number and any((entry / name).is_file() for name in _SAVED_MODELS)
