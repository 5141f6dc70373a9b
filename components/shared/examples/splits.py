"""The splits of an `Examples` artifact: their files, and the spans that these are from."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass

from tfx.components.util import examples_utils
from tfx.dsl.io import fileio
from tfx.proto import example_gen_pb2
from tfx.types import Artifact, artifact_utils

from components.shared.examples.kinds import Kind
from components.shared.examples.stored_spans import StoredSpans
from components.shared.fast_executor import UnsupportedError


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
    parts = _parts_of_spans(spans, examples.uri, split) if spans else []
    is_whole = parts and sorted(path for part in parts for path in part.files) == paths
    return parts if is_whole else [SplitPart(tuple(paths))]


def _parts_of_spans(spans: StoredSpans, uri: str, split: str) -> list[SplitPart]:
    parts = []
    for span in spans.spans:
        stored = sorted((name, kind.name) for name, kind in span.stored.items())
        for name, part in span.parts.items():
            if part.split == split and part.files:
                depends_on = (spans.settings, span.content, stored, sorted(span.day_first.items()), span.splitter, name)
                digest = hashlib.sha256(repr(depends_on).encode()).hexdigest()
                paths = tuple(os.path.join(uri, f"Split-{split}", file) for file in part.files)
                parts.append(SplitPart(paths, digest, span.stored, part.rows))
    return parts
