"""Exceptions that nothing was prepared for, as the errors that a user sees."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from pathlib import Path

from pipeline.errors import ConveyorError, NodeError
from pipeline.util import disk


def as_conveyor_error(error: BaseException, title: str, log: Path | str) -> ConveyorError:
    """The error that a user sees for an exception that a node raised.

    Args:
      error: what was raised.
      title: what was going on, such as the node's id.
      log: where the traceback is: a file, or in words.

    Returns:
      The ConveyorError among the exception and its causes, or a new one: the disk is full, or the exception by its name.
    """
    for cause in _causes(error):
        if isinstance(cause, ConveyorError):
            return cause
    for cause in _causes(error):
        if disk.says_full(cause):
            return disk.full_disk(title, getattr(cause, "filename", None) or title, _first_line(cause))
    # Some libraries only say that they could not write.
    if isinstance(log, Path) and disk.is_full(log.parent):
        return disk.full_disk(title, log.parent, f"{type(error).__name__}: {_first_line(error)}")
    return NodeError(
        f"{title} failed with {type(error).__name__}.",
        where=_last_frame(error),
        seen=_first_line(error),
        fix=f"The traceback is at the end of {log}.",
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or [""]
    return lines[0][:500]


def _last_frame(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else ""
