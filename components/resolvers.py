"""Strategies of TFX's Resolver, which find artifacts of earlier runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tfx.dsl.components.common import resolver
from tfx.orchestration.portable.mlmd import event_lib

from pipeline.errors import UsageError

if TYPE_CHECKING:
    from ml_metadata import MetadataStore
    from tfx.types import Artifact


class LatestHyperparametersStrategy(resolver.ResolverStrategy):
    """Resolves each channel to its newest artifact, or to nothing before the first search.

    TFX's own LatestArtifactStrategy fails the node as long as there are no artifacts.
    """

    def resolve_artifacts(self, store: MetadataStore, input_dict: dict[str, list[Artifact]]) -> dict[str, list[Artifact]]:
        """Keeps the newest artifact, by id, of each channel.

        Args:
          store: the metadata store (unused: the ids order the artifacts).
          input_dict: the artifacts of each channel.

        Returns:
          A list of at most one artifact for each channel.
        """
        return {key: sorted(artifacts, key=lambda artifact: artifact.id)[-1:] for key, artifacts in input_dict.items()}


class LatestPushedModelStrategy(resolver.ResolverStrategy):
    """Resolves the newest model that all validators have blessed, its push, which has its version, and its schema.

    TFX's LatestBlessedModelStrategy takes the Evaluator's blessing alone into account, and does not find the version.
    """

    def resolve_artifacts(self, store: MetadataStore, input_dict: dict[str, list[Artifact]]) -> dict[str, list[Artifact]]:
        """Finds the newest push, and the model that went into it.

        Args:
          store: the metadata store, which records the inputs and outputs of executions.
          input_dict: all artifacts under `model`, `pushed_model` and `schema`.

        Returns:
          An artifact of each; the schema is the one that the model was trained with.

        Raises:
          UsageError: no model has been blessed and pushed yet.
        """
        models, schemas = ({each.id: each for each in input_dict[key]} for key in ("model", "schema"))
        pushes = [push for push in input_dict["pushed_model"] if push.get_int_custom_property("pushed")]
        for push in sorted(pushes, key=lambda push: push.id, reverse=True):
            for model_id in _inputs(store, push.id, "model") & models.keys():
                schema_ids = _inputs(store, model_id, "schema") & schemas.keys()
                return {
                    "model": [models[model_id]],
                    "pushed_model": [push],
                    "schema": [schemas[schema_id] for schema_id in schema_ids],
                }
        raise UsageError(
            "No model has been blessed yet.",
            expected="a model that was blessed and pushed",
            seen=f"{len(models)} trained models, none of them pushed",
            fix="Run `conveyor run`, which trains, evaluates and pushes one.",
        )


def _inputs(store: MetadataStore, artifact_id: int, key: str) -> set[int]:
    """The ids of the artifacts that an artifact was made from, of those that were given under a key."""
    made = [event for event in store.get_events_by_artifact_ids([artifact_id]) if event_lib.is_valid_output_event(event)]
    events = store.get_events_by_execution_ids([event.execution_id for event in made]) if made else []
    return {event.artifact_id for event in events if event_lib.is_valid_input_event(event, key)}
