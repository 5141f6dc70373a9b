"""The choices that the pipeline's resolvers would make now, computed without TFX, for which their strategies are written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ml_metadata.proto.metadata_store_pb2 import Artifact

from pipeline import nodes

TYPE_NAME = "tfx.dsl.components.common.resolver.Resolver"

Choice = Mapping[str, Artifact]


def latest_blessed_model(live: Sequence[Artifact]) -> Choice:
    """As TFX's LatestBlessedModelStrategy: the newest model that was ever blessed, and its newest blessing."""
    blessings = {
        blessing.custom_properties["current_model_id"].int_value: blessing
        for blessing in live
        if blessing.type == "ModelBlessing" and blessing.custom_properties["blessed"].int_value == 1
    }
    models = [artifact for artifact in live if artifact.type == "Model" and artifact.id in blessings]
    return {"model": models[-1], "model_blessing": blessings[models[-1].id]} if models else {}


def latest_hyperparameters(live: Sequence[Artifact]) -> Choice:
    """As LatestHyperparametersStrategy: the hyperparameters that the newest search found best."""
    found = [artifact for artifact in live if artifact.type == "HyperParameters"]
    return {nodes.HYPERPARAMETERS_KEY: found[-1]} if found else {}


CHOICES: Mapping[str, Callable[[Sequence[Artifact]], Choice]] = {
    nodes.RESOLVER.id: latest_blessed_model,
    nodes.LATEST_HYPERPARAMETERS.id: latest_hyperparameters,
}
"""By the resolver's id: its choice, by output, among all live artifacts of the pipeline, the oldest first."""
