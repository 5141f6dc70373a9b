"""The checkout that Conveyor runs from: the package is installed in place, beside its manifests and its Dockerfile."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pipeline.errors import UsageError
from pipeline.util import git

ROOT = Path(__file__).resolve().parents[2]
"""The folder that holds `pipeline`: the checkout, or where a package without one was installed."""

UNKNOWN = "unknown"
"""The revision where git is missing or does not know the checkout."""


def require_file(path: str, command: str) -> Path:
    """A file or folder of the checkout.

    Args:
      path: relative to the checkout.
      command: the command that needs it, for the error.

    Raises:
      UsageError: Conveyor does not run from a checkout.
    """
    found = ROOT / path
    if not found.exists():
        raise UsageError(
            f"`{command}` works in a checkout of Conveyor alone.",
            where=str(found),
            expected=f"a checkout, with its {path}",
            fix=f"Clone the repository, then `make setup` and `{command}` there.",
        )
    return found


def revision(sources: Iterable[str]) -> str:
    """The checkout's commit, with `-dirty` where sources have changed since; `unknown` where git does not tell both.

    Args:
      sources: files and folders, relative to the checkout.
    """
    commit = git.ask(ROOT, "rev-parse", "HEAD")
    changed = git.ask(ROOT, "status", "--porcelain", "--", *sources) if commit else None
    if changed is None:
        return UNKNOWN
    return f"{commit}-dirty" if changed else f"{commit}"
