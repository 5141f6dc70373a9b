"""What the pipeline's resolvers would choose now, found out without TFX, which their strategies are made for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ml_metadata.proto.metadata_store_pb2 import Artifact

from pipeline.runs.metadata import BASELINE_KEY, HYPERPARAMETERS_KEY

TYPE_NAME = "tfx.dsl.components.common.resolver.Resolver"

Choice = Mapping[str, Artifact]


@dataclass(frozen=True)
class Resolver:
    """A node that chooses among what earlier runs have made.

    Attributes:
      choose: what it would choose, by output, of all artifacts of the pipeline that are live, the oldest first.
      output: the output that another node reads.
      reader: that node.
      input: what the reader calls it.
    """

    choose: Callable[[Sequence[Artifact]], Choice]
    output: str
    reader: str
    input: str


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
    """As LatestHyperparametersStrategy: those of the newest search."""
    found = [artifact for artifact in live if artifact.type == "HyperParameters"]
    return {HYPERPARAMETERS_KEY: found[-1]} if found else {}


RESOLVERS = {
    "Resolver": Resolver(latest_blessed_model, "model", "Evaluator", BASELINE_KEY),
    "LatestHyperparameters": Resolver(latest_hyperparameters, HYPERPARAMETERS_KEY, "Trainer", "hyperparameters"),
}
"""Those of `pipeline.graph`, by node id."""
