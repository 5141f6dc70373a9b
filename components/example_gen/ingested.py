"""What a run has made of each span, told beside its output, so that a window that moves on by a month reads that month only.

A later run finds the spans that it needs in the outputs of earlier ones and takes over their files, by a hard link where the
file system has them. It asks for the same content and for the same settings and code, so that it makes what a run from
nothing makes, byte by byte.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ValidationError
from tfx.dsl.io import fileio

from components.example_gen.columns import FileSummary, Kind
from components.example_gen.inputs import InputSpan
from components.shared.earlier_artifacts import earlier_artifacts

FILE_NAME = "spans.json"
"""In the `Examples` artifact, beside its splits."""

_LOG = logging.getLogger(__name__)


class Columns(BaseModel):
    """What a file of a span was found to hold."""

    rows: int
    kinds: dict[str, Kind]


class Part(BaseModel):
    """Rows of a span that went the same way.

    Attributes:
      split: the split that they are in.
      files: their shards, by name, in order.
      rows: how many there are.
    """

    split: str
    files: list[str]
    rows: int


class IngestedSpan(BaseModel):
    """A span as a run has stored it.

    Attributes:
      number: of the span.
      content: the digest of its files.
      columns: what each of its files holds.
      stored: the kinds that its columns are stored as.
      parts: by the name that the splitter gives them.
    """

    number: int
    content: str
    columns: list[Columns]
    stored: dict[str, Kind]
    parts: dict[str, Part]

    def summaries(self, span: InputSpan) -> list[FileSummary]:
        """What is known of the files of a span with this content."""
        return [FileSummary(path, file.rows, file.kinds) for path, file in zip(span.files, self.columns, strict=True)]


@dataclass(frozen=True)
class SplitPart:
    """Some of the rows of a split.

    Attributes:
      files: paths of TFRecords, in order.
      digest: of all that these rows depend on; None where that is not known.
      kinds: what their columns are stored as; None where that is not known.
      rows: how many there are; None where that is not known.
    """

    files: tuple[str, ...]
    digest: str | None = None
    kinds: Mapping[str, Kind] | None = None
    rows: int | None = None


class Ingested(BaseModel):
    """All spans of an artifact.

    Attributes:
      settings: a digest of the settings and the code that they were stored with.
      spans: in the order in which they were read.
    """

    settings: str
    spans: list[IngestedSpan]

    def parts(self, uri: str, split: str) -> list[SplitPart]:
        """What a split of the artifact is made of, in order."""
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
        path = Path(uri) / FILE_NAME
        partial = path.with_suffix(".partial")
        partial.write_text(self.model_dump_json())
        partial.rename(path)

    @classmethod
    def load(cls, uri: str) -> Ingested | None:
        """What an artifact says of its spans; None if it says nothing, as those of other components do not."""
        path = Path(uri) / FILE_NAME
        try:
            return cls.model_validate_json(path.read_bytes())
        except OSError:
            return None
        except ValidationError as error:
            _LOG.warning("%s is left aside: %s", path, error)
            return None


def parts_of_split(uri: str, split: str) -> list[SplitPart]:
    """What a split of an `Examples` artifact is made of, in order: a part a span, or a single one where it does not say.

    Args:
      uri: of the artifact.
      split: its name.
    """
    files = _paths(uri, split, sorted(fileio.listdir(os.path.join(uri, f"Split-{split}"))))
    ingested = Ingested.load(uri)
    parts = ingested.parts(uri, split) if ingested else []
    is_whole = parts and sorted(path for part in parts for path in part.files) == [*files]
    return parts if is_whole else [SplitPart(files)]


def _paths(uri: str, split: str, names: Iterable[str]) -> tuple[str, ...]:
    return tuple(os.path.join(uri, f"Split-{split}", name) for name in names)


class EarlierRuns:
    """The spans that the runs before this one have stored."""

    def __init__(self, uri: str, settings: str) -> None:
        """Looks for them.

        Args:
          uri: of this run's artifact; those of earlier runs are its siblings.
          settings: what theirs must equal.
        """
        self._spans: dict[str, list[tuple[Path, IngestedSpan]]] = {}
        for folder in earlier_artifacts(uri, FILE_NAME):
            ingested = Ingested.load(str(folder))
            if ingested and ingested.settings == settings:
                for span in ingested.spans:
                    self._spans.setdefault(span.content, []).append((folder, span))

    def summaries(self, span: InputSpan) -> list[FileSummary] | None:
        """What the files of a span hold, None where no run has read them."""
        known = self._spans.get(span.content)
        return known[0][1].summaries(span) if known else None

    def stored(self, span: InputSpan, kinds: Mapping[str, Kind]) -> tuple[Path, IngestedSpan] | None:
        """A span that was stored with its columns of these kinds, and the artifact's folder; None where there is none."""
        for folder, known in self._spans.get(span.content, ()):
            if known.stored == {name: kinds[name] for name in known.stored} and all(
                (folder / f"Split-{part.split}" / name).is_file() for part in known.parts.values() for name in part.files
            ):
                return folder, known
        return None
