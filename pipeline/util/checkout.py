"""The checkout that Conveyor runs from: the package is installed in place, beside its manifests and its Dockerfile."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from pathlib import Path

from pipeline.errors import UsageError

ROOT = Path(__file__).resolve().parents[2]
"""The folder that holds `pipeline`: the checkout, or where a package without one was installed."""

UNKNOWN = "unknown"
"""The revision where git is missing or does not know the checkout."""

_GIT_SECONDS = 30


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
    """The checkout's commit, with `-dirty` where sources have changed since; `unknown` without git.

    Args:
      sources: files and folders, relative to the checkout.
    """
    commit = _git("rev-parse", "HEAD")
    if not commit:
        return UNKNOWN
    return f"{commit}-dirty" if _git("status", "--porcelain", "--", *sources) else commit


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, timeout=_GIT_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
