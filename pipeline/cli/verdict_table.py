"""The verdict on a candidate as a table, for `conveyor rollout` and `conveyor replay`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.cli.output import new_table, print_table

if TYPE_CHECKING:
    from serving.rollout.verdict import CanaryVerdict


def print_verdict(stable: str, tried: str, verdict: CanaryVerdict) -> None:
    """Prints a verdict, a check a line.

    Args:
      stable: the head of the stable version's column.
      tried: that of the candidate's.
      verdict: the verdict.
    """
    table = new_table("", stable, tried, "compared", "limit", "verdict")
    for check in verdict.checks:
        table.add_row(check.name, check.stable, check.canary, check.measure, check.limit, check.outcome.value)
    table.add_row("all", "", "", "", "", verdict.outcome.value)
    print_table(table)
