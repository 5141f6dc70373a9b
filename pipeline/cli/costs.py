"""`conveyor show --cost`: what a run cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.cli.output import new_table, print_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.config import PipelineConfig
    from pipeline.kubeflow.costs import PodCost
    from pipeline.report.read.run_details import RunDetails


def read_costs(config: PipelineConfig, details: RunDetails) -> list[PodCost]:
    """What the pods of a run cost.

    Args:
      config: the configuration as it is now, for its prices; pods and resources are those of the run.
      details: what is known of the run.

    Raises:
      StorageError: the state of the run cannot be read.
      UsageError: prices are missing.
    """
    from pipeline.kubeflow.costs import costs_of

    if details.damage is not None:
        raise details.damage
    return costs_of(details.config.kubeflow, config.prices, details.outcome)


def cost_document(costs: Sequence[PodCost], currency: str) -> dict[str, Any]:
    """The costs as JSON."""
    return {"currency": currency, "price": sum(each.price for each in costs), "pods": [vars(each) for each in costs]}


def print_costs(costs: Sequence[PodCost], currency: str) -> None:
    """Prints the costs, a pod a line, and their sum."""
    from pipeline.report import formats

    table = new_table(
        "pod", "time", "cores", "GiB", "accelerators", "cost", right=("time", "cores", "GiB", "accelerators", "cost")
    )
    for pod in costs:
        numbers = (formats.number(each) for each in (pod.cores, pod.memory_gib, pod.accelerators))
        table.add_row(pod.name, formats.seconds(pod.seconds), *numbers, formats.metric(pod.price))
    table.add_section()
    in_all = formats.metric(sum(pod.price for pod in costs))
    table.add_row("in all", formats.seconds(sum(pod.seconds for pod in costs)), "", "", "", f"{in_all} {currency}".rstrip())
    print_table(table)
