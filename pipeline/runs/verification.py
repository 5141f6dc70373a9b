"""Whether stored artifacts are what their nodes have made, by the manifest that each gets when it is finished."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from components.pusher.push_record import PushRecord
from pipeline.errors import StorageError
from pipeline.util.manifests import Flaw, Manifest, Thoroughness

if TYPE_CHECKING:
    from ml_metadata.proto import metadata_store_pb2

MANIFEST = "manifest"
"""The custom property of an artifact with the checksum of its manifest."""
_PUSHED_DESTINATION = "pushed_destination"


class DamagedInputError(StorageError):
    """What a node was about to read certainly is not what was made: a new attempt in the same run has nothing else to read."""

    headline = "Damaged input"


def record(artifact: metadata_store_pb2.Artifact) -> None:
    """Writes the manifest of an artifact that a node has finished, and notes its checksum in the artifact.

    Args:
      artifact: the artifact, changed in place.

    Raises:
      OSError: a file of it cannot be read, or the manifest cannot be written.
    """
    path = Path(artifact.uri)
    artifact.custom_properties[MANIFEST].string_value = Manifest.of(path).save(path)


def is_recorded(artifact: metadata_store_pb2.Artifact) -> bool:
    """Whether the artifact has a manifest; those of earlier releases have none."""
    return MANIFEST in artifact.custom_properties


def flaws(artifact: metadata_store_pb2.Artifact, how: Thoroughness = "whole") -> Iterator[Flaw]:
    """The files of an artifact that are not what its node has made.

    Args:
      artifact: the artifact as the metadata store has it, with a manifest.
      how: how much of the content is read.

    Yields:
      What is wrong, file by file; of a pushed model, also in the folder of its version, if that is there.
    """
    uri = Path(artifact.uri)
    manifest = Manifest.load(uri, artifact.custom_properties[MANIFEST].string_value)
    if isinstance(manifest, Flaw):
        yield manifest
        return
    yield from manifest.flaws(uri, how)
    if _PUSHED_DESTINATION in artifact.custom_properties:
        version = Path(artifact.custom_properties[_PUSHED_DESTINATION].string_value)
        push = PushRecord.load(version)
        # The number of a version that was deleted may be another's now.
        if version.exists() and (push is None or push.uri == artifact.uri):
            yield from manifest.flaws(version, how, only=manifest.files)


@dataclass(frozen=True)
class Verified:
    """An artifact that was compared with its manifest.

    Attributes:
      artifact: the artifact as the metadata store has it.
      files: how many files it should have; None where it has no manifest that can be read.
      size: their size in bytes.
      flaws: what is not as it was made.
    """

    artifact: metadata_store_pb2.Artifact
    files: int | None
    size: int
    flaws: tuple[Flaw, ...]


def verify(artifacts: Iterable[metadata_store_pb2.Artifact]) -> Iterator[Verified]:
    """Compares all content of artifacts with their manifests.

    Args:
      artifacts: as the metadata store has them.

    Yields:
      The finding for each, in their order; without flaws for one of an earlier release, which has no manifest.
    """
    for artifact in artifacts:
        manifest = Manifest.load(Path(artifact.uri)) if is_recorded(artifact) else None
        files, size = (len(manifest.files), manifest.size) if isinstance(manifest, Manifest) else (None, 0)
        yield Verified(artifact, files, size, tuple(flaws(artifact)) if is_recorded(artifact) else ())
