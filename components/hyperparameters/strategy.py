"""The resolver strategy for the newest hyperparameters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tfx.dsl.components.common import resolver

if TYPE_CHECKING:
    from ml_metadata import MetadataStore
    from tfx.types import Artifact


class LatestHyperparametersStrategy(resolver.ResolverStrategy):
    """Resolves each channel to its newest artifact, or to nothing before the first search.

    TFX's own LatestArtifactStrategy fails the node when there is no artifact yet.
    """

    def resolve_artifacts(self, store: MetadataStore, input_dict: dict[str, list[Artifact]]) -> dict[str, list[Artifact]]:
        """Keeps the newest artifact, by id, of each channel.

        Args:
          store: the metadata store (unused: the ids order the artifacts).
          input_dict: the artifacts of each channel.

        Returns:
          A list of one artifact or none for each channel.
        """
        return {key: sorted(artifacts, key=lambda artifact: artifact.id)[-1:] for key, artifacts in input_dict.items()}
