"""The artifacts that earlier executions of a node have left beside a new one."""

from __future__ import annotations

import os
from pathlib import Path

_MOST = 16


def earlier_artifacts(uri: str, marker: str) -> list[Path]:
    """The folders of the newest artifacts of the same node and output, newest first.

    TFX puts an artifact into a folder named by the execution, beside those of the executions before.

    Args:
      uri: of the new artifact.
      marker: the name of a file or folder that the ones looked for have.

    Returns:
      At most 16: there may be years of runs, and what is nowhere would be looked for in all of them.
    """
    folder = Path(uri)
    found = [path for path in folder.parent.glob(f"*/{marker}") if path.parent != folder]
    found.sort(key=os.path.getmtime, reverse=True)
    return [path.parent for path in found[:_MOST]]
