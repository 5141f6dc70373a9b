"""The record of the spans in an `Examples` artifact, which ExampleGen writes beside its splits.

With it, when the window moves on by a month, ExampleGen and the components after it read only that month.
"""

from __future__ import annotations

import logging
from pathlib import Path

from pydantic import BaseModel, JsonValue, ValidationError

from components.shared.examples.kinds import Kind
from pipeline.contracts.spans import FILE_NAME
from pipeline.util import files

_LOG = logging.getLogger(__name__)


class StoredFile(BaseModel):
    """The rows and columns of an input file of a span.

    Attributes:
      rows: how many it has.
      columns: what ExampleGen has seen of each column.
    """

    rows: int
    columns: dict[str, JsonValue]


class StoredPart(BaseModel):
    """Rows of a span that are in the same split.

    Attributes:
      split: the split that they are in.
      files: their shards, by name, in order.
      rows: how many there are.
    """

    split: str
    files: list[str]
    rows: int


class StoredSpan(BaseModel):
    """A span as a run has stored it.

    Attributes:
      number: the span's number.
      content: the digest of its input files.
      columns: the rows and columns of each of its input files.
      stored: the kinds that its columns are stored as.
      day_first: of dates in text, whether they were read with the day first, by column.
      splitter: all that decided to which part a row belongs.
      parts: its rows, by the name that the splitter gives them.
    """

    number: int
    content: str
    columns: list[StoredFile]
    stored: dict[str, Kind]
    day_first: dict[str, bool]
    splitter: str
    parts: dict[str, StoredPart]


class StoredSpans(BaseModel):
    """All spans of an artifact.

    Attributes:
      settings: a digest of the settings and the code that they were stored with.
      spans: the spans, in the order in which they were read.
    """

    settings: str
    spans: list[StoredSpan]

    def save(self, uri: str) -> None:
        """Writes the file into an artifact, whole or not at all."""
        files.write(Path(uri) / FILE_NAME, self.model_dump_json())

    @classmethod
    def load(cls, uri: str) -> StoredSpans | None:
        """The spans of an artifact; None where they are not recorded, as with other components' artifacts."""
        path = Path(uri) / FILE_NAME
        try:
            return cls.model_validate_json(path.read_bytes())
        except OSError:
            return None
        except ValidationError as error:
            _LOG.warning("%s is ignored: %s", path, error)
            return None
