"""What the pods of a run cost: what they have set aside for them, while their nodes were at work, by a list of prices."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.config.kubernetes import amount
from pipeline.errors import UsageError
from pipeline.kubeflow.groups import group_nodes, groups_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pipeline.config.kubeflow import Kubeflow, Resources
    from pipeline.config.prices import Prices
    from pipeline.runs.status import RunOutcome

_HOUR_SECONDS = 3600
_GIB = 1024**3


@dataclass(frozen=True)
class PodCost:
    """What a pod cost.

    Attributes:
      name: that of its node or its group of nodes.
      seconds: from the start of its first node to the end of its last one.
      cores: the cores that are set aside for it.
      memory_gib: the memory that is set aside for it.
      accelerators: how many it has.
      price: all of it, in the currency of the prices.
    """

    name: str
    seconds: float
    cores: float
    memory_gib: float
    accelerators: int
    price: float


def costs_of(kubeflow: Kubeflow, prices: Prices, outcome: RunOutcome) -> list[PodCost]:
    """What the pods of a run cost; of a run on a laptop, what it would have in pods that are as fast.

    Args:
      kubeflow: which nodes share a pod, and the resources of each.
      prices: the list.
      outcome: when the nodes of the run were at work.

    Returns:
      The pods whose nodes have started.

    Raises:
      UsageError: prices are missing.
    """
    upstream = {name: node.upstream for name, node in outcome.nodes.items()}
    groups = group_nodes(upstream, groups_of(kubeflow, upstream))
    cpu_hour, gib_hour = _require_prices(prices, [kubeflow.resources_of(group.name) for group in groups])
    costs = []
    for group in groups:
        nodes = [node for name in group.nodes if (node := outcome.nodes[name]).started is not None]
        if not nodes:
            continue
        seconds = max(node.ended or time.time() for node in nodes) - min(node.started or 0.0 for node in nodes)
        resources = kubeflow.resources_of(group.name)
        cores = _set_aside(resources.cpu_request, resources.cpu_limit)
        memory = _set_aside(resources.memory_request, resources.memory_limit) / _GIB
        accelerators = resources.accelerator_count if resources.accelerator else 0
        hourly = (
            cores * cpu_hour + memory * gib_hour + accelerators * prices.accelerator_hour.get(resources.accelerator or "", 0)
        )
        costs.append(PodCost(group.name, seconds, cores, memory, accelerators, hourly * seconds / _HOUR_SECONDS))
    return costs


def _set_aside(request: str | None, limit: str | None) -> float:
    """The quantity that is set aside: Kubernetes takes the limit where there is no request."""
    quantity = request or limit
    return float(amount(quantity)) if quantity else 0.0


def _require_prices(prices: Prices, pods: Iterable[Resources]) -> tuple[float, float]:
    """The prices of a core and a GiB for an hour.

    Raises:
      UsageError: one of them is missing, or that of an accelerator that a pod has.
    """
    accelerators = dict.fromkeys(pod.accelerator for pod in pods if pod.accelerator not in (None, *prices.accelerator_hour))
    examples = {
        **({"cpu_hour": "0.04"} if prices.cpu_hour is None else {}),
        **({"gib_hour": "0.005"} if prices.gib_hour is None else {}),
        **({"accelerator_hour": f"{{{', '.join(f'{name}: 0.7' for name in accelerators)}}}"} if accelerators else {}),
    }
    if examples or prices.cpu_hour is None or prices.gib_hour is None:
        given = " ".join(f"--set 'prices.{field}={price}'" for field, price in examples.items())
        raise UsageError(
            "Prices are missing, so the cost of a run cannot be told.",
            where=", ".join(f"prices.{field}" for field in examples),
            expected="what your cloud or your machines cost, for an hour",
            fix=f"Write them into the configuration, or for example: {given}",
        )
    return prices.cpu_hour, prices.gib_hour
