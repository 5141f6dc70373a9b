"""What one gateway has counted of the version that is tried, since it follows the rollout's present state, and its verdict."""

from __future__ import annotations

from typing import Any

from serving.gateway.metrics import GatewayMetrics
from serving.rollout import Placement
from serving.rollout.counts import Snapshot, count, read_page
from serving.rollout.verdict import judge

_HERE = "here"
NO_TRIAL = "none"
"""The verdict where no version is tried."""


class Trial:
    """A canary or a shadow, as this gateway has seen it.

    Args:
      model: the model's name.
      metrics: the gateway's counts.
    """

    def __init__(self, model: str, metrics: GatewayMetrics) -> None:
        self._model, self._metrics = model, metrics
        self._placement = Placement()
        self._since: Snapshot = {}

    def follow(self, placement: Placement) -> None:
        """Counts from now on, if another version is tried than before, or with another share of the traffic."""
        if placement != self._placement:
            self._placement, self._since = placement, self._counters(placement)

    def document(self, min_rows: int) -> dict[str, Any]:
        """The versions and the verdict, as JSON.

        Args:
          min_rows: the rows that stable version and canary must each have answered.
        """
        placement, since = self._placement, self._since
        found = {"model": self._model, **placement.model_dump(), "verdict": NO_TRIAL, "checks": []}
        if placement.stable is None or placement.canary is None:
            return found
        now = self._counters(placement)
        canary = count(now, since, placement.canary, shadow=placement.shadow)
        verdict = judge(count(now, since, placement.stable), canary, min_rows=min_rows)
        checks = [{**vars(check), "outcome": check.outcome.value} for check in verdict.checks]
        return {**found, "verdict": verdict.outcome.value, "checks": checks}

    def _counters(self, placement: Placement) -> Snapshot:
        return {_HERE: read_page(self._metrics.text().decode(), self._model, placement.serving)}
