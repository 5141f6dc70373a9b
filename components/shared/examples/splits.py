"""The splits of an `Examples` artifact: their files, and the spans that these are made of.

ExampleGen records beside its output what it has made of each span. So a window that moves on by a month has only that month
read, by ExampleGen as by the components after it.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ValidationError
from tfx.components.util import examples_utils
from tfx.dsl.io import fileio
from tfx.proto import example_gen_pb2
from tfx.types import Artifact, artifact_utils

from components.shared.examples.kinds import Kind
from components.shared.fast_executor import UnsupportedError
from pipeline.util import files

FILE_NAME = "spans.json"
"""The file in the `Examples` artifact, beside its splits."""

_LOG = logging.getLogger(__name__)


class StoredFile(BaseModel):
    """The rows and columns of an input file of a span."""

    rows: int
    kinds: dict[str, Kind]


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
      parts: its rows, by the name that the splitter gives them.
    """

    number: int
    content: str
    columns: list[StoredFile]
    stored: dict[str, Kind]
    parts: dict[str, StoredPart]


@dataclass(frozen=True)
class SplitPart:
    """The rows of a split that are from one span.

    Attributes:
      files: paths of TFRecord files, in order.
      digest: a digest of all that these rows depend on; None where that is not known.
      kinds: the kinds that their columns are stored as; None where that is not known.
      rows: how many there are; None where that is not known.
    """

    files: tuple[str, ...]
    digest: str | None = None
    kinds: Mapping[str, Kind] | None = None
    rows: int | None = None


class StoredSpans(BaseModel):
    """All spans of an artifact.

    Attributes:
      settings: a digest of the settings and the code that they were stored with.
      spans: the spans, in the order in which they were read.
    """

    settings: str
    spans: list[StoredSpan]

    def parts(self, uri: str, split: str) -> list[SplitPart]:
        """The parts of a split of the artifact, in order."""
        found = []
        for span in self.spans:
            stored = sorted((name, kind.name) for name, kind in span.stored.items())
            for name, part in span.parts.items():
                if part.split == split and part.files:
                    depends_on = repr((self.settings, span.content, stored, name))
                    digest = hashlib.sha256(depends_on.encode()).hexdigest()
                    found.append(SplitPart(_paths(uri, split, part.files), digest, span.stored, part.rows))
        return found

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


def split_files(examples: Artifact, split: str) -> list[str]:
    """The paths of a split's files, sorted.

    Args:
      examples: an `Examples` artifact.
      split: the split's name.

    Raises:
      UnsupportedError: the files are not TFRecords of tf.Examples.
    """
    if examples_utils.get_payload_format(examples) != example_gen_pb2.FORMAT_TF_EXAMPLE:
        raise UnsupportedError("the examples are not TFRecords of tf.Examples")
    uri = artifact_utils.get_split_uri([examples], split)
    return sorted(os.path.join(uri, name) for name in fileio.listdir(uri))


def split_parts(examples: Artifact, split: str) -> list[SplitPart]:
    """The parts of a split, in order: one for each span, or a single one where spans are not recorded.

    Args:
      examples: an `Examples` artifact.
      split: the split's name.

    Raises:
      UnsupportedError: the files are not TFRecords of tf.Examples.
    """
    paths = split_files(examples, split)
    spans = StoredSpans.load(examples.uri)
    parts = spans.parts(examples.uri, split) if spans else []
    is_whole = parts and sorted(path for part in parts for path in part.files) == paths
    return parts if is_whole else [SplitPart(tuple(paths))]


def _paths(uri: str, split: str, names: Iterable[str]) -> tuple[str, ...]:
    return tuple(os.path.join(uri, f"Split-{split}", name) for name in names)
