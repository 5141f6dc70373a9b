"""The versions of a model on the disk: which are whole, and which may be deleted."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pipeline.contracts.serving_folder import is_version
from pipeline.errors import UsageError
from serving.rollout.state import RolloutState

_GRAPH, _INDEX = "saved_model.pb", "variables/variables.index"
_SHARD = re.compile(r"variables/variables\.data-\d{5}-of-(\d{5})")


@dataclass(frozen=True)
class PushedVersion:
    """A numbered folder of the serving folder.

    Attributes:
      number: the folder's name.
      pushed: the time its graph was written, in seconds since 1970; 0 without a graph.
      problem: the reason why it cannot be served; empty when it is whole.
      size: the size of its files, in bytes.
    """

    number: int
    pushed: float = 0.0
    problem: str = ""
    size: int = 0

    @property
    def is_whole(self) -> bool:
        """Whether the version can be served."""
        return not self.problem


@dataclass(frozen=True)
class File:
    """A file of the serving folder: its path within it, its size in bytes, and when it changed, in seconds since 1970."""

    path: str
    size: int
    changed: float


def read_versions(files: Iterable[File]) -> list[PushedVersion]:
    """The versions that files belong to, in ascending order."""
    by_version: dict[int, dict[str, File]] = defaultdict(dict)
    for file in files:
        first, _, rest = file.path.partition("/")
        if is_version(first) and rest:
            by_version[int(first)][rest] = file
    return [_version(number, found) for number, found in sorted(by_version.items())]


def files_below(folder: Path) -> Iterator[File]:
    """The files of a serving folder on this machine; none if it does not exist."""
    for path in sorted(folder.glob("[0-9]*/**/*")):
        if path.is_file():
            status = path.stat()
            yield File(PurePosixPath(path.relative_to(folder)).as_posix(), status.st_size, status.st_mtime)


def prunable(versions: Iterable[PushedVersion], state: RolloutState, loaded: Collection[int], keep: int) -> list[int]:
    """The versions that may be deleted, in ascending order.

    Folders that are not whole are left alone: somebody may be copying them.

    Args:
      versions: the versions on the disk.
      state: the rollout's state. The versions that serve, and the one to roll back to, stay.
      loaded: the versions that model servers have loaded: they stay too.
      keep: the number of the newest versions that stay in any case.

    Raises:
      UsageError: no version would stay.
    """
    if keep < 1:
        raise UsageError(
            "The newest version has to stay.",
            where="--keep",
            expected="1 or more",
            seen=str(keep),
            fix="Give a number such as --keep 5.",
        )
    whole = sorted(version.number for version in versions if version.is_whole)
    return [number for number in whole[:-keep] if number not in state.protected and number not in loaded]


def _version(number: int, files: dict[str, File]) -> PushedVersion:
    graph = files.get(_GRAPH)
    return PushedVersion(number, graph.changed if graph else 0.0, _problem(files), sum(file.size for file in files.values()))


def _problem(files: dict[str, File]) -> str:
    graph = files.get(_GRAPH)
    if graph is None or graph.size == 0:
        return f"no {_GRAPH}" if graph is None else f"{_GRAPH} is empty"
    shards = [match for path in files if (match := _SHARD.fullmatch(path))]
    if shards and (_INDEX not in files or len(shards) != int(shards[0][1])):
        return "variables are missing"
    return ""
