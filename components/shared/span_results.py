"""Results by span of the data, kept beside a node's output, so that later runs need not compute them again.

They are data (`pipeline/util/states.py`), and one that is damaged is computed again.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from pipeline.util import files, states

FOLDER = "partial"
"""The folder of the results in the artifact that they belong to."""

_MOST_ARTIFACTS = 16

_LOG = logging.getLogger(__name__)
_Result = TypeVar("_Result")


def earlier_artifacts(uri: str, marker: str) -> list[Path]:
    """The folders of the newest artifacts of the same node and output, newest first.

    TFX puts an artifact into a folder named by the execution, beside those of the executions before.

    Args:
      uri: the new artifact's folder.
      marker: the name of a file or folder that the artifacts looked for contain.

    Returns:
      At most 16: there may be years of runs, and a result that does not exist would be looked for in all of them.
    """
    folder = Path(uri)
    found = [path for path in folder.parent.glob(f"*/{marker}") if path.parent != folder]
    found.sort(key=os.path.getmtime, reverse=True)
    return [path.parent for path in found[:_MOST_ARTIFACTS]]


class SpanResults:
    """The results that this run and earlier ones have computed by span.

    Args:
      uri: the folder of this run's artifact.
      depends_on: what results depend on besides their rows: the code, versions and settings.
      classes: the classes of objects in results, as `states.dumps` takes them.
    """

    def __init__(self, uri: str, depends_on: str, classes: Sequence[type] = ()) -> None:
        self._folder = Path(uri) / FOLDER
        self._earlier = [folder / FOLDER for folder in earlier_artifacts(uri, FOLDER)]
        self._depends_on, self._classes = depends_on, classes

    def get(self, digest: str, compute: Callable[[], _Result]) -> _Result:
        """The result for some rows, computed only if no run has done that. One that is not data is not kept.

        Args:
          digest: a digest of the rows.
          compute: computes the result.
        """
        name = hashlib.sha256(f"{self._depends_on} {digest}".encode()).hexdigest() + ".state"
        for folder in self._earlier:
            try:
                content = (folder / name).read_bytes()
                result: _Result = states.loads(content, self._classes)
            except FileNotFoundError:
                continue
            except (states.BrokenStateError, OSError) as error:
                _LOG.warning("%s is ignored: %s", folder / name, error)
                continue
            files.write(self._folder / name, content)
            return result
        result = compute()
        try:
            content = states.dumps(result, self._classes)
        except states.NotDataError as error:
            _LOG.warning("A result cannot be kept for later runs, as it has %s.", error)
        else:
            files.write(self._folder / name, content)
        return result
