"""What of a configuration compiling it for a cluster would refuse, told without compiling."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pipeline import nodes
from pipeline.config.flaws import Flaw
from pipeline.errors import ConfigError
from pipeline.kubeflow.compile import names_of_pods
from pipeline.kubeflow.groups import group_nodes, groups_of
from pipeline.kubeflow.pod_config import in_cluster
from pipeline.util.suggestions import did_you_mean

if TYPE_CHECKING:
    from pipeline.config import PipelineConfig

# By node, those that it waits for, in the order of the compiled pipeline: what pipeline.graph wires, without TFX.
_UPSTREAM: dict[str, tuple[str, ...]] = {
    nodes.EXAMPLE_GEN.id: (),
    nodes.LATEST_HYPERPARAMETERS.id: (),
    nodes.RESOLVER.id: (),
    nodes.STATISTICS_GEN.id: (nodes.EXAMPLE_GEN.id,),
    nodes.SCHEMA_GEN.id: (nodes.STATISTICS_GEN.id,),
    nodes.EXAMPLE_VALIDATOR.id: (nodes.SCHEMA_GEN.id, nodes.STATISTICS_GEN.id),
    nodes.TRANSFORM.id: (nodes.EXAMPLE_GEN.id, nodes.EXAMPLE_VALIDATOR.id, nodes.SCHEMA_GEN.id),
    nodes.TUNER.id: (nodes.EXAMPLE_GEN.id, nodes.TRANSFORM.id),
    nodes.TRAINER.id: (
        nodes.EXAMPLE_GEN.id,
        nodes.LATEST_HYPERPARAMETERS.id,
        nodes.SCHEMA_GEN.id,
        nodes.TRANSFORM.id,
        nodes.TUNER.id,
    ),
    nodes.EVALUATOR.id: (nodes.EXAMPLE_GEN.id, nodes.RESOLVER.id, nodes.SCHEMA_GEN.id, nodes.TRAINER.id),
    nodes.INFRA_VALIDATOR.id: (nodes.EXAMPLE_GEN.id, nodes.TRAINER.id),
    nodes.PUSHER.id: (nodes.EVALUATOR.id, nodes.INFRA_VALIDATOR.id, nodes.TRAINER.id),
}


def upstream_of(config: PipelineConfig) -> dict[str, list[str]]:
    """The nodes that the configured pipeline has, each with those that it waits for."""
    absent = {
        nodes.LATEST_HYPERPARAMETERS.id: config.tuner.enabled or not config.tuner.reuse,
        nodes.TUNER.id: not config.tuner.enabled,
        nodes.INFRA_VALIDATOR.id: not config.infra_validator.enabled,
    }
    return {
        node: [other for other in upstream if not absent.get(other)]
        for node, upstream in _UPSTREAM.items()
        if not absent.get(node)
    }


def find_flaws(config: PipelineConfig) -> Iterator[Flaw]:
    """What keeps a configuration from being compiled: unknown nodes, groups that cannot run, paths outside the volume.

    Args:
      config: the pipeline's configuration. Without a section `kubeflow` it is not for a cluster, and has no such flaw.
    """
    if "kubeflow" not in config.model_fields_set:
        return
    upstream = upstream_of(config)
    known = names_of_pods(config, upstream)
    for name in config.kubeflow.nodes:
        if name not in known:
            yield Flaw(
                f"There is no node {name!r} to ask resources for.",
                ("kubeflow", "nodes", name),
                ", ".join(known),
                name,
                did_you_mean(name, known) or "Name one of these, or remove the entry.",
            )
    try:
        group_nodes(upstream, groups_of(config.kubeflow, upstream))
        in_cluster(config)
    except ConfigError as error:
        yield Flaw(error.what, tuple(error.where.split(".")), error.expected, error.seen, error.fix)
