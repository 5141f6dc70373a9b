"""What git says about a folder, where git is there and knows it."""

from __future__ import annotations

import subprocess
from pathlib import Path

_SECONDS = 10


def ask(folder: Path, *arguments: str) -> str | None:
    """What a command of git prints, without the line break at its end; None where git is missing, refuses, or takes too long.

    Args:
      folder: where the command is run.
      arguments: the command, such as `rev-parse HEAD`.
    """
    try:
        # Without a lock, on which a commit that is made meanwhile would fail.
        command = ["git", "--no-optional-locks", "-C", str(folder), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS)
    except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError):
        return None
    return done.stdout.rstrip("\n") if done.returncode == 0 else None
