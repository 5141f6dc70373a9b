"""Accumulators of the parts of a split, kept beside the statistics: what an earlier run has counted is not read again."""

from __future__ import annotations

import hashlib
import logging
import pickle
from collections.abc import Iterable
from pathlib import Path

import tensorflow_data_validation as tfdv

from components.earlier_artifacts import earlier_artifacts
from components.statistics_gen.batches import read_batches
from components.statistics_gen.statistics import Accumulators, accumulate

FOLDER = "partial"
"""In the `ExampleStatistics` artifact, beside its splits."""

_LOG = logging.getLogger(__name__)


class PartialStatistics:
    """What this run and the ones before it have counted."""

    def __init__(self, uri: str) -> None:
        """Looks for what earlier runs have kept.

        Args:
          uri: of this run's artifact.
        """
        self._folder = Path(uri) / FOLDER
        self._earlier = [folder / FOLDER for folder in earlier_artifacts(uri, FOLDER)]
        self._code = _digest_of_code()

    def of(self, part: str, files: Iterable[str]) -> Accumulators:
        """The accumulators of a part, which is read only if no run has done that.

        Args:
          part: a digest of its rows.
          files: of TFRecords, where it is.
        """
        name = hashlib.sha256(f"{self._code} {part}".encode()).hexdigest() + ".pickle"
        for folder in self._earlier:
            try:
                content = (folder / name).read_bytes()
                accumulators: Accumulators = pickle.loads(content)
            except FileNotFoundError:
                continue
            except (pickle.UnpicklingError, EOFError, OSError) as error:
                _LOG.warning("%s is left aside: %s", folder / name, error)
                continue
            self._keep(name, content)
            return accumulators
        accumulators = accumulate(read_batches(files))
        self._keep(name, pickle.dumps(accumulators))
        return accumulators

    def _keep(self, name: str, content: bytes) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        partial = self._folder / f"{name}.partial"
        partial.write_bytes(content)
        partial.rename(self._folder / name)


def _digest_of_code() -> str:
    modules = sorted(path for path in Path(__file__).parent.glob("*.py") if not path.name.startswith("test_"))
    return hashlib.sha256(b"".join([tfdv.__version__.encode(), *(path.read_bytes() for path in modules)])).hexdigest()
