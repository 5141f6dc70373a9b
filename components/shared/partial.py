"""Results of parts of the data, kept beside an output: what an earlier run has made of a part is not made again.

They are pickles, which Python runs as it reads them: who can write to the pipeline root can run code in it, as with the models
that lie there.
"""

from __future__ import annotations

import hashlib
import logging
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from components.shared.earlier_artifacts import earlier_artifacts

FOLDER = "partial"
"""In the artifact, beside what it is for."""

_LOG = logging.getLogger(__name__)
_Result = TypeVar("_Result")


class PartialResults:
    """What this run and the ones before it have made of parts."""

    def __init__(self, uri: str, depends_on: str) -> None:
        """Looks for what earlier runs have kept.

        Args:
          uri: of this run's artifact.
          depends_on: what results depend on besides their part: the code, versions and settings.
        """
        self._folder = Path(uri) / FOLDER
        self._earlier = [folder / FOLDER for folder in earlier_artifacts(uri, FOLDER)]
        self._depends_on = depends_on

    def of(self, part: str, compute: Callable[[], _Result]) -> _Result:
        """The result for a part, computed only if no run has done that. One that cannot be pickled is not kept.

        Args:
          part: a digest of its rows.
          compute: makes the result.
        """
        name = hashlib.sha256(f"{self._depends_on} {part}".encode()).hexdigest() + ".pickle"
        for folder in self._earlier:
            try:
                content = (folder / name).read_bytes()
                result: _Result = pickle.loads(content)
            except FileNotFoundError:
                continue
            except (pickle.UnpicklingError, EOFError, OSError) as error:
                _LOG.warning("%s is left aside: %s", folder / name, error)
                continue
            self._keep(name, content)
            return result
        result = compute()
        try:
            content = pickle.dumps(result)
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            _LOG.info("What was made of a part is not kept: %s", error)
        else:
            self._keep(name, content)
        return result

    def _keep(self, name: str, content: bytes) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        partial = self._folder / f"{name}.partial"
        partial.write_bytes(content)
        partial.rename(self._folder / name)


def digest_of_code(module: str) -> str:
    """A digest of the modules of a package: what older ones have made is not taken over.

    Args:
      module: the file of one of them.
    """
    paths = sorted(path for path in Path(module).parent.glob("*.py") if not path.name.startswith("test_"))
    return "sha256:" + hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()
