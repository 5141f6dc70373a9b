"""What a version folder knows of its push, so that the push is found again where nothing else has been recorded."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipeline.util import files
from pipeline.util.sealed import seal, unseal

FILE_NAME = "pushed.json"
"""Its file in the folder of a version. Model servers read only what a SavedModel consists of."""
_FORMAT = 1


@dataclass(frozen=True)
class PushRecord:
    """The push of a version.

    Attributes:
      pipeline: the name of the pipeline that pushed it.
      run: the id of the run.
      execution: the id of the Pusher's execution in the metadata store.
      artifact: the Pusher's output, as JSON of ML Metadata's Artifact, but for what only the finished push knows.
    """

    pipeline: str
    run: str
    execution: int
    artifact: dict[str, Any]

    @property
    def uri(self) -> str:
        """The address of the Pusher's output, which no other push has."""
        return str(self.artifact.get("uri", ""))

    def save(self, version: Path) -> None:
        """Writes the record into the folder of a version, with a checksum.

        Raises:
          OSError: it cannot be written.
        """
        files.write(version / FILE_NAME, seal(json.dumps({"format": _FORMAT, **asdict(self)}, indent=2)), files.READABLE)

    @classmethod
    def load(cls, version: Path) -> PushRecord | None:
        """The record in the folder of a version; None where there is none that was written so, and that this release reads."""
        try:
            content = json.loads(unseal((version / FILE_NAME).read_bytes()))
            if content.pop("format") != _FORMAT:
                return None
            record = cls(**content)
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            return None
        sound = isinstance(record.execution, int) and isinstance(record.artifact, dict)
        return record if sound and isinstance(record.run, str) and isinstance(record.pipeline, str) else None
